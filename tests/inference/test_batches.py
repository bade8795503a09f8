"""Batches of one size: how they are loaded, and made while the last one is in use."""

import threading

import pytest

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
