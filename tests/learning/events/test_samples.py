"""Images out of tensors."""

import torch

from mdir.data.labelled import LabelledImage
from mdir.learning.events.samples import image_blobs

MEAN_STD = [[0.5, 0.4, 0.3], [0.5, 0.5, 0.5]]


def test_colours_are_put_back():
    found = image_blobs(torch.zeros(2, 3, 24, 24), MEAN_STD)
    assert list(found) == ["image0.rgb"]
    assert found["image0.rgb"]["data"][:, 0, 0].tolist() == torch.tensor(MEAN_STD[0]).tolist()


def test_lists_labels_and_single_channels():
    image = LabelledImage(torch.zeros(3, 24, 24), "p", "n")
    assert list(image_blobs([image, torch.zeros(3, 30, 30)])) == ["image0.rgb", "image1.rgb"]
    grey = image_blobs(torch.full((1, 24, 24), 0.25), MEAN_STD)
    assert list(grey) == ["image0.chan1"]
    assert grey["image0.chan1"]["data"][0, 0] == 0.25
    assert image_blobs(torch.zeros(1, 24, 24), [[0.5], [0.5]])["image0.chan1"]["data"][0, 0] == 0.5
    assert list(image_blobs(torch.zeros(2, 24, 24))) == ["image0.chan1", "image0.chan2"]


def test_whatever_is_no_image_is_left_out():
    assert image_blobs(torch.zeros(3, 10, 24)) == {}
    assert image_blobs(torch.zeros(5)) == {}
    assert image_blobs(torch.zeros(24, 24, dtype=torch.long)) == {}
    assert image_blobs({"a": 1}) == {}
    assert image_blobs(torch.zeros(7, 24, 24), MEAN_STD)["image0.rgb"]["data"].shape == (3, 24, 24)
