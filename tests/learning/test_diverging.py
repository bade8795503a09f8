"""A training whose weights become NaN stops, and what it kept before stays."""

import pytest
import torch

from mdir.errors import UserError
from mdir.learning.events.events import Events
from mdir.learning.loop import require_finite
from mdir.stages.train import train
from tests.learning.tiny_run import train_params, write_data


def params(epochs, gamma):
    given = train_params(epochs=epochs)
    given["learning"]["checkpoints"]["checkpoint_every"] = 1
    given["learning"]["training"]["scheduler"]["gamma"] = gamma
    return given


def test_an_epoch_of_nan_is_not_kept(root):
    write_data(root)
    train(params(1, 1e30))
    folder = root / "run/epochs"
    before = {path.name: path.read_bytes() for path in folder.glob("*.pth")}
    with pytest.raises(UserError, match=r"epoch 2: the loss 'total' is (nan|inf) since iteration"):
        train(params(3, 1e30))
    assert {path.name: path.read_bytes() for path in folder.glob("*.pth")} == before


@pytest.mark.parametrize(
    ("totals", "message"),
    [
        ([1.0, float("nan"), 1.0], "weights of the network"),
        ([1.0, float("nan"), 1.0, float("inf"), float("nan")], "is nan since iteration 4 of 5"),
        ([float("nan")], "is nan since iteration 1 of 1"),
        ([], "weights of the network"),
    ],
)
def test_the_message_tells_since_when(totals, message):
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer, events = torch.optim.SGD([torch.nn.Parameter(torch.ones(1)), weight]), Events()
    for place, total in enumerate(totals):
        values = {"total": torch.tensor(total), "unused": float("nan")}
        events.register(0, place, len(totals), "train/learning/loss", values, "scalar/loss")
    require_finite(optimizer, events, 0)
    weight.data[1] = float("inf")
    with pytest.raises(UserError, match=message):
        require_finite(optimizer, events, 0)
