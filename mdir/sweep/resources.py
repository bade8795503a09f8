"""What a cell is given: processors, graphics cards, and what a cluster wants to know."""

import re
from dataclasses import dataclass

from cirtorch.utils.errors import suggest
from mdir.registry import Problem
from mdir.scenario.tree import Located, Node

UNITS = {"d": 1440, "h": 60, "m": 1}
TIME = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")
MEMORY = re.compile(r"\d+[MGT]")


@dataclass(frozen=True)
class Resources:
    """For each cell; None: as the place where it runs has it.

    ``time`` in minutes, ``memory`` such as ``16G``, ``setup`` lines of a shell that run before.
    """

    time: int | None = None
    memory: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    partition: str | None = None
    setup: tuple[str, ...] = ()


def read_resources(node: Node) -> tuple[Resources, list[Located]]:
    """The section ``resources`` of a sweep file, and what is wrong with it."""
    found, problems = {}, []
    if not isinstance(node.value, dict):
        message = f"resources is a mapping of {', '.join(READERS)}"
        return Resources(), [Located(Problem((), message), node.where)]
    for key, child in node.value.items():
        try:
            if key not in READERS:
                hint = suggest(key, READERS) or f" Known: {', '.join(READERS)}"
                raise ValueError(f"there is no resource {key!r}.{hint}")
            found[key] = READERS[key](key, child.value)
        except ValueError as error:
            problems.append(Located(Problem((), str(error)), child.where))
    return Resources(**found), problems


def _time(key, value):
    match = TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:  # 12:00:00 is a whole number to YAML
        raise ValueError(f"{key} is written with units, 2d, 12h or 1h30m, not {value!r}")
    return sum(int(n or 0) * UNITS[unit] for n, unit in zip(match.groups(), UNITS, strict=True))


def _memory(key, value):
    if not (isinstance(value, str) and MEMORY.fullmatch(value)):
        raise ValueError(f"{key} is a whole number with its unit, 800M or 16G, not {value!r}")
    return value


def _count(least):
    def read(key, value):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{key} is a whole number from {least}, not {value!r}")
        return value

    return read


def _text(key, value):
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is text, not {value!r}")
    return value


def _lines(key, value):
    lines = [each.value for each in value] if isinstance(value, list) else [value]
    if not all(isinstance(line, str) for line in lines):
        raise ValueError(f"{key} is a list of lines for a shell")
    return tuple(lines)


READERS = {
    "time": _time,
    "memory": _memory,
    "cpus": _count(1),
    "gpus": _count(0),
    "partition": _text,
    "setup": _lines,
}
