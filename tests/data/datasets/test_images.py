"""Image datasets: what an item is, and what happens to files that are not images."""

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.datasets.images import CirImageList, ImageList, InferImageList
from mdir.data.image_files import crop_path, load_image, open_image
from mdir.data.loading import make_loader
from mdir.data.transforms.parse import parse_transforms

TRANSFORM = parse_transforms("pil2np | totensor")


@pytest.fixture
def folder(root):
    """Two images of 40 x 20 and 10 x 30 pixels and a text file that claims to be one."""
    rng = np.random.default_rng(0)
    for name, shape in (("a.png", (20, 40, 3)), ("b.png", (30, 10, 3))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / name)
    (root / "broken.png").write_text("no image")
    return root


def test_image_list(folder):
    dataset = ImageList(TRANSFORM, (["a", "b"],), image_dir="*.png")
    assert len(dataset) == 2
    assert dataset[0].shape == (3, 20, 40)
    assert (dataset[1].name, dataset[1].path) == ("b", str(folder / "b.png"))


def test_image_list_of_several_columns_and_lists_of_names(folder):
    dataset = ImageList(TRANSFORM, (["a"], ["b"]), image_dir="*.png")
    assert [image.name for image in dataset[0]] == ["a", "b"]
    nested = InferImageList(TRANSFORM, ([["a", "b"]],), image_dir="*.png")
    names, images = nested[0]
    assert names == ("a", "b") and len(images) == 2


def test_batches_keep_the_labels(folder):
    dataset = ImageList(TRANSFORM, (["a", "a"],), image_dir="*.png")
    batch = next(iter(make_loader(dataset, {"loader": {"batch_size": 2, "num_workers": 0}})))
    assert batch.shape == (2, 3, 20, 40) and batch.name == ["a", "a"]


def test_columns_of_different_length(folder):
    with pytest.raises(DataError, match="equal lengths"):
        ImageList(TRANSFORM, (["a"], ["b", "a"]), image_dir="*.png")
    with pytest.raises(DataError, match="columns"):
        ImageList(TRANSFORM, (), image_dir="*.png")


def test_cir_image_list(folder):
    inputs = (["a", "a"], [None, [10, 5, 30, 15]], ["anc", None])
    dataset = CirImageList(TRANSFORM, inputs, image_dir="*.png", image_size=20, image_labels=True)
    assert dataset[0].shape == (3, 10, 20) and dataset[0].image_label == "anc"
    # The crop is shrunk by the factor 2 that the full image would be.
    assert dataset[1].shape == (3, 5, 10) and dataset[1].image_label == ""


def test_unreadable_images(folder, capsys):
    params = {"image_dir": "*.png", "image_size": None}
    dataset = CirImageList(TRANSFORM, (["broken"],), **params)
    with pytest.raises(DataError, match="broken.png"):
        dataset[0]
    missing = "1 of its 2 images are missing, the first one is .*gone.png"
    for kind, options in ((CirImageList, params), (ImageList, {"image_dir": "*.png"})):
        with pytest.raises(DataError, match=missing):
            kind(TRANSFORM, (["broken", "gone"],), **options).require_files()
    lenient = CirImageList(TRANSFORM, (["broken"],), ignore_errors=True, **params)
    assert lenient[0] == {}
    assert "broken.png" in capsys.readouterr().err
    loader = make_loader(lenient, {"loader": {"batch_size": 1, "num_workers": 0}})
    assert list(loader) == [{}]


def test_a_crop_beyond_the_image_is_black(folder):
    image = load_image(str(folder / "a.png"), None, (30.4, 10.5, 50.4, 25.5))
    pixels = np.asarray(image)
    assert pixels.shape == (16, 20, 3) and (pixels[:, 10:] == 0).all()
    with pytest.raises(DataError, match="a.png: the box"):
        load_image(str(folder / "a.png"), 10, (5, 5, 5, 9))
    with pytest.raises(DataError, match="a.png: the box"):
        load_image(str(folder / "a.png"), 10, (5, 5, 9))
    with pytest.raises(DataError, match="a.png: the box"):  # rounded, it holds no pixel
        load_image(str(folder / "a.png"), 10, (5.1, 5, 5.4, 9))


def test_sides_of_a_shrunk_crop_are_exact(folder):
    Image.new("RGB", (450, 300)).save(folder / "wide.png")
    # 100 * 261 / 450 = 58, though 100 * (261 / 450) = 57.99999999999999
    assert load_image(str(folder / "wide.png"), 100, (0, 0, 261, 90)).size == (58, 20)


def test_crops_made_beforehand(folder):
    Image.new("RGB", (9, 10), "white").save(folder / "a.3_4_12_14.png")
    image = load_image(str(folder / "a.png"), 20, (2.6, 4.2, 12.4, 14.4), precropped=True)
    assert max(image.size) == 5 and np.asarray(image).min() == 255
    assert crop_path("x.jpg", (0.5, 1, 2, 3)) == "x.1_1_2_3.jpg"


def test_arrays(folder):
    np.save(folder / "array.npy", np.zeros((4, 5, 2), np.float32))
    assert open_image(str(folder / "array.npy")).shape == (4, 5, 2)
    dataset = CirImageList(TRANSFORM, (["array.npy"],), image_dir="*", image_size=3)
    assert torch.equal(dataset[0].tensor, torch.zeros(2, 4, 5))


def test_photographs(photos):
    first = sorted(photos.rglob("*.jpg"))[0]
    image = load_image(str(first), 64)
    assert max(image.size) == 64 and image.mode == "RGB"
