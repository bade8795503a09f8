"""Dropout of a batch that two processes share: that of one."""

import pytest
import torch
from torch import nn

from mdir import distributed
from mdir.distributed import BatchPart
from mdir.learning.parallel.dropout import sync_dropout
from mdir.learning.parallel.normalization import divided
from tests.learning.parallel.launching import launch


def outcome(model, rows):
    """What comes out of the second of two calls, and its gradient."""
    torch.manual_seed(0)
    model(rows)
    rows = rows.clone().requires_grad_()
    output = model(rows)
    output.sum().backward()
    return output.detach(), rows.grad


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout])
@pytest.mark.parametrize("whole", [1, 5, 6])
@pytest.mark.parametrize("views", [1, 2])
def test_two_processes_drop_as_one(layer, whole, views):
    rows = torch.randn(whole * views, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = outcome(layer(0.5).train(), rows)
    assert not torch.equal(expected[0], rows)

    def run(number):
        with distributed.together():
            part = BatchPart(len(distributed.own_part(range(whole))), whole)
            model = layer(0.5).train()
            sync_dropout(model)
            with divided(part):
                found = outcome(model, part.cut(rows))
            for one, all_of_it in zip(found, expected, strict=True):
                torch.testing.assert_close(one, part.cut(all_of_it), rtol=0, atol=0)

    assert launch(run) == [0, 0]


def test_other_batches_are_dropped_as_ever():
    model, rows = nn.Dropout(0.5), torch.ones(4, 8)
    expected = outcome(model, rows)
    sync_dropout(model)
    for one, wanted in zip(outcome(model, rows), expected, strict=True):
        assert torch.equal(one, wanted)
    with divided(BatchPart(4, 9)):
        assert torch.equal(model.eval()(rows), rows)
