"""What one request may cost, and the refusal of one that costs more or makes no sense."""

from dataclasses import dataclass

PARTS = 12  # of a form, its file among them
PART_BYTES = 1 << 14  # of one that is no file
MOST_FOUND = 200
TEXT_LENGTH = 200


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    ``body_bytes``: of a request; ``pixels``: of a picture, told before it is decoded;
    ``decode_seconds`` and ``decode_bytes`` (of memory): of one picture; ``body_seconds``: until a
    request is there; ``idle_seconds``: until it begins; ``answer_seconds``: for all of it;
    ``connections``: at a time; ``at_once``: pictures that are looked up at a time; ``rate``:
    requests a second from one address, of which ``burst`` may come together.
    """

    body_bytes: int = 20 << 20
    pixels: int = 64_000_000
    decode_seconds: float = 10
    decode_bytes: int = 2 << 30
    body_seconds: float = 60
    idle_seconds: float = 10
    answer_seconds: float = 120
    connections: int = 200
    at_once: int = 12
    rate: float = 50
    burst: float = 400


class Refused(Exception):
    """A request that is not done: the HTTP status and why, in words that hold nothing of it."""

    def __init__(self, status: int, words: str):
        super().__init__(words)
        self.status, self.words = status, words
