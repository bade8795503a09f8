"""Which images of two domains show the same instance: told by their names."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cirtorch.utils.errors import DataError
from mdir.data.image_lists import listed

_COMMON = 0.9  # what so many names of a domain share is the domain's; a stray file changes nothing

Token = tuple[str, int]


def pair_up(first: list[Path], second: list[Path], domains: Sequence[str]) -> list[Path]:
    """The files of the second domain in the order of the first one's.

    Names are compared without what belongs to the domain: its own name, words that (nearly) all of
    its names hold, numbers that they all begin or end with. What is left has to be the same,
    however long its numbers are padded: ``day_17`` and ``night_00017``, ``aachen_000000_000019``
    and ``aachen_000000_000019_foggy_beta_0.02``.

    Args:
        first, second: sorted files of either domain.
        domains: their names.

    Raises:
        DataError: listing the files without a counterpart.
    """
    keys = [pairing_keys([path.stem for path in files], domain)
            for files, domain in zip((first, second), domains, strict=True)]  # fmt: skip
    lonely = [*_without(first, keys[0], keys[1]), *_without(second, keys[1], keys[0])]
    if lonely:
        raise DataError(
            f"unpaired images ({len(first)} in {first[0].parent}, {len(second)} in "
            f"{second[0].parent}); without a counterpart of their name:{listed(lonely)}"
        )
    orders = [sorted(range(len(some)), key=some.__getitem__) for some in keys]
    matched = dict(zip(*orders, strict=True))
    return [second[matched[place]] for place in range(len(first))]


def pairing_keys(stems: list[str], domain: str) -> list[tuple[Token, ...]]:
    """What tells the images of one domain apart: words and numbers of each name, in their order."""
    own = re.compile(rf"(?<![^\W_]){re.escape(domain)}(?![^\W_])", re.IGNORECASE)
    names = [_tokens(own.sub(" ", stem)) for stem in stems]
    counts = Counter(token for name in names for token in set(name) if token[0])
    common = {token for token, count in counts.items() if count >= _COMMON * len(names)}
    names = [[token for token in name if token not in common] for name in names]
    names = _without_start(names)
    names = [name[::-1] for name in _without_start([name[::-1] for name in names])]
    return [tuple(name) for name in names]


def _tokens(stem) -> list[Token]:
    """Words as ``(word, 0)``, numbers as ``("", number)``."""
    parts = re.findall(r"\d+|[^\W\d_]+", stem.lower())
    return [("", int(part)) if part.isdecimal() else (part, 0) for part in parts]


def _without_start(names):
    """Names without as much as each shares of the start that (nearly) all have in common."""
    start, sharing = [], names
    while True:
        depth = len(start)
        following = Counter(name[depth] for name in sharing if len(name) > depth)
        token, count = following.most_common(1)[0] if following else (None, 0)
        if count < _COMMON * len(names) or not count:
            break
        start.append(token)
        sharing = [name for name in sharing if len(name) > depth and name[depth] == token]
    return [name[_shared(name, start) :] for name in names]


def _shared(name, start):
    length = 0
    while length < min(len(name), len(start)) and name[length] == start[length]:
        length += 1
    return length


def _without(files, keys, others):
    """Files whose key the other domain has not, or has fewer times."""
    left, lonely = Counter(others), []
    for path, key in zip(files, keys, strict=True):
        left[key] -= 1
        if left[key] < 0:
            lonely.append(path)
    return lonely
