"""Batches of one size: what waits is bounded, frequent sizes come in full batches."""

import weakref

import pytest
import torch

from cirtorch.datasets import same_size_batches as module
from cirtorch.datasets.same_size_batches import area, read_ahead, same_size_batches


class Picture:
    def __init__(self, shape):
        self.shape = shape


class Reading:
    """Reads pictures of the given sizes and notes how many of them exist at every reading."""

    def __init__(self, sizes):
        self.sizes, self.read, self.alive, self.most_alive = sizes, 0, weakref.WeakSet(), 0

    def __iter__(self):
        for size in self.sizes:
            picture = Picture((3, size, size))
            self.read += 1
            self.alive.add(picture)
            self.most_alive = max(self.most_alive, len(self.alive))
            yield picture
            del picture


@pytest.mark.parametrize("sizes", [1, 5, 60, 600])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_pictures_in_memory_do_not_grow_with_their_number_or_their_sizes(sizes, batch_size):
    reading, handed_out = Reading([i % sizes for i in range(600)]), 0
    for positions, pictures in same_size_batches(reading, batch_size):
        assert len({picture.shape for picture in pictures}) == 1
        waiting = reading.read - handed_out - (batch_size == 1)
        assert waiting <= 8 * batch_size + 1
        handed_out += len(positions)
    assert handed_out == 600
    # those that wait, the one just read, and the last batch in the hands of the caller
    assert reading.most_alive <= (8 * batch_size if batch_size > 1 else 0) + 1 + batch_size


def test_eighty_sizes_are_not_all_read_before_the_first_batch():
    reading = Reading(range(80))
    assert next(same_size_batches(reading, 8))[0] == [0] and reading.read == 65


def test_as_many_sizes_as_a_batch_holds_images_all_come_in_full_batches():
    found = [positions for positions, _ in same_size_batches(Reading([0, 1, 2, 3] * 40), 4)]
    assert found == [
        [i, i + 4, i + 8, i + 12] for start in range(0, 160, 16) for i in range(start, start + 4)
    ]


def test_a_frequent_size_comes_in_full_batches_however_many_others_there_are():
    reading = Reading([0 if i % 2 else 1 + i for i in range(480)])
    batches = [p for p, pictures in same_size_batches(reading, 8) if pictures[0].shape[-1] == 0]
    assert batches == [list(range(i, i + 16, 2)) for i in range(1, 480, 16)]


def test_rare_sizes_come_in_the_order_in_which_they_first_appeared():
    sizes = [5, 6, 5, 7, 8, 6]
    assert [p for p, _ in same_size_batches(Reading(sizes), 4)] == [[0, 2], [1, 5], [3], [4]]


def test_what_has_no_size_goes_alone_at_once():
    items = [torch.zeros(3, 2, 2), {}, torch.zeros(3, 2, 2), [torch.zeros(3, 2, 2)], None]
    found = list(same_size_batches(items, 2))
    assert [positions for positions, _ in found] == [[1], [0, 2], [3], [4]]
    assert all(items[p] is item for row in found for p, item in zip(*row, strict=True))


def test_a_list_in_hand_is_grouped_by_size():
    images = [torch.rand(b, 3, s, 4) for b, s in [(1, 2), (2, 5), (3, 2), (1, 6), (1, 5)]]
    assert [p for p, _ in same_size_batches(images, 5)] == [[0, 2], [1, 4], [3]]


@pytest.mark.parametrize("pixels", [1, 50, 200, 10**6])
def test_batches_hold_equal_sizes_and_bounded_areas(pixels, monkeypatch):
    monkeypatch.setattr(module, "WAITING_BATCHES", 2)
    torch.manual_seed(0)
    tensors = [torch.rand(3, int(h), int(w)) for h, w in torch.randint(3, 9, (60, 2))]
    seen, read = {}, []
    reading = (read.append(tensor) or tensor for tensor in tensors)
    for positions, batch in same_size_batches(reading, pixels, area):
        assert len({tensor.shape for tensor in batch}) == 1
        assert len(positions) == 1 or sum(map(area, batch)) <= pixels
        waiting = sum(map(area, read)) - sum(map(area, seen.values()))
        assert waiting <= 2 * pixels + area(read[-1])
        seen.update(zip(positions, batch, strict=True))
    assert sorted(seen) == list(range(60)) and all(seen[i] is tensors[i] for i in range(60))


def test_reading_ahead_keeps_order_and_stops_early():
    assert list(read_ahead(lambda i: i * i, 100, workers=3)) == [i * i for i in range(100)]
    seen = []
    reader = read_ahead(lambda i: seen.append(i), 10_000, workers=2)
    next(reader)
    reader.close()
    assert len(seen) < 100
