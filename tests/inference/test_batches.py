"""Batches of one size: how they are loaded, and made while the last one is in use."""

import threading

import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from mdir.errors import UserError
from mdir.inference import batches
from mdir.inference.batches import ahead, load_same_size


def test_the_next_is_made_while_one_is_in_use():
    begun = threading.Event()

    def numbers():
        yield 1
        begun.set()
        yield 2

    found = ahead(numbers())
    assert next(found) == 1
    assert begun.wait(60)
    assert list(found) == [2]


def test_processes_of_a_loader_end_well(monkeypatch):
    codes, end = [], _MultiProcessingDataLoaderIter._shutdown_workers

    def ended(self):
        end(self)
        codes.extend(worker.exitcode for worker in self._workers)

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_shutdown_workers", ended)
    images = [torch.full((3, 2, 2), float(i)) for i in range(7)]
    found = list(ahead(load_same_size(images, {"num_workers": 2}, 3, "")))
    assert [at for at, _ in found] == [[0, 1, 2], [3, 4, 5], [6]]
    assert set(codes) == {0}


def test_an_error_comes_in_its_turn():
    def numbers():
        yield 1
        raise UserError("broken")

    found = ahead(numbers())
    assert next(found) == 1
    with pytest.raises(UserError, match="broken"):
        next(found)


def test_images_are_not_pinned_one_by_one(monkeypatch):
    asked = []

    def make_loader(dataset, section, **_):
        asked.append(section["loader"])
        return []

    monkeypatch.setattr(batches, "make_loader", make_loader)
    assert list(load_same_size([1], {"pin_memory": True, "num_workers": 2}, 4, "")) == []
    assert [(one["pin_memory"], one["num_workers"]) for one in asked] == [(False, 2)]
