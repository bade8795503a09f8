"""What was found, in the files of others: runs and judgements of TREC, lists of image pairs."""

import re
import sys
from collections.abc import Sequence

import numpy as np

TAG = "mdir"


def run_file(queries: Sequence[str], images: Sequence[str], found, scores) -> str:
    """A TREC run, ``query Q0 image rank score tag`` a line, for trec_eval and pytrec_eval.

    They sort by score alone, as float32, and equal ones by name: the score of an answer that is not
    below the one before is lowered by its last digit, which keeps the order.

    Args:
        queries, images: names; blanks in them become ``%20``.
        found: ``[M, n]``, indices of images, the best first; -1 is left out.
        scores: ``[M, n]``, larger is better.
    """
    names = _Names(images)
    lines = []
    for query, row, values in zip(queries, found, scores, strict=True):
        last = np.float32(np.inf)
        for rank, (image, value) in enumerate(zip(row, values, strict=True), 1):
            if image >= 0:
                last = min(np.float32(value), np.nextafter(last, np.float32(-np.inf)))
                lines.append(f"{_word(query)} Q0 {names[image]} {rank} {last:.9g} {TAG}\n")
    return "".join(lines)


def judgements(queries: Sequence[str], images: Sequence[str], relevant) -> str:
    """The right answers as a TREC qrels file, ``query 0 image 1`` a line.

    Args:
        relevant: indices of images for each query; none: no line.
    """
    names = _Names(images)
    return "".join(
        f"{_word(query)} 0 {names[image]} 1\n"
        for query, row in zip(queries, relevant, strict=True)
        for image in row
    )


def pair_list(queries: Sequence[str], images: Sequence[str], found) -> str:
    """Pairs to match, ``query image`` a line, as tools for structure from motion (hloc) read them.

    Args:
        queries, images: names below one folder; a blank ends a name, and a warning tells of them.
        found: as of :func:`run_file`.
    """
    names = _Names(images)
    spoilt = [name for name in (*queries, *images) if _word(name) != name]
    if spoilt:
        print(
            f"Warning: lists of pairs hold no blanks: {len(spoilt)} names are written with %20 "
            f"there and are not those of their files, such as {spoilt[0]!r}",
            file=sys.stderr,
        )
    return "".join(
        f"{_word(query)} {names[image]}\n"
        for query, row in zip(queries, found, strict=True)
        for image in row
        if image >= 0
    )


class _Names:
    """Names as single words, by number."""

    def __init__(self, names):
        self.names = names

    def __getitem__(self, number):
        return _word(self.names[number])


def _word(name):
    """A name without blanks; a name that has none stays as it is."""
    if not re.search(r"\s", name):
        return name
    return re.sub(r"[\s%]", lambda one: f"%{ord(one[0]):02X}", name)
