"""Views of photographs: crops and warps, and the pairs that they make."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.safe_pickle import load_pickle
from mdir.artifacts import collecting
from mdir.data.samplers import seeded
from mdir.data.transforms.parse import parse_transforms
from mdir.errors import UserError
from mdir.stages.photos.views import views


def gradient(width=80, height=60):
    """A picture whose red tells the column, green the row, blue nothing."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([columns * 3, rows * 4, np.full_like(rows, 200)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def album(folder, count=3):
    folder.mkdir(parents=True)
    for number in range(count):
        gradient().transpose(Image.Transpose(number)).save(folder / f"{number}.png")
    return folder


def step(root, **given):
    params = {"names": "album", "image_dir": "album", "directory": "out", "count": 3, **given}
    metadata, *_ = views(params)
    return metadata, {path.name: path.read_bytes() for path in (root / "out").glob("*.png")}


def corners(view):
    """Where the corners of a view of the gradient come from: ``[4, 2]``, columns and rows."""
    pixels = np.asarray(view, dtype=float)
    return np.array([pixels[y, x, :2] for y, x in itertools.product((0, -1), repeat=2)]) / [3, 4]


def test_a_warp_is_a_quadrilateral_within_the_picture():
    areas = []
    for seed in range(20):
        with seeded(seed):
            view = parse_transforms("random_warp:0.4_0.6:0.2")(gradient())
        assert (np.asarray(view)[:, :, 2] == 200).all()  # nothing from beyond the picture
        areas.append(view.width * view.height / (80 * 60))
        assert 0.74 <= view.width / view.height / (80 / 60) <= 1.36
        (left, top), (right, _), *_, (_, bottom) = corners(view)
        assert 0.55 * view.width < right - left < view.width + 1
        assert 0.55 * view.height < bottom - top < view.height + 1
    assert 0.38 < min(areas) < 0.45 and 0.55 < max(areas) < 0.62


def test_a_warp_without_distortion_is_a_crop():
    with seeded(5):
        view = parse_transforms("random_warp:0.5_0.5:0")(gradient())
    (left, top), *_ = corners(view).round().astype(int).tolist()
    box = (left, top, left + view.width, top + view.height)
    inner = (slice(1, -1), slice(1, -1))
    cut = np.asarray(gradient().crop(box), dtype=int)
    assert np.abs(cut - np.asarray(view, dtype=int))[inner].max() <= 1


def test_views_of_a_photograph_are_pairs_and_no_label_is_read(root):
    album(root / "album")
    with collecting() as told:
        metadata, files = step(root)
    assert (metadata["photographs"], metadata["views"], metadata["pairs"]) == (3, 9, 18)
    assert sorted(files) == [f"0000{image}_{view}.png" for image in range(3) for view in range(3)]
    assert len(set(files.values())) == 9
    read = load_pickle(metadata["training"])["train"]
    assert read["cids"] == [str(root / "out" / name) for name in sorted(files)]
    assert read["cluster"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    pairs = list(zip(read["qidxs"], read["pidxs"], strict=True))
    assert len(set(pairs)) == 18 and pairs[:3] == [(0, 1), (0, 2), (1, 0)]
    assert all(query // 3 == positive // 3 and query != positive for query, positive in pairs)
    assert str(root / "out") in told.outputs and len(told.files[str(root / "album")]) == 3


def test_views_depend_on_the_seed_alone(root):
    album(root / "album")
    _, files = step(root)
    torch.manual_seed(99)
    assert step(root)[1] == files
    assert not set(step(root, seed=1)[1].values()) & set(files.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"transforms": "random_warp | pil2np"}, "give no picture; leave out pil2np"),
        ({"transforms": "random_wrap"}, "Did you mean 'random_warp'"),
        ({"count": 1}, "count"),
        ({"names": "one", "image_dir": "one"}, "lists one photograph"),
    ],
)
def test_what_makes_no_pairs_is_told(root, given, message):
    album(root / "album")
    album(root / "one", 1)
    with pytest.raises(UserError, match=message):
        step(root, **given)
