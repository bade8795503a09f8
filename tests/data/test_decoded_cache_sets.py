"""Data sets that read through the cache of decoded images."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.data.loading import make_dataset
from mdir.data.sections import check_data_section, without_speed
from mdir.registry import Problem
from mdir.scenario.journal import why_again
from tests.data.datasets.test_tuples import PARAMS, database  # noqa: F401
from tests.data.decoded_pictures import listed, noise, paint
from tests.methods.tiny_proxies import dataset as classes
from tests.methods.tiny_proxies import write_classes
from tests.methods.tiny_reid import data_section as persons
from tests.methods.tiny_reid import write_market
from tests.scores.test_place_recall import write_city

pytestmark = pytest.mark.usefixtures("untold", "fresh")


def two_domains(root):
    for seed, place in enumerate(("day/train/0.png", "night/train/0.png")):
        (root / "set" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise((20, 16), seed)).save(root / "set" / place)
    return {"name": "TwoDomains", "image_dir": "set", "split": "train"}


def unpaired(root):
    two_domains(root)
    params = {"image_dir": "", "size": 2}
    return {"name": "RandomDomainsPair", "dataset_X": "set/day/train",
            "dataset_Y": "set/night/train", **params}  # fmt: skip


def market(root):
    write_market(root, persons=1)
    return persons(root)["dataset"]


def birds(root):
    write_classes(root)
    return classes("train")


def city(root):
    write_city(root)
    return {"name": "places", "set": "folder", "image_dir": "set"}


def picked(root):
    paint(root / "pictures")
    (root / "t.tsv").write_text('names\n["0.jpg", "1.png", "2.jpg"]\n')
    return {"name": "PregeneratedImageTuple", "dataset": "t.tsv", "data_key": "names",
            "image_dir": "pictures", "idx": "0_-1_any"}  # fmt: skip


def tuples(root):
    return {"name": "CirTuples", **PARAMS}


def flat(item):
    if isinstance(item, (list, tuple)):
        return [part for one in item for part in flat(one)]
    if isinstance(item, dict):
        return flat(list(item.values()))
    return [getattr(item, "tensor", item)]


def prepared(dataset, seed):
    """Whatever an epoch looks at: what is mined, too."""
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    seen = []

    def extract(images, what):
        columns = [images[index].tensor.mean((1, 2)) for index in range(len(images))]
        seen.extend(columns)
        return torch.nn.functional.normalize(torch.stack(columns, dim=1), dim=0)

    if hasattr(dataset, "prepare_epoch"):
        dataset.prepare_epoch(extract)
    return seen + [part for index in range(len(dataset)) for part in flat(dataset[index])]


@pytest.mark.parametrize("write", [two_domains, unpaired, market, birds, city, picked, tuples])
def test_every_dataset_gives_what_it_gave(root, database, write, decoded):  # noqa: F811
    section = {"dataset": write(root), "transforms": "resize_to:12_10 | mirror | totensor"}
    assert not list(check_data_section({**section, "decoded_cache": 0.5}))
    plain = prepared(make_dataset(section), 5)
    for count in (1, 0):
        del decoded[:]
        found = prepared(make_dataset({**section, "decoded_cache": 0.5}), 5)
        assert len(found) == len(plain) > 1 and bool(decoded) == bool(count)
        for one, other in zip(found, plain, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("value, message", [
    (0, "expected more than 0, got 0"), ("much", "expected a number or null, got 'much'"),
])  # fmt: skip
def test_mistakes(value, message):
    (problem,) = check_data_section(listed(decoded_cache=value), ("train",))
    assert problem == Problem(("train", "decoded_cache"), problem.message)
    assert message in problem.message


def test_a_dataset_that_does_not_read_through_it(monkeypatch):
    from mdir.data.datasets.images import ImageList

    monkeypatch.setattr(ImageList, "takes_decoded_cache", False)
    (problem,) = check_data_section(listed(decoded_cache=1))
    assert problem.path == ("decoded_cache",)
    assert problem.message.startswith("the dataset ImageList does not read through it; those are ")
    assert "CirTuples" in problem.message and "places" in problem.message


def test_it_is_no_change():
    section = listed(loader={"batch_size": 2, "num_workers": 4})
    with_it = {"data": {"train": {**section, "decoded_cache": 3}}}
    assert without_speed(with_it) == without_speed({"data": {"train": section}})
    record = {"status": "done", "format": 2, "function": "f", "stdin": None,
              "refers_to": {}, "outputs": {}, "inputs": {}}  # fmt: skip
    record = {**record, "parameters": {"data": {"train": section}}}
    assert why_again(record, "f", with_it, None, {}) is None
    other = {"data": {"train": {**with_it["data"]["train"], "strict_images": True}}}
    assert "data.train.strict_images" in why_again(record, "f", other, None, {})
