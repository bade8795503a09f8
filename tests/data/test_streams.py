"""Joined streams: one loader, a batch of each section, lengths, repeatability, errors."""

import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.data.streams import Stream, join_loaders, stream_loaders
from mdir.errors import UserError
from mdir.learning.parallel.steps import DividedLoader


class Numbers(torch.utils.data.Dataset):
    """``size`` items ``(index, a random number)``; identities in pairs."""

    def __init__(self, size):
        self.size = size
        self.identities = [index // 2 for index in range(size)]

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return index, torch.rand(())


class Images(Numbers):
    """Items of another form, with a collate function of their own."""

    @staticmethod
    def collate_fn(items):
        return {"images": torch.stack([number for _, number in items])}

    def __getitem__(self, index):
        if index == 1_000:
            raise UserError("the image is gone")
        return super().__getitem__(index)


def stream(dataset, batch_size, first_epoch=0, **loader):
    loader = {"batch_size": batch_size, "num_workers": 0, **loader}
    return Stream(dataset, {"loader": loader}, first_epoch)


def epoch(streams, number=0, **options):
    loader = join_loaders(stream_loaders(streams, {"shuffle": True}, 7, number, **options))
    batches = list(loader)
    assert len(loader) == len(batches)
    return [[[part.tolist() for part in batch] for batch in joined] for joined in batches]


def test_a_batch_is_one_of_each_section():
    source = stream(Numbers(12), 4, sampler={"name": "identities", "instances": 2})
    for source_batch, target_batch in epoch([source, stream(Numbers(9), 3)]):
        indices = source_batch[0]
        assert len(indices) == 4 and len(target_batch[0]) == 3
        assert [index // 2 for index in indices[::2]] == [index // 2 for index in indices[1::2]]


@pytest.mark.parametrize("sizes", [(10, 4), (10, 40)])
def test_an_epoch_is_a_pass_over_the_first(sizes):
    streams = [stream(Numbers(sizes[0]), 4), stream(Numbers(sizes[1]), 2)]
    batches = epoch(streams)
    assert [len(first[0]) for first, _ in batches] == [4, 4, 2]
    assert sorted(index for first, _ in batches for index in first[0]) == list(range(10))
    assert [len(second[0]) for _, second in batches] == [2, 2, 2]


def test_the_others_go_through_whole_passes_over_the_epochs():
    streams = [stream(Numbers(4), 2), stream(Numbers(6), 2)]
    seen = [i for number in range(3) for _, second in epoch(streams, number) for i in second[0]]
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6)) and seen[:6] != seen[6:]


def test_epoch_iterations_hold_for_all():
    assert len(epoch([stream(Numbers(4), 2), stream(Numbers(6), 2)], iterations=5)) == 5


def test_what_the_first_gives_does_not_depend_on_the_others():
    first, second = stream(Numbers(10), 4), stream(Numbers(10), 4)
    alone = [[part.tolist() for part in batch] for batch in stream_loaders([first], None, 7)[0]]
    joined = list(join_loaders(stream_loaders([first, second], None, 7)))
    assert [[part.tolist() for part in batch] for batch, _ in joined] == alone
    # and the others draw for themselves: the same items with other numbers
    assert joined[0][0][0].tolist() == joined[0][1][0].tolist()
    assert joined[0][0][1].tolist() != joined[0][1][1].tolist()


def test_workers_change_nothing():
    def all_of(workers):
        return epoch([stream(Numbers(10), 4, num_workers=workers), stream(Numbers(9), 3)])

    assert all_of(0) == all_of(2)


def test_each_section_collates_its_own_items():
    loaders = stream_loaders([stream(Numbers(4), 2), stream(Images(4), 2)])
    (indices, _), images = next(iter(join_loaders(loaders)))
    assert indices.tolist() == [0, 1] and images["images"].shape == (2,)


def test_errors_keep_their_message():
    loaders = stream_loaders([stream(Numbers(2000), 1000), stream(Images(2000), 1000)])
    with pytest.raises(DataError, match="the image is gone"):
        list(join_loaders(loaders))


def test_a_pass_that_gives_no_batch_is_told():
    with pytest.raises(UserError, match="a pass has 3 items, a batch 4"):
        stream_loaders([stream(Numbers(8), 4), stream(Numbers(3), 4)])


@pytest.mark.parametrize(
    ("sizes", "drop_last", "told"),
    [((4, 3), True, "batches of 4, 3 items cannot"), ((4, 4), False, "the last one incomplete")],
)
def test_batches_that_cannot_be_divided_alike_are_refused(sizes, drop_last, told):
    streams = [stream(Numbers(10), size, drop_last=drop_last) for size in sizes]
    with pytest.raises(UserError, match=told):
        DividedLoader(stream_loaders(streams))
