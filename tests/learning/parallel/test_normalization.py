"""Batch normalisation of a batch that two processes share: that of one, groups and domains too."""

import numpy as np
import pytest
import torch
from torch import nn

from mdir import distributed
from mdir.distributed import BatchPart
from mdir.errors import UserError
from mdir.learning.parallel.normalization import _group_sizes, divided, sync_statistics
from mdir.networks.architectures.parts.domain_norm import BatchNormInGroups2d, convert_dsbn
from tests.learning.parallel.launching import launch

GROUPS = 2


def network(domains, groups=GROUPS):
    norm = BatchNormInGroups2d(3, groups) if groups > 1 else nn.BatchNorm2d(3)
    model = nn.Sequential(norm, nn.Flatten())
    return (convert_dsbn(model) if domains == 2 else model).double().train()


def parts(domains, whole):
    """A part of the batch for each domain, and what the output is weighed with."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, domains, whole, 3, 2, 2)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def outcome(model, images, weights):
    """The state, and gradients of the weighed sum."""
    images = images.clone().requires_grad_()
    output = model(images)
    (output * weights.flatten(1)).sum().backward()
    return output.detach(), images.grad, [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("domains", [1, 2])
@pytest.mark.parametrize("groups", [1, GROUPS])
@pytest.mark.parametrize("whole", [4, 6])
def test_two_processes_normalise_as_one(tmp_path, domains, groups, whole):
    images, weights = parts(domains, whole)
    model = network(domains, groups)
    output, gradient, gradients = outcome(model, images.flatten(0, 1), weights.flatten(0, 1))
    output, gradient = (one.unflatten(0, (domains, whole)) for one in (output, gradient))

    def run(number):
        torch.set_num_threads(1)
        with distributed.together():
            own = distributed.own_part(range(whole))
            here = network(domains, groups)
            sync_statistics(here)
            share = [one[:, own].flatten(0, 1) for one in (images, weights)]
            with divided(BatchPart(len(own), whole)):
                found = outcome(here, *share)
            close(found[0], output[:, own].flatten(0, 1))
            close(found[1], gradient[:, own].flatten(0, 1))
            for one, expected in zip(distributed.sum_all(found[2]), gradients, strict=True):
                close(one, expected)
            for one, expected in zip(here.buffers(), model.buffers(), strict=True):
                close(one, expected)

    assert launch(run) == [0, 0]


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_process_without_an_item_adds_nothing():
    """One item of each domain for two processes: the second stands in with it."""
    images, weights = parts(2, 1)
    model = network(2, 1)
    output, gradient, _ = outcome(model, images.flatten(0, 1), weights.flatten(0, 1))

    def run(number):
        torch.set_num_threads(1)
        with distributed.together():
            here = network(2, 1)
            sync_statistics(here)
            with divided(BatchPart(1 - number, 1)):
                found = outcome(here, images.flatten(0, 1), (1 - number) * weights.flatten(0, 1))
            close(found[0], output)
            if number == 0:
                close(found[1], gradient)
            for one, expected in zip(here.buffers(), model.buffers(), strict=True):
                close(one, expected)

    assert launch(run) == [0, 0]


def test_a_batch_of_one_value_is_told_by_all():
    def run(number):
        with distributed.together():
            model = nn.BatchNorm1d(3).train()
            sync_statistics(model)
            with divided(BatchPart(1 - number, 1)), pytest.raises(UserError, match="one image"):
                model(torch.rand(1, 3))

    assert launch(run) == [0, 0]


def test_groups_that_do_not_divide():
    model = network(1)
    sync_statistics(model)
    for rows, part in ((2, BatchPart(2, 5)), (4, BatchPart(2, 4))):
        message = f"{part.whole} items with {rows // part.own} rows here for each"
        with divided(part), pytest.raises(UserError, match=message):
            model(torch.rand(rows, 3, 2, 2).double())


@pytest.mark.parametrize(
    ("groups", "rank", "processes", "part", "rows", "sizes"),
    [
        (1, 0, 2, BatchPart(3, 6), 6, [6]),
        (1, 1, 2, BatchPart(0, 1), 1, [1]),
        (3, 1, 2, BatchPart(0, 1), 1, [1, 0, 0]),
        (2, 0, 2, BatchPart(3, 6), 3, [2, 1]),
        (2, 1, 2, BatchPart(3, 6), 3, [1, 2]),
        (3, 0, 4, BatchPart(2, 6), 2, [1, 0, 1]),
        (3, 3, 4, BatchPart(1, 6), 1, [0, 1, 0]),
    ],
)
def test_rows_of_each_group(monkeypatch, groups, rank, processes, part, rows, sizes):
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "size", lambda: processes)
    assert _group_sizes(groups, part, rows) == sizes
