"""Queries with the pictures found for them, right ones framed green and wrong ones red."""

import json
import math
from pathlib import Path

from mdir.errors import UserError
from mdir.report.page import Picture, Strip
from mdir.report.pictures import PictureFolder, spread


def read_rankings(path: Path) -> dict:
    """Rankings as the validate step stores them.

    Returns:
        ``{"protocol": {...}, "queries": [{"name", "path", "box", "ap", "found": [{"name", "path",
        "right"}]}]}``; ``right`` is None for pictures that do not count.
    """
    try:
        rankings = json.loads(path.read_text(encoding="utf-8"))
        rankings["queries"][:]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the rankings of a validate step ({error!r})") from error
    return rankings


def gallery(rankings: dict, pictures: PictureFolder, queries: int, found: int) -> list[Strip]:
    """Strips of so many queries, evenly from the best to the worst, with their first answers."""
    scored = [query for query in rankings["queries"] if _known(query["ap"])]
    scored.sort(key=lambda query: -query["ap"])
    strips = []
    for number in spread(len(scored), queries):
        query = scored[number]
        strip = Strip(f"{query['name']}: average precision {100 * query['ap']:.1f} %", [])
        strip.pictures.append(Picture(pictures.add(query["path"], query.get("box")), "query"))
        for place, answer in enumerate(query["found"][:found], 1):
            copy = pictures.add(answer["path"])
            strip.pictures.append(Picture(copy, f"{place}. {answer['name']}", answer["right"]))
        strips.append(strip)
    return strips


def _known(value):
    return value is not None and not math.isnan(value)
