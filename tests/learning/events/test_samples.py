"""Pictures out of tensors."""

import torch

from mdir.data.labelled import LabelledImage
from mdir.learning.events.samples import pictures

MEAN_STD = [[0.5, 0.4, 0.3], [0.5, 0.5, 0.5]]


def test_colours_are_put_back():
    found = pictures(torch.zeros(2, 3, 24, 24), MEAN_STD)
    assert list(found) == ["image0.rgb"]
    assert found["image0.rgb"]["data"][:, 0, 0].tolist() == torch.tensor(MEAN_STD[0]).tolist()


def test_lists_labels_and_single_channels():
    image = LabelledImage(torch.zeros(3, 24, 24), "p", "n")
    assert list(pictures([image, torch.zeros(3, 30, 30)])) == ["image0.rgb", "image1.rgb"]
    grey = pictures(torch.full((1, 24, 24), 0.25), MEAN_STD)
    assert list(grey) == ["image0.chan1"]
    assert grey["image0.chan1"]["data"][0, 0] == 0.25
    assert pictures(torch.zeros(1, 24, 24), [[0.5], [0.5]])["image0.chan1"]["data"][0, 0] == 0.5
    assert list(pictures(torch.zeros(2, 24, 24))) == ["image0.chan1", "image0.chan2"]


def test_whatever_is_no_picture_is_left_out():
    assert pictures(torch.zeros(3, 10, 24)) == {}
    assert pictures(torch.zeros(5)) == {}
    assert pictures(torch.zeros(24, 24, dtype=torch.long)) == {}
    assert pictures({"a": 1}) == {}
    assert pictures(torch.zeros(7, 24, 24), MEAN_STD)["image0.rgb"]["data"].shape == (3, 24, 24)
