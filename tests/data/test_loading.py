"""Loading: the same samples for any number of workers, and clear errors."""

import multiprocessing
import random
import subprocess

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.data.loading import make_dataset, make_loader, select_columns
from mdir.data.samplers import sample_seed, seeded
from mdir.data.sections import check_data_section, loader_options
from mdir.errors import USER_ERRORS, UserError
from mdir.learning.parallel.steps import DividedLoader


class Noise(torch.utils.data.Dataset):
    """Items that draw from every global generator."""

    def __len__(self):
        return 11

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(2), torch.rand(2)


def drawn(workers, epoch=0, seed=3, **loader):
    section = {"loader": {"batch_size": 4, "num_workers": workers, **loader}}
    batches = make_loader(Noise(), section, {"shuffle": True}, seed, epoch)
    return [[torch.as_tensor(part).tolist() for part in batch] for batch in batches]


def test_samples_do_not_depend_on_workers():
    assert drawn(0) == drawn(1) == drawn(2)


def test_samples_depend_on_seed_epoch_and_index():
    assert drawn(0) != drawn(0, epoch=1)
    assert drawn(0) != drawn(0, seed=4)
    assert len({value for batch in drawn(0) for value in batch[1]}) == 11


def test_a_pass_is_a_permutation_and_repeats():
    order = [index for batch in drawn(0) for index in batch[0]]
    assert sorted(order) == list(range(11)) and order != sorted(order)
    loader = make_loader(Noise(), {"loader": {"batch_size": 2, "num_workers": 0}}, None, 1, 0)
    assert [b[1].tolist() for b in loader] == [b[1].tolist() for b in loader]


def test_global_generators_are_left_alone():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    drawn(0)
    drawn(2)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_generators_are_restored_after_an_error():
    state = random.getstate()
    with pytest.raises(KeyError), seeded(1):
        raise KeyError
    assert random.getstate() == state


def test_sample_seeds_differ():
    seeds = {sample_seed(s, e, i) for s in range(3) for e in range(3) for i in range(-2, 20)}
    assert len(seeds) == 3 * 3 * 22


def test_precedence_of_loader_options():
    dataset = Noise()
    dataset.loader_defaults = {"drop_last": True, "batch_size": 4}
    assert len(make_loader(dataset, {}, {"batch_size": 1})) == 2
    assert len(make_loader(dataset, {"loader": {"drop_last": False}})) == 3


def test_a_loader_needs_a_batch_size(root):
    with pytest.raises(USER_ERRORS, match="batch_size is missing"):
        make_loader(Noise(), {})


def test_a_section_is_checked_in_all_its_parts():
    section = {
        "dataset": {"name": "ImageList", "image_dirs": "x", "data_cols": "0:1"},
        "loader": {"batch_size": "many", "num_worker": 2},
        "transforms": "pil2np | scalecorp:1_1",
        "mean_std": [[0.5], [0]],
        "transform": "",
    }
    found = {problem.path: problem.message for problem in check_data_section(section, ("train",))}
    assert ("train", "dataset", "image_dirs") in found
    assert "image_dir" in found["train", "dataset"]
    assert ("train", "loader", "batch_size") in found
    assert "Did you mean 'num_workers'" in found["train", "loader", "num_worker"]
    assert "Did you mean 'scalecrop'" in found["train", "transforms"]
    assert "zero" in found["train", "mean_std"]
    assert "Did you mean 'transforms'" in found["train", "transform"]


def touch(path):
    path.parent.mkdir()
    path.touch()


def test_normalizing_needs_mean_std(root):
    touch(root / "x/a.jpg")
    section = {"dataset": {"name": "ImageList", "image_dir": "x"}, "transforms": "normalize"}
    assert list(check_data_section(section)) == []
    with pytest.raises(USER_ERRORS, match="'normalize' needs the mean_std"):
        make_dataset(section, {}, (["a"],))
    make_dataset(section, {"mean_std": [[0.5], [0.5]]}, (["a"],))


def test_make_dataset_takes_defaults_of_the_network(root):
    section = {"dataset": {"name": "ImageList", "image_dir": "x", "data_cols": "1:"}}
    defaults = {"transforms": "pil2np | totensor | normalize", "mean_std": [[0.5] * 3, [0.5] * 3]}
    touch(root / "x/b.jpg")
    dataset = make_dataset(section, defaults, (["a"], ["b"]))
    assert "Normalize" in repr(dataset.transform)
    assert dataset.paths(0) == [str(root / "x" / "b.jpg")]


def test_columns():
    assert select_columns("abc", "0:2") == ("a", "b")
    assert select_columns("abc", None) == ("a", "b", "c")
    with pytest.raises(USER_ERRORS, match="first:end"):
        select_columns("abc", "x")


def test_epochs_of_so_many_iterations_go_through_whole_passes():
    class Numbers(torch.utils.data.Dataset):
        def __len__(self):
            return 7

        def __getitem__(self, index):
            return index, torch.rand(())

    def epoch(number):
        loader = make_loader(
            Numbers(), {"loader": {"batch_size": 2, "num_workers": 0}}, {"shuffle": True},
            epoch=number, iterations=4,
        )  # fmt: skip
        return [item for batch in loader for item in zip(*map(list, batch), strict=True)]

    rows = [(int(i), float(x)) for number in range(3) for i, x in epoch(number)]
    passes = [rows[start : start + 6] for start in range(0, 24, 6)]
    assert all(len({index for index, _ in one}) == 6 for one in passes)
    assert passes[0] != passes[1]
    assert len({value for _, value in rows}) == 24
    assert [(int(i), float(x)) for i, x in epoch(1)] == rows[8:16]


def test_few_items_need_no_workers():
    assert make_loader(Noise(), {"loader": {"batch_size": 1}}).num_workers == 0
    assert make_loader(Noise(), {"loader": {"batch_size": 1, "num_workers": 2}}).num_workers == 2
    assert loader_options(10**6)["num_workers"] >= 1


class Broken(Noise):
    """Item 7 cannot be made."""

    def __getitem__(self, index):
        if index == 7:
            raise UserError("seven.jpg: cannot be read")
        return index


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_workers_keep_their_message(workers):
    loader = make_loader(Broken(), {"loader": {"batch_size": 2, "num_workers": workers}})
    with pytest.raises(DataError) as caught:
        list(loader)
    assert str(caught.value) == "seven.jpg: cannot be read"


@pytest.mark.parametrize("workers", [0, 2])
def test_divided_loaders_raise_as_whole_ones(workers):
    loader = make_loader(Broken(), {"loader": {"batch_size": 2, "num_workers": workers}})
    with pytest.raises(DataError, match="seven.jpg"):
        list(DividedLoader([loader]))


def test_a_worker_that_is_asked_to_end_is_no_failure():
    loader = make_loader(Noise(), {"loader": {"batch_size": 2, "num_workers": 1}})
    batches = iter(loader)
    next(batches)
    (worker,) = multiprocessing.active_children()
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)  # not by its parent
    worker.join()
    assert worker.exitcode == 0
