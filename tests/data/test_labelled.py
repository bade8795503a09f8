"""Images with labels: what keeps them and what drops them."""

import torch
from torch.utils.data import DataLoader

from mdir.data.labelled import LabelledImage, tensor_of


def image(value=0.0, name="x"):
    return LabelledImage.of_file(torch.full((3, 4, 5), value), f"/a/b.c/{name}.tar.jpg", "anc")


def test_name_is_the_file_without_its_last_suffix():
    assert image().name == "x.tar" and image().path == "/a/b.c/x.tar.jpg"
    assert LabelledImage.of_file(torch.zeros(1), "d.e/noext").name == "noext"


def test_torch_functions_keep_the_labels():
    scaled = torch.nn.functional.interpolate(
        LabelledImage(torch.zeros(1, 3, 4, 4), name="n"), scale_factor=2
    )
    assert scaled.shape == (1, 3, 8, 8) and scaled.name == "n"
    assert torch.is_tensor(torch.stack([image().tensor]))
    assert image().to(torch.float64).dtype == torch.float64
    assert image().unsqueeze_(0).shape == (1, 3, 4, 5)


def test_default_collate_makes_a_labelled_batch():
    items = [image(float(i), f"n{i}") for i in range(4)]
    batch = next(iter(DataLoader(items, batch_size=4)))
    assert batch.shape == (4, 3, 4, 5) and batch.dim() == 4
    assert batch.name == [f"n{i}.tar" for i in range(4)]
    assert batch.labels(2) == ("n2.tar", "anc")
    assert batch.tensor[3, 0, 0, 0] == 3


def test_plain():
    assert tensor_of(image()).shape == (3, 4, 5)
    assert tensor_of(None) is None
