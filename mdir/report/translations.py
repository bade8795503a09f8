"""Pictures beside what a generator made of them."""

import os
from pathlib import Path

from PIL import Image

from cirtorch.datasets.imagefiles import list_images
from cirtorch.datasets.orientation import upright_size
from mdir.errors import UserError
from mdir.paths import path_join
from mdir.report.page import Picture, Strip
from mdir.report.pictures import PictureFolder, spread


def translation_strips(
    before: str, after: Path, pictures: PictureFolder, count: int, real=()
) -> list[Strip]:
    """``count`` pairs, evenly spread over the pictures that lie in ``after``.

    Args:
        before: folder of the inputs (a pattern of :func:`mdir.paths.path_join`).
        after: folder of the translations, under the names of their inputs.
        real: paths of images of the other domain; one, evenly spread over them, ends each strip.
    """
    names = list_images(after, recursive=True, may_be_empty=True) if after.is_dir() else []
    if not names:
        raise UserError(f"report: translations: no pictures in {after}")
    strips, chosen = [], spread(len(names), count)
    for place, number in enumerate(chosen):
        name = names[number]
        source = next((p for p in _sources(before, name) if os.path.exists(p)), None)
        if source is None:
            raise UserError(f"report: translations: {after / name} has no input in {before}")
        upright = _seen_upright(source, after / name)
        pair = [
            Picture(pictures.add(source, upright=upright), "input"),
            Picture(pictures.add(after / name), "translation"),
        ]
        if real:
            other = real[place * len(real) // len(chosen)]
            pair.append(Picture(pictures.add(other, upright=upright), "real picture"))
        strips.append(Strip(name, pair))
    return strips


def _seen_upright(source, translation):
    """Whether the network saw an input turned as its EXIF says, as far as the shapes tell."""
    try:
        with Image.open(source) as before, Image.open(translation) as after:
            sizes = before.size, upright_size(before), after.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return True  # who copies it says what is wrong
    lying, turned, made = (width > height for width, height in sizes)
    return lying == turned or made == turned


def _sources(before, name):
    """Where the input of a translation may lie: under its name, or without the suffix added."""
    yield path_join(before, name)
    yield path_join(before, os.path.splitext(name)[0])
