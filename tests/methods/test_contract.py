"""What a method may ask of the loop: further data sections, batches of several of them."""

import json

import numpy as np
import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir.data.loading import make_dataset
from mdir.data.sections import DataName
from mdir.errors import UserError
from mdir.inference.descriptors import extract_descriptors
from mdir.methods.metric import SupervisedEpoch
from mdir.methods.translation.cyclegan import CycleGAN
from mdir.networks.factory import initialize_network
from mdir.registry import KINDS, check_parameters, names
from mdir.stages.train import train
from tests.learning.parallel.launching import launch
from tests.learning.parallel.test_distributed import tuples, world  # noqa: F401
from tests.stages.test_train_gan import MEAN_STD, data, params  # noqa: F401

IMAGES = [f"{number}.png" for number in range(5)]
GALLERY = {
    "dataset": {"name": "CirImageList", "image_dir": "named", "image_size": 32},
    "transforms": "pil2np | totensor | normalize",
    "mean_std": [[0.2, 0.4, 0.6], [0.5, 0.5, 0.5]],
}


class WatchingGallery(SupervisedEpoch):
    """Learns as its base and reports the descriptors of another data section."""

    def __init__(self, *given, gallery: DataName | None = "gallery", **options):
        super().__init__(*given, batch_average=False, fakebatch=True)
        self.gallery = gallery

    def prepare_epoch(self, dataset, epoch):
        found = extract_descriptors(self.network, self.data(self.gallery), what="the gallery")
        assert self.data(self.gallery) is self.data(self.gallery)
        super().prepare_epoch(dataset, epoch)
        return {"gallery": found.flatten().tolist()}


@pytest.fixture
def watching(world, monkeypatch):  # noqa: F811
    names("method")  # the others are registered first
    monkeypatch.setitem(KINDS["method"].components, "watching", WatchingGallery)
    given = tuples("run", 1)
    del given["__function__"]
    given["data"]["gallery"] = GALLERY
    given["learning"]["training"]["epoch_iteration"] = {
        "type": "watching", "data": "train", "criterion": "default", "gallery": "gallery",
    }  # fmt: skip
    return given


def test_a_method_gets_any_data_section_with_its_transforms(watching, root):
    train(watching, [IMAGES])
    rows = map(json.loads, (root / "run/epochs/events.jsonl").read_text().splitlines())
    (told,) = (row["data"] for row in rows if row["key"].endswith("data_mining"))
    network = initialize_network(watching["network"], "cpu")
    expected = extract_descriptors(network, make_dataset(GALLERY, None, [IMAGES]))
    assert expected.shape[1] == len(IMAGES)
    np.testing.assert_allclose(told["gallery"], expected.flatten(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "section", "path", "told"),
    [
        ("galery", GALLERY, ("gallery",), "Did you mean 'gallery'"),
        ("gallery", {**GALLERY, "transforms": "pil2mp"}, (), "Did you mean 'pil2np'"),
        (None, {}, None, ""),
        ("${later}", {}, None, ""),
    ],
)
def test_a_data_section_that_a_method_names_is_checked(watching, name, section, path, told):
    watching["data"]["gallery"] = section
    watching["learning"]["training"]["epoch_iteration"]["gallery"] = name
    problems = list(check_parameters(train.function, watching))
    if path is None:
        assert not problems
        return
    where = ("learning", "training", "epoch_iteration", *path)
    if not path:
        where = ("data", "gallery", "transforms")
    (message,) = [problem.message for problem in problems if problem.path == where]
    assert told in message


def test_the_default_name_is_checked_too(watching):
    del watching["learning"]["training"]["epoch_iteration"]["gallery"]
    del watching["data"]["gallery"]
    (problem,) = check_parameters(train.function, watching)
    assert "unknown data section 'gallery'" in problem.message


def two_sections(directory="run", epochs=2):
    """CycleGAN of images of two sections, which differ in transforms and number."""
    given = params(directory)
    given["learning"]["validation"] = False
    given["learning"]["training"]["epoch_iteration"]["data"] = ["day", "night"]
    given["learning"]["training"].update(epochs=epochs, scheduler=None)
    given["data"] = {
        name: {
            "dataset": {"name": "ImageList", "image_dir": "imgs/*.png", "data_cols": columns},
            "loader": {"batch_size": 2, "num_workers": 1},
            "transforms": f"pil2np | {crop} | totensor | normalize",
            "mean_std": MEAN_STD,
        }
        for name, columns, crop in (
            ("day", "0:1", "scalecrop:24_24:0.8_1"),
            ("night", "1:2", "scalecrop:28_28:0.9_1"),
        )
    }
    return given


NAMES = [[["0", "1", "2", "3"], ["4", "5", "6"]]]


def weights(root, directory):
    return load_weights(root / directory / "epochs" / "generator_X_epoch_02.pth")["model_state"]


def test_a_batch_joins_two_sections(data, monkeypatch):  # noqa: F811
    assert not list(check_parameters(train.function, two_sections()))
    seen, original = [], CycleGAN.step

    def step(self, batch):
        seen.append([(images.name, tuple(images.shape[2:])) for images in batch])
        return original(self, batch)

    monkeypatch.setattr(CycleGAN, "step", step)
    train(two_sections(), *NAMES)
    assert len(seen) == 2 * 2
    for (day, day_size), (night, night_size) in seen:
        assert len(day) == len(night) == 2 and set(night) <= set("456")
        assert (day_size, night_size) == ((24, 24), (28, 28))
    for epoch in (seen[:2], seen[2:]):
        assert {name for (day, _), _ in epoch for name in day} == set("0123")


def test_sections_of_too_few_images_are_refused_at_once(data, root):  # noqa: F811
    given = two_sections()
    given["data"]["night"]["loader"]["batch_size"] = 4
    with pytest.raises(UserError, match="a pass has 3 items, a batch 4"):
        train(given, *NAMES)
    assert not (root / "run" / "epochs" / "events.jsonl").exists()


def test_a_stopped_run_over_two_sections_goes_on(data, root):  # noqa: F811
    train(two_sections("whole"), *NAMES)
    for epochs in (1, 2):
        train(two_sections("parts", epochs), *NAMES)
    whole, parts = weights(root, "whole"), weights(root, "parts")
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_two_processes_divide_the_batches_of_two_sections(data, root):  # noqa: F811
    def run(number):
        train(two_sections("two"), *NAMES)

    train(two_sections("one"), *NAMES)
    assert launch(run) == [0, 0]
    one, two = weights(root, "one"), weights(root, "two")
    for key in one:
        if not key.endswith("bias"):  # before a normalization: rounding noise alone
            torch.testing.assert_close(one[key], two[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "sections", "told"),
    [
        ("cyclegan", ["day", "nigth"], "Did you mean 'night'"),
        (
            "cyclegan",
            ["day", "night", "day"],
            "CycleGanEpoch learns from 1 or 2 of the data sections",
        ),
        ("simclr", ["day", "night"], "simclr learns from 1 of the data sections, got"),
        ("cyclegan", 3, "expected text or a list of text"),
    ],
)
def test_sections_that_do_not_fit_are_told(data, method, sections, told):  # noqa: F811
    given = two_sections()
    iteration = given["learning"]["training"]["epoch_iteration"]
    iteration["data"] = sections
    if method == "simclr":
        iteration.update(type=method)
        del iteration["pool_size"]
    problems = [p.message for p in check_parameters(train.function, given)]
    assert any(told in message for message in problems), problems
