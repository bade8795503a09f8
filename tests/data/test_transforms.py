"""Transforms: the mini-language, its errors, and what the published projects got wrong."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms as tv

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.data.transforms.clahe import clahe_image
from mdir.data.transforms.colorspaces import from_space, to_space
from mdir.data.transforms.histograms import distribution, gamma_exponent, match_channel
from mdir.data.transforms.parse import check_transforms, parse_transforms

RNG = np.random.default_rng(0)


def image(height=30, width=40, channels=3):
    return RNG.random((height, width, channels), dtype=np.float32)


@pytest.mark.parametrize(
    "text, message",
    [
        ("pil2npp", "Did you mean 'pil2np'"),
        ("scalecrop", "argument 'size' is missing"),
        ("scalecrop:256x256", "not a size"),
        ("scalecrop:16_16:1_0.5", "low_high"),
        ("downscale:big", "'size' has to be a whole number, got 'big'"),
        ("apply_clahe:1:8:lab:9", "at most 3 allowed"),
        ("apply_clahe:1:8:lba", "Did you mean 'lab'"),
        ("apply_clahe:1:8:gray", "unknown colour space"),
        ("match_histogram:f3d", "f3d_lab"),
        ("mirror:2", "outside 0..1"),
        ("pad:-1", "pixels -1 is negative"),
        ("random_erasing:2", "outside 0..1"),
        ("random_warp:0.3_1:0.5", "distortion 0.5 is outside 0..0.5"),
        ("random_erasing:1:0", "low_high"),
        ("np_chanselect:0:x", "not a channel number"),
        ("replace_histogram:eq:add", "append"),
    ],
)
def test_mistakes_name_the_transform_and_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        check_transforms(f"pil2np | {text}")


def test_errors_show_how_a_transform_is_written():
    with pytest.raises(ValueError, match=r"apply_clahe\[:clip_limit=4.0\]\[:grid_size=8\]"):
        check_transforms("apply_clahe:x")


def test_normalize_takes_mean_std_from_the_section():
    with pytest.raises(ValueError, match="mean_std"):
        parse_transforms("normalize")
    check_transforms("totensor | normalize:false")


def test_printed_pipeline():
    pipeline = parse_transforms("pil2np | apply_clahe:1.0 | totensor | normalize", ([0.5], [0.25]))
    assert repr(pipeline) == (
        "Compose(\n    Pil2Numpy()\n"
        "    ApplyClahe(clip_limit=1.0, grid_size=8, colorspace=lab)\n"
        "    ToTensor()\n    Normalize(mean=[0.5], std=[0.25], strict_shape=True)\n)"
    )


def test_empty_pipeline():
    assert parse_transforms(None)(1) == 1
    assert parse_transforms(" | ")(1, 2) == (1, 2)


def test_every_transform_is_documented():
    for name in registry.names("transform"):
        assert registry.lookup("transform", name).__doc__, name


def test_normalize_counts_channels():
    strict = parse_transforms("normalize", ([0.5] * 3, [0.5] * 3))
    with pytest.raises(DataError, match="1 channels does not fit 3 means"):
        strict(torch.zeros(1, 2, 2))
    loose = parse_transforms("normalize:False", ([0.5] * 3, [0.5] * 3))
    assert torch.equal(loose(torch.zeros(1, 2, 2)), -torch.ones(1, 2, 2))
    with pytest.raises(DataError, match="totensor"):
        strict(image())


def test_sixteen_bit_and_bad_inputs():
    deep = np.full((2, 2, 3), 65535, np.uint16)
    assert parse_transforms("pil2np")(deep).max() == 1
    with pytest.raises(DataError, match="got str"):
        parse_transforms("pil2np")("photo.jpg")
    assert parse_transforms("totensor")(Image.new("RGB", (4, 3))).shape == (3, 3, 4)


def test_stackbatch_and_nan_check():
    parts = torch.zeros(1, 3, 2, 2), torch.ones(2, 3, 2, 2)
    assert parse_transforms("stackbatch")(*parts).shape == (3, 3, 2, 2)
    with pytest.raises(DataError, match="NaN"):
        parse_transforms("nan_check")(torch.tensor([float("nan")]))


def test_inverting_a_channel_leaves_the_callers_image():
    original = image()
    before = original.copy()
    result = parse_transforms("np_invert_chan:0")(original)
    np.testing.assert_array_equal(original, before)
    np.testing.assert_allclose(result[:, :, 0], 1 - before[:, :, 0])
    with pytest.raises(DataError):
        parse_transforms("np_invert_chan:3")(original)


def test_chanclone_to_the_end():
    original = image()
    np.testing.assert_array_equal(
        parse_transforms("np_chanclone:1:null")(original)[:, :, 3:], original[:, :, 1:]
    )
    with pytest.raises(DataError, match="selects none"):
        parse_transforms("np_chanselect:5")(original)


def test_centre_crops():
    with pytest.raises(DataError, match="smaller, 40 x 30"):
        parse_transforms("center_crop:41_10")(image())
    assert parse_transforms("square_crop")(Image.new("RGB", (7, 4))).size == (4, 4)
    picture = Image.fromarray(np.arange(7 * 4 * 3, dtype=np.uint8).reshape(4, 7, 3))
    cut = parse_transforms("pil2np | square_crop")(picture)
    np.testing.assert_array_equal(parse_transforms("square_crop | pil2np")(picture), cut)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(8, 40), st.integers(8, 40), st.integers(1, 40), st.integers(1, 40),
    st.floats(0.1, 2), st.floats(0, 1),
)  # fmt: skip
def test_scalecrop_of_any_shape(height, width, out_w, out_h, low, more):
    text = f"scalecrop:{out_w}_{out_h}:{low}_{low + more}"
    needed = max(out_h / height, out_w / width)
    if needed > low + more and (height, width) != (out_h, out_w):
        with pytest.raises(DataError, match="smaller"):
            parse_transforms(text)(image(height, width))
    else:
        assert parse_transforms(text)(image(height, width, 1)).shape == (out_h, out_w, 1)


@pytest.mark.parametrize(("height", "width"), [(35, 60), (60, 39), (39, 39)])
def test_scalecrop_needs_room_for_its_largest_scale(height, width):
    with pytest.raises(DataError, match="pixels is smaller than the size divided by 0.8"):
        parse_transforms("scalecrop:32_32:0.5_0.8")(image(height, width))
    random.seed(0)
    assert parse_transforms("scalecrop:32_32:0.5_0.8")(image(40, 40)).shape == (32, 32, 3)


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_replace_histogram_of_two_images_needs_no_name(mode):
    pipeline, pair = parse_transforms(f"replace_histogram:anything:{mode}"), [image(), image()]
    one, two = pipeline(*pair)
    named = parse_transforms(f"replace_histogram:eq:{mode}")(*pair)
    np.testing.assert_array_equal(one, named[0])
    assert two.shape == (*pair[1].shape[:2], 2)
    for images in (1, 3):
        with pytest.raises(DataError, match="unknown target histogram 'anything'"):
            pipeline(*pair[:1] * images)


def test_scalecrop_cuts_the_same_window_of_all_images():
    first = image(50, 60)
    random.seed(0)
    one, two = parse_transforms("scalecrop:20_10:0.5_0.9")(
        first, np.pad(first, ((0, 9),) * 2 + ((0, 0),))
    )
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert one.shape == (10, 20, 3)


def test_random_crop():
    first = image(20, 30)
    one, two = parse_transforms("random_crop:7_5")(first, first)
    assert one.shape == (5, 7, 3)
    np.testing.assert_array_equal(one, two)
    with pytest.raises(DataError):
        parse_transforms("random_crop:31_5")(first)


def test_pad_and_erasing():
    picture = Image.new("RGB", (4, 2), (9, 8, 7))
    padded = np.asarray(parse_transforms("pad:3")(picture))
    assert padded.shape == (8, 10, 3) and padded.sum() == 8 * (9 + 8 + 7)
    np.testing.assert_array_equal(padded[3:5, 3:7], np.asarray(picture))
    with pytest.raises(DataError, match="before pil2np"):
        parse_transforms("pil2np | pad:3")(picture)
    black, shares = torch.zeros(3, 40, 20), []
    for seed in range(30):
        random.seed(seed)
        found = parse_transforms("random_erasing:1:0.1_0.2")(black)
        rows, columns = (found[0] > 0).any(1).sum(), (found[0] > 0).any(0).sum()
        colours = found.flatten(1).unique(dim=1)
        torch.testing.assert_close(colours, torch.tensor([[0, 0.485], [0, 0.456], [0, 0.406]]))
        assert (found[0] > 0).sum() == rows * columns
        shares.append(float(rows * columns / 800))
    assert 0.08 < min(shares) < 0.13 < 0.17 < max(shares) < 0.22
    assert not parse_transforms("random_erasing:0")(black).any()
    with pytest.raises(DataError, match="totensor before"):
        parse_transforms("random_erasing")(picture)


def test_mirror_flips_pil_and_arrays_alike():
    picture = Image.fromarray((image() * 255).astype(np.uint8))
    np.testing.assert_array_equal(
        parse_transforms("mirror:1 | pil2np")(picture),
        parse_transforms("pil2np | mirror:1")(picture),
    )


def test_downscale_keeps_the_callers_image():
    picture = Image.new("RGB", (40, 20))
    assert parse_transforms("downscale:10")(picture).size == (10, 5)
    assert picture.size == (40, 20)
    assert parse_transforms("downscale:10")(image(channels=1)).shape[2] == 1


@pytest.mark.parametrize("space", ["lab", "luv", "lsh", "hsv", "yxz", "slab", "SLUV", "rgb"])
def test_colour_spaces_there_and_back(space):
    # Linearized dark colours fall between the entries of OpenCV's tables.
    original = 0.15 + 0.85 * np.random.default_rng(1).random((30, 40, 3), dtype=np.float32)
    difference = np.abs(from_space(to_space(original, space), space) - original)
    assert difference.mean() < 5e-3 and (difference < 0.02).all()


def test_clahe_of_sides_the_grid_does_not_divide():
    result = clahe_image(image(33, 41), 1.0)
    assert result.shape == (33, 41, 3) and result.dtype == np.float32
    with pytest.raises(DataError, match="3 or more channels"):
        parse_transforms("apply_clahe")(image(channels=1))


def test_matching_against_a_naive_loop():
    channel, target = image(20, 20, 1)[:, :, 0] ** 2, distribution(image(20, 20, 1)[:, :, 0])
    own = np.array([sum(channel.ravel() < (level + 0.5) / 255) for level in range(256)]) / 400
    np.testing.assert_allclose(distribution(channel), own)
    centers = np.arange(256) / 255
    mapped = [np.interp(value, target, centers) for value in own]
    expected = [np.interp(value, centers, mapped) for value in channel.ravel()]
    np.testing.assert_allclose(match_channel(channel, target).ravel(), expected, atol=1e-6)


def test_gamma_reaches_the_target_or_its_bounds():
    channel = image()[:, :, 0]
    exponent = gamma_exponent(channel, 0.3)
    assert abs(np.mean(channel**exponent) - 0.3) < 1e-3
    assert gamma_exponent(channel, 0.999) == pytest.approx(0.1)
    assert gamma_exponent(np.zeros((4, 4)), 0.5) == 1


def test_even_halves_are_those_of_torchvision():
    array = np.random.RandomState(0).randint(0, 255, (40, 60, 3)).astype(np.uint8)
    for height, width in ((27, 41), (25, 43), (24, 44)):
        picture = Image.fromarray(array[:height, :width])
        found = parse_transforms("center_crop:20_24:even")(picture)
        expected = tv.CenterCrop((24, 20))(picture)
        assert np.array_equal(found, expected)
    with pytest.raises(DataError, match="'odd' is not one of smaller, even"):
        parse_transforms("center_crop:20:odd")


def test_values_of_caffe():
    picture = Image.fromarray(np.array([[[10, 20, 30]]], np.uint8))
    found = parse_transforms(
        "bgr | totensor | multiply:255 | normalize", ([104, 117, 128], [1] * 3)
    )
    assert np.allclose(found(picture).flatten(), [30 - 104, 20 - 117, 10 - 128], atol=1e-4)
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    assert parse_transforms("bgr")(array).tolist() == [[[2, 1, 0], [5, 4, 3]]]
    with pytest.raises(DataError, match="takes an array or a tensor: put pil2np or totensor"):
        parse_transforms("multiply:2")(picture)
