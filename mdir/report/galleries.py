"""Queries with the pictures found for them: right ones, wrong ones and those that do not count."""

import json
import math
from pathlib import Path

from mdir.errors import UserError
from mdir.report.page import PageSection, Picture, Strip
from mdir.report.pictures import PictureFolder, spread
from mdir.report.protocols import condition_text

LEGEND = "Right answers are framed green, wrong ones red; what is dashed does not count."
_MARKS = {True: "right", False: "wrong"}


def read_rankings(path: Path) -> dict:
    """Rankings as the steps validate and search store them.

    Returns:
        ``{"protocol": {...}, "queries": [{"name", "path", "box", "ap", "found": [{"name", "path",
        "right"}]}]}``; ``right`` is None for pictures that do not count, and ``ap`` and ``right``
        are None where no ground truth is known; ``upright`` is true of pictures that were turned as
        their EXIF says, ``caption`` of an answer is shown for its name. Beside them, details of the
        score.
    """
    try:
        rankings = json.loads(path.read_text(encoding="utf-8"))
        rankings["queries"][:]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not rankings of a step validate or search ({error!r})") from error
    return rankings


def gallery(title, rankings: dict, pictures: PictureFolder, queries: int, found: int):
    """A section of so many queries, evenly from the best to the worst, with their first answers.

    The best are those of the highest average precision or, where none has one, of the earliest
    right answer; without either, queries come evenly from the first to the last.
    """
    scored = _scored(rankings)
    judged = scored or _by_first_hit(rankings)
    shown = judged or rankings["queries"]
    section = PageSection(title, LEGEND if judged else "")
    if ranking := rankings.get("protocol", {}).get("re-ranking"):
        section.text = f"{section.text} Re-ranked ({condition_text(ranking)}).".strip()
    for number in spread(len(shown), queries):
        query = shown[number]
        head = query["name"]
        if scored:
            head += f": average precision {100 * query['ap']:.1f} %"
        elif judged:
            head += f": {_first_hit(query)}"
        section.strips.append(_strip(head, query, pictures, found, bool(scored)))
    return section


def worst_gallery(title, rankings: dict, pictures: PictureFolder, queries: int, found: int):
    """A section of so many queries whose first right answer comes latest, the worst first.

    Args:
        rankings: as of :func:`gallery`, with the rank ``first`` of each query's first right answer.
    """
    section = PageSection(title, LEGEND)
    worst = sorted(_scored(rankings), key=lambda query: (-query["first"], query["ap"]))
    for query in worst[:queries]:
        head = f"{query['name']}: {_first_hit(query)}"
        section.strips.append(_strip(head, query, pictures, found, True))
    return section


def _scored(rankings):
    """Queries of a known average precision, the best first."""
    scored = [query for query in rankings["queries"] if _known(query["ap"])]
    return sorted(scored, key=lambda query: -query["ap"])


def _by_first_hit(rankings):
    """Queries whose first right answer is told, the earliest first, those without one last."""
    told = [query for query in rankings["queries"] if "first" in query]
    return sorted(told, key=lambda query: (query["first"] is None, query["first"]))


def _first_hit(query):
    first = query["first"]
    return "no right answer" if first is None else f"first right answer at rank {first}"


def _strip(head, query, pictures, found, scored):
    copy = pictures.add(query["path"], query.get("box"), query.get("upright", False))
    strip = Strip(head, [Picture(copy, "query")])
    for place, answer in enumerate(query["found"][:found], 1):
        copy = pictures.add(answer["path"], upright=answer.get("upright", False))
        mark = _MARKS.get(answer["right"], "junk" if scored else None)
        caption = answer.get("caption", answer["name"])
        strip.pictures.append(Picture(copy, f"{place}. {caption}", mark))
    return strip


def _known(value):
    return value is not None and not math.isnan(value)
