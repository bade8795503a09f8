"""The cache of decoded images: the same bits with it, and every doubt leads back to the file."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.decoded_cache import CachedCompose, DecodedCache, pack, unpack
from mdir.data.image_files import load_image, open_image, open_through
from mdir.data.loading import make_dataset
from mdir.data.transforms.geometry import CenterCrop
from mdir.data.transforms.parse import parse_transforms
from tests.data.datasets.test_tuples import PARAMS, database  # noqa: F401
from tests.data.decoded_pictures import MEAN_STD, cached, noise, outcome, paint

pytestmark = pytest.mark.usefixtures("untold", "fresh")


LEADING = ["pil2np", "downscale:20", "resize:12", "resize_to:11_13", "pad:3", "center_crop:8_7",
           "center_crop:8:even", "square_crop", "bgr", "ratio_crop:9_8", "totensor"]  # fmt: skip
FOLLOWING = ["mirror", "random_crop:5_6", "normalize", "np_invert_chan:1", "multiply:255", "clahe",
             "random_resized_crop:7", "color_jitter", "scalecrop:6_6:0.9_1.0"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    leading=st.lists(st.sampled_from(LEADING), max_size=4),
    following=st.lists(st.sampled_from(FOLLOWING), max_size=2),
    size=st.sampled_from([None, float("inf"), 25.5, 16, 3]),
    box=st.sampled_from([None, (2, 1, 9, 8), (-3.5, 2.5, 6, 30), (5, 5, 4, 9)]),
    mode=st.sampled_from(["RGB", "L", "1"]),
    which=st.integers(0, 31),
)
def test_bits_are_those_of_the_plain_pipeline(
    pictures, tmp_path_factory, leading, following, size, box, mode, which
):
    text = " | ".join([*leading, *following])
    try:
        plain = parse_transforms(text, MEAN_STD)
    except DataError:
        return
    folder = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CIRTORCH_ROOT", str(folder))
        reading = load_image, pictures[which], size, box, False, False, mode
        expected = outcome(plain, *reading)
        for _ in range(2):
            assert outcome(cached(text), *reading) == expected


def test_the_second_time_nothing_is_decoded(root, pictures, decoded):
    images = [path for path in pictures if not path.endswith(".npy")]
    for text in ("pil2np | totensor | normalize", "downscale:20 | mirror", ""):
        for count in (len(images), 0):
            del decoded[:]
            for path in images:
                outcome(cached(text), load_image, path, 25)
            assert len(decoded) == count
    assert len(list((root / "cache/decoded").rglob("??/*"))) == 3 * len(images)


def test_ordinary_images_go_through_the_whole_pipeline(root, pictures):
    text = "pil2np | center_crop:4 | totensor | normalize"
    both, plain = cached(text), parse_transforms(text, MEAN_STD)
    path = pictures[0]
    kept = [both(open_through(both, load_image, path, 25)) for _ in range(2)][1]
    mixed = both(load_image(path, 25), open_through(both, load_image, path, 25))
    for image in (kept, both(load_image(path, 25)), *mixed):
        assert torch.equal(image, plain(load_image(path, 25)))


def test_arguments_and_transforms_have_images_of_their_own(root, pictures):
    path = next(path for path in pictures if path.endswith("0.png"))
    for size in (25, 16):
        for upright in (False, True):
            for box in (None, (1, 2, 20, 21)):
                for text in ("pil2np", "pil2np | center_crop:4", "pil2np | center_crop:4:even"):
                    reading = load_image, path, size, box, False, upright
                    for _ in range(2):
                        found = outcome(cached(text), *reading)
                        assert found == outcome(parse_transforms(text), *reading)


def test_a_changed_picture_is_read_again(root):
    paint(root / "pictures")
    path = str(root / "pictures/0.jpg")
    plain, status = parse_transforms("pil2np"), os.stat(path)
    before = outcome(cached("pil2np"), open_image, path)
    Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path, quality=75)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # only the status tells
    after = outcome(cached("pil2np"), open_image, path)
    assert after == outcome(plain, open_image, path) != before
    os.unlink(path)
    assert "there is no such image" in outcome(cached("pil2np"), open_image, path)[1]


def test_a_cut_out_of_another_file_is_read_again(root):
    """``load_images_with_bbx``: the picture and the file of the box both count."""
    folder = root / "x"
    folder.mkdir()
    Image.fromarray(noise((30, 20))).save(folder / "a.png")
    part = {"name": "CirImageList", "image_dir": "x*.png", "image_size": 20}
    part = {**part, "load_images_with_bbx": True}
    for seed in (1, 2):
        Image.fromarray(noise((10, 10), seed)).save(folder / "a.0_0_10_10.png")
        for _ in range(2):
            section = {"dataset": part, "transforms": "totensor", "decoded_cache": 1}
            item = make_dataset(section, None, (["a.png"], [[0, 0, 10, 10]]))[0]
            shrunk = Image.fromarray(noise((10, 10), seed))
            shrunk.thumbnail((6, 6), Image.Resampling.LANCZOS)
            assert torch.equal(item.tensor, parse_transforms("totensor")(shrunk))


@pytest.mark.parametrize("damage", ["short", "empty", "bit", "shape", "magic", "folder"])
def test_a_damaged_file_is_decoded_and_made_anew(root, pictures, damage, decoded):
    path, text = pictures[1], "pil2np | totensor"
    expected = outcome(cached(text), load_image, path, 25)
    (file,) = (root / "cache/decoded").rglob("??/*")
    whole = file.read_bytes()
    damaged = bytearray(whole)
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        places = {"bit": -1, "shape": 25, "magic": 5}
        if damage in places:
            damaged[places[damage]] ^= 1
        file.write_bytes(damaged[: {"short": 50, "empty": 0}.get(damage)])
    assert [outcome(cached(text), load_image, path, 25) for _ in range(2)] == [expected] * 2
    assert len(decoded) == (3 if damage == "folder" else 2)
    assert damage == "folder" or file.read_bytes() == whole


def test_images_that_8_bits_are_too_few_for_are_not_packed():
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3)
    assert pack(values) is None and pack(values.astype(np.float64)) is None
    for odd in (np.nan, -0.0, 1.5, -1 / 255, 256 / 255):
        assert pack(np.full((2, 2, 3), odd, np.float32)) is None
    assert pack(Image.new("I;16", (3, 3))) is None
    levels = np.arange(256, dtype=np.float32).reshape(16, 16, 1) / np.float32(255)
    assert np.array_equal(unpack(pack(levels)), levels)
    assert torch.equal(unpack(pack(torch.from_numpy(levels))), torch.from_numpy(levels))


class Shifted(CenterCrop):
    """A transform of somebody's own, made of one of ours."""

    def apply(self, image):
        return super().apply(image) + np.float32(np.random.rand())


def test_transforms_made_of_ours_are_not_taken_for_them(root, pictures):
    pipeline = CachedCompose([*parse_transforms("pil2np").transforms, Shifted(size="4")],
                             DecodedCache(1))  # fmt: skip
    images = [pipeline(open_through(pipeline, open_image, pictures[1])) for _ in range(3)]
    assert not np.array_equal(images[1], images[2])
