"""Pictures beside what a generator made of them."""

import os
from pathlib import Path

from mdir.errors import UserError
from mdir.paths import path_join
from mdir.report.page import Picture, Strip
from mdir.report.pictures import PictureFolder, spread


def translation_strips(
    before: str, after: Path, pictures: PictureFolder, count: int
) -> list[Strip]:
    """``count`` pairs, evenly spread over the pictures that lie in ``after``.

    Args:
        before: folder of the inputs (a pattern of :func:`mdir.paths.path_join`).
        after: folder of the translations, under the names of their inputs.
    """
    found = sorted(path for path in after.rglob("*") if path.is_file()) if after.is_dir() else []
    if not found:
        raise UserError(f"report: translations: no pictures in {after}")
    strips = []
    for number in spread(len(found), count):
        name = os.path.relpath(found[number], after)
        source = next((p for p in _sources(before, name) if os.path.exists(p)), None)
        if source is None:
            raise UserError(f"report: translations: {found[number]} has no input in {before}")
        pair = [
            Picture(pictures.add(source), "input"),
            Picture(pictures.add(found[number]), "translation"),
        ]
        strips.append(Strip(name, pair))
    return strips


def _sources(before, name):
    """Where the input of a translation may lie: under its name, or without the suffix added."""
    yield path_join(before, name)
    yield path_join(before, os.path.splitext(name)[0])
