"""Descriptors of many images: buckets, unreadable images, wrappers."""

import random

import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.data.labelled import LabelledImage
from mdir.data.loading import make_dataset
from mdir.inference import batches
from mdir.inference.descriptors import (
    Views,
    extract_batches,
    extract_descriptors,
    prepare_dataset,
)
from mdir.networks.single import SingleNetwork


class Colours(torch.nn.Module):
    """Descriptor ``[D, B]``: a convolution's mean."""

    meta = {"in_channels": 3, "out_channels": 5, "pooling": "spoc"}

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 5, 3)
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.conv(x).relu().mean(dim=(2, 3)).t()


class Images(torch.utils.data.Dataset):
    """Seven images of two sizes; number 0 and 3 cannot be read."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        if index in (0, 3):
            return {}
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(3, 32 + 8 * (index % 2), 40, generator=generator)
        return LabelledImage(image, f"/{index}.jpg", str(index), "anc")


def network(wrappers):
    return SingleNetwork(Colours(), {"model": {}, "runtime": {"wrappers": wrappers}})


def extract(net, batch_size=None, workers=0):
    loader = {"num_workers": workers, "batch_size": batch_size}
    return extract_descriptors(net, Images(), loader)


@pytest.mark.parametrize(
    "wrappers",
    [
        None,
        "cirfaketuplebatch",
        "cirmultiscale:sms5",
        "cir_ratio_pass_through:1:anc",
        "rgb2bgr_pre",
    ],
)
def test_buckets_give_what_single_images_give(wrappers):
    single, buckets = network(wrappers), network(wrappers)
    expected, result = extract(single), extract(buckets, batch_size=2)
    torch.testing.assert_close(result, expected, equal_nan=True, rtol=0, atol=1e-6)
    assert max(buckets.model.batches) == 2 and max(single.model.batches) == 1
    assert result.isnan().any(dim=0).nonzero().flatten().tolist() == [0, 3]


@pytest.mark.parametrize("number", [120, 240])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_few_of_as_many_sizes_as_images_are_read_before_they_are_extracted(number, batch_size):
    class Sizes(Images):
        read = 0

        def __len__(self):
            return number

        def __getitem__(self, index):
            self.read += 1
            return torch.full((3, 3, 3 + index), index / number)

    images, net, seen, most = Sizes(), network(None), 0, 0
    found = torch.full((5, number), float("nan"))
    for indices, columns in extract_batches(
        net, images, {"num_workers": 0, "batch_size": batch_size}
    ):
        seen += len(indices)
        found[:, indices] = columns
        most = max(most, images.read - seen)
    assert most == (8 * batch_size if batch_size > 1 else 0)
    expected = [net.model(images[index][None]).detach() for index in range(number)]
    torch.testing.assert_close(found, torch.cat(expected, dim=1))


def test_workers_change_nothing():
    assert torch.equal(
        torch.nan_to_num(extract(network(None))),
        torch.nan_to_num(extract(network(None), workers=2)),
    )


def test_random_wrappers_see_images_one_by_one_in_order():
    net = network("random_pass_through:1.0")
    random.seed(0)
    extract(net, batch_size=4)
    assert set(net.model.batches) == {1}


def test_the_network_is_in_eval_mode_without_gradients():
    net = network(None)
    net.train()
    indices, columns = next(extract_batches(net, Images()))
    assert net.stage == "eval" and not columns.requires_grad and indices == [1]


def test_nothing_readable():
    class Broken(Images):
        def __getitem__(self, index):
            return {}

    with pytest.raises(DataError, match="none of 7 images"):
        extract_descriptors(network(None), Broken())


def test_a_dataset_chooses_its_items_by_descriptors():
    class Mined(Images):
        def prepare_epoch(self, extract):
            return {"seen": extract(self, "mining")}

    net = network(None)
    found = prepare_dataset(Mined(), net)["seen"]
    torch.testing.assert_close(found, extract(net), equal_nan=True)
    assert prepare_dataset(Images(), net) is None


@pytest.mark.parametrize("given", [{}, {"num_workers": 2}])
def test_mining_reads_as_the_loader_of_its_section(given, monkeypatch):
    class Mined(Images):
        def prepare_epoch(self, extract):
            return {"seen": extract(self, "mining")}

    asked, made = [], batches.make_loader

    def make_loader(dataset, section, **options):
        asked.append(section["loader"]["num_workers"])
        return made(dataset, section, **options)

    monkeypatch.setattr(batches, "make_loader", make_loader)
    monkeypatch.setattr(registry, "make", lambda *_: Mined())
    dataset = make_dataset({"dataset": {"name": "mined"}, "transforms": "", "loader": given})
    prepare_dataset(dataset, network(None))
    assert asked == [given.get("num_workers")]


def test_a_dataset_may_take_the_network_and_the_device():
    class Mined(Images):
        def prepare_epoch(self, network, device):
            return {"given": (network, device)}

    net = network(None)
    assert prepare_dataset(Mined(), net) == {"given": (net, torch.device("cpu"))}


def test_mining_computes_where_the_network_is():
    class Elsewhere:
        wrappers, members, device = {"eval": []}, {}, torch.device("meta")

        def eval(self):
            pass

        def __call__(self, images):
            return images.tensor.mean(dim=(2, 3)).t()

    class Mined(Images):
        def prepare_epoch(self, extract):
            vectors = extract(self, "mining")
            return {"device": vectors.device.type, "shape": vectors.shape}

    assert prepare_dataset(Mined(), Elsewhere()) == {"device": "meta", "shape": (3, 7)}


class Narrow(torch.utils.data.Dataset):
    """Views of files, the second of which is too narrow for a convolution of three pixels."""

    files = ("a.jpg", "b.jpg")

    def __len__(self):
        return 2

    def view(self, index):
        return torch.zeros(3, 2 if index else 8, 40)


class Labelled(Narrow):
    def __getitem__(self, index):
        return LabelledImage(self.view(index), f"/{self.files[index]}")


@pytest.mark.parametrize(
    "dataset, name",
    [
        (Labelled(), "/b.jpg"),
        (Views(Narrow()), "b.jpg"),
        (torch.utils.data.Subset(Views(Narrow()), [1]), "b.jpg"),
        ([torch.zeros(3, 8, 8), torch.zeros(3, 2, 40)], "image 1"),
    ],
)
def test_an_image_that_the_network_cannot_take_is_named(dataset, name):
    with pytest.raises(DataError, match=f"^{name}: as an input of 40 x 2 pixels .*Kernel size"):
        list(extract_batches(network(None), dataset))
