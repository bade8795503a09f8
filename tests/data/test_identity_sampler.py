"""Sampling by identity: repeatable passes, other cameras first, and clear mistakes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.data.identity_sampler import IdentitySampler
from mdir.data.loading import make_dataset, make_loader
from mdir.data.sections import check_data_section

SECTION = {
    "dataset": {"name": "TwoDomains", "image_dir": "set", "split": "train"},
    "transforms": "pil2np | totensor",
    "loader": {"batch_size": 6, "num_workers": 0, "sampler": {"name": "identities"}},
}


def items(identities, cameras):
    class Items(SimpleNamespace):
        def __len__(self):
            return len(self.identities)

    return Items(identities=identities, cameras=cameras)


SEEN = items([7, 7, 7, 3, 3, -1, 5, 5, 5, 5, 9], [0, 0, 1, 2, 2, 0, 0, 1, 1, 2, 4])


def blocks(sampler):
    """The indices of a pass, cut where another identity begins."""
    found = []
    for index in sampler:
        identity = SEEN.identities[index]
        if not found or found[-1][0] != identity or len(found[-1][1]) == sampler.instances:
            found.append((identity, []))
        found[-1][1].append(index)
    return found


@pytest.mark.parametrize("epoch", range(20))
def test_a_pass_holds_k_items_of_each_identity(epoch):
    sampler = IdentitySampler(SEEN, 1, epoch, instances=3)
    found = blocks(sampler)
    assert sorted(identity for identity, _ in found) == [3, 5, 7, 9]
    assert len(sampler) == sum(len(members) for _, members in found) == 10
    assert {identity: len(members) for identity, members in found}[9] == 1
    for identity, (first, *others) in found:
        assert first not in others
        if identity in (5, 7):
            assert all(SEEN.cameras[other] != SEEN.cameras[first] for other in others)


def test_cameras_may_be_left_out_of_account():
    def pairs(**options):
        samplers = [IdentitySampler(SEEN, 1, epoch, instances=2, **options) for epoch in range(40)]
        return {
            tuple(members) for s in samplers for identity, members in blocks(s) if identity == 7
        }

    assert pairs() == {(0, 2), (1, 2), (2, 0), (2, 1)}
    assert pairs(across_cameras=False) == pairs() | {(0, 1), (1, 0)}


def test_a_pass_depends_on_seed_and_epoch_alone():
    def passes(seed, epoch):
        sampler = IdentitySampler(SEEN, seed, epoch)
        assert list(sampler) == list(sampler)
        return list(sampler)

    np.random.seed(5)
    first = passes(1, 0)
    np.random.seed(6)
    assert first == passes(1, 0)
    assert len({tuple(passes(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


@pytest.fixture
def domains(root):
    for place, count in (("day/train", 5), ("night/train", 5)):
        (root / "set" / place).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(root / "set" / place / f"{number}.png")


def labels(section, **options):
    loader = make_loader(make_dataset(section), section, {"shuffle": True}, 3, **options)
    return [list(zip(about["label"].tolist(), about["domain"].tolist(), strict=True))
            for _, about in loader]  # fmt: skip


def test_a_loader_section_names_it(domains):
    section = {**SECTION, "loader": {**SECTION["loader"]}}
    section["loader"]["sampler"] = {"name": "identities", "instances": 2}
    batches = labels(section)
    assert [len(batch) for batch in batches] == [6, 4]
    for batch in batches:
        for (label, domain), (other_label, other_domain) in zip(
            batch[::2], batch[1::2], strict=True
        ):
            assert label == other_label and domain != other_domain


def test_epochs_of_so_many_batches_go_through_whole_passes(domains):
    section = {**SECTION, "loader": {"batch_size": 4, "num_workers": 0}}
    section["loader"]["sampler"] = {"name": "identities", "instances": 2}
    epochs = [labels(section, iterations=3, epoch=epoch) for epoch in (0, 1)]
    batches = [batch for epoch in epochs for batch in epoch]
    assert [len(batch) for batch in batches] == [4] * 6
    # two whole batches a pass of ten, which show four of the five identities
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        assert len({label for label, _ in first + second}) == 4


@pytest.mark.parametrize("iterations", [None, 3])
def test_an_item_that_comes_again_gets_other_random_numbers(iterations):
    class Drawing(SimpleNamespace):
        identities = (0, 0, 1, 1)

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return index, torch.rand(())

    loader = {"batch_size": 8, "num_workers": 0, "sampler": SECTION["loader"]["sampler"]}
    batches = list(make_loader(Drawing(), {"loader": loader}, iterations=iterations))
    drawn = [number for _, numbers in batches for number in numbers.tolist()]
    assert len(drawn) == len(set(drawn)) == 8 * (iterations or 1)


@pytest.mark.parametrize(
    ("dataset", "sampler", "key", "told"),
    [
        ({}, {"name": "identites"}, "name", "Did you mean 'identities'"),
        ({}, {"name": "identities", "instances": 0}, "instances", "1 or more"),
        ({}, {"name": "identities", "instance": 4}, "instance", "Did you mean 'instances'"),
        (
            {"name": "CirImageList", "image_dir": "x", "image_size": None},
            {"name": "identities"},
            "name",
            "identities needs identities, which the dataset CirImageList does not give",
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(dataset, sampler, key, told):
    section = {"dataset": dataset or SECTION["dataset"], "loader": {"sampler": sampler}}
    (problem,) = check_data_section(section, ("train",))
    assert problem.path == ("train", "loader", "sampler", key) and told in problem.message
