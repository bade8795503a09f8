"""Damaged image files are found without decoding them."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from cirtorch.datasets.datahelpers import pil_loader
from cirtorch.utils.errors import DataError
from mdir.data.image_lists import check_readable
from mdir.errors import UserError
from mdir.report.pictures import PictureFolder
from mdir.scores.retrieval_sets import check_files

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def encoded(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **options)
    return buffer.getvalue()


def with_thumbnail(content, thumbnail):
    """A JPEG with another one in a segment of its head, as cameras write it."""
    segment = b"Exif\0\0" + thumbnail
    return content[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + content[2:]


KINDS = {
    "plain.jpg": encoded("JPEG"),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "thumbnail.jpg": with_thumbnail(encoded("JPEG"), encoded("JPEG", quality=20)),
    "plain.png": encoded("PNG"),
    "named_wrongly.jpg": encoded("PNG"),
    "other.png": encoded("WEBP"),
    "plain.bmp": encoded("BMP"),
    "plain.tif": encoded("TIFF"),
    "plain.ppm": encoded("PPM"),
}
TEXT = b"P2\n3 2\n255\n0 50 100\n150 200 255"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("padding", [b"", bytes(100), b"what a camera adds"])
def test_whole_files_pass(tmp_path, name, padding):
    path = tmp_path / name
    path.write_bytes(KINDS[name] + padding)
    check_readable([path])


def test_grey_levels_as_text_need_no_line_break_at_the_end(tmp_path):
    path = tmp_path / "text.pgm"
    path.write_bytes(TEXT)
    check_readable([path])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_files_cut_short_are_listed(tmp_path, name, share):
    whole, short = tmp_path / "whole.png", tmp_path / name
    whole.write_bytes(KINDS["plain.png"])
    short.write_bytes(KINDS[name][: int(share * len(KINDS[name]))])
    with pytest.raises(DataError, match=f"^1 unreadable images:\n  .*{name} "):
        check_readable([whole, short])


def test_pictures_of_too_many_pixels_are_named(tmp_path):
    """A few bytes that would become gigabytes of pixels."""
    path = tmp_path / "huge.png"
    size = (60_000).to_bytes(4, "big") * 2
    head = b"IHDR" + size + bytes([8, 2, 0, 0, 0])
    head = (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + KINDS["plain.png"][33:])
    for read in (
        lambda: pil_loader(path),
        lambda: check_readable([path]),
        lambda: PictureFolder(tmp_path / "page").add(path),
        lambda: check_files("gnd.pkl", [str(path)]),
    ):
        with pytest.raises((DataError, UserError), match=r"huge\.png"):
            read()
