"""Files of every format, cut at many places: each is refused by its reader or told."""

import io

import numpy as np
import pytest
from PIL import Image, features

from cirtorch.datasets import cut_short
from cirtorch.datasets.datahelpers import pil_loader
from cirtorch.utils.errors import ImageError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about tags
ROWS, COLUMNS = np.mgrid[0:61, 0:83]
SMOOTH = np.stack([ROWS * 3, COLUMNS * 2, ROWS + COLUMNS], -1).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
TIFF = ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"]
CASES = {
    "JPEG": [{}, {"progressive": True}],
    "PNG": [{}],
    "GIF": [{}, {"save_all": True, "append_images": [Image.fromarray(NOISE)]}],
    "BMP": [{}],
    "PPM": [{}],
    "TIFF": [
        *({"compression": None if name == "raw" else name} for name in TIFF),
        {"big_tiff": True},
        {"save_all": True, "append_images": [Image.fromarray(NOISE)]},
    ],
    "WEBP": [{}, {"lossless": True}],
    "AVIF": [{}] if features.check("avif") else [],
    "JPEG2000": [{}] if features.check("jpg_2000") else [],
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Many files would leave other tests but every second power of two to be named."""
    monkeypatch.setattr(cut_short, "_tell", lambda path: None)


def encoded(pixels, kind, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def faults(path, content):
    """What is told of a file of this content; None where it cannot be read at all."""
    path.write_bytes(content)
    cut_short.found.clear()
    try:
        pil_loader(path)
    except ImageError as error:
        assert str(error).startswith(f"{path}: ")
        return None
    return list(cut_short.found)


def places(size):
    return sorted({size * part // 16 for part in range(1, 16)} | {*range(size - 5, size)})


@pytest.mark.parametrize("pixels", [SMOOTH, NOISE], ids=["smooth", "noise"])
@pytest.mark.parametrize(
    ("kind", "options"), [(kind, options) for kind in CASES for options in CASES[kind]]
)
def test_no_cut_goes_unnoticed(tmp_path, kind, options, pixels):
    path, content = tmp_path / "image.jpg", encoded(pixels, kind, **options)
    assert faults(path, content) == []
    # pages of a TIFF file are filled up to multiples of 16 bytes
    size = len(content) - 16 if kind == "TIFF" and "save_all" in options else len(content)
    for place in places(size):
        assert faults(path, content[:place]) in (None, [f"{path}: is cut short"]), place


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA"])
@pytest.mark.parametrize("kind", ["BMP", "GIF", "PNG", "PPM", "TIFF"])
def test_nor_in_other_modes(tmp_path, kind, mode):
    if (kind, mode) == ("PPM", "P"):
        pytest.skip("there is no such file")
    path, content = tmp_path / "image.jpg", encoded(SMOOTH, kind, mode)
    assert faults(path, content) == []
    for place in places(len(content)):
        assert faults(path, content[:place]) in (None, [f"{path}: is cut short"]), place


def test_files_of_the_other_order_of_bytes(tmp_path):
    """As scanners write them: a directory at the end, strips before it."""
    strip = bytes(range(48))
    entries = [(256, 8), (257, 6), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 48)]
    directory = b"".join(
        tag.to_bytes(2, "big") + b"\0\4\0\0\0\1" + value.to_bytes(4, "big")
        for tag, value in entries
    )
    head = b"MM\0*" + (56).to_bytes(4, "big") + strip
    content = head + len(entries).to_bytes(2, "big") + directory + bytes(4)
    assert faults(tmp_path / "x.tif", content) == []
    assert np.asarray(pil_loader(tmp_path / "x.tif"))[1, 1].tolist() == [9, 9, 9]
    for place in range(60, len(content)):
        found = faults(tmp_path / "x.tif", content[:place])
        assert found in (None, [f"{tmp_path}/x.tif: is cut short"]), place


def test_a_format_that_does_not_tell_is_named_by_strict_readers_alone(tmp_path, capsys):
    path = tmp_path / "image.ico"
    assert faults(path, encoded(SMOOTH, "ICO")) == [
        f"{path}: does not tell, being ICO, whether it is cut short"
    ]
    assert capsys.readouterr().err == ""
