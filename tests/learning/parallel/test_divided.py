"""Two processes that divide every batch learn what one learns, and one of them writes."""

import json
from types import SimpleNamespace

import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir import distributed
from mdir.distributed import BatchPart
from mdir.errors import UserError
from mdir.inference.descriptors import extract_descriptors
from mdir.learning.parallel import normalization
from mdir.learning.parallel.steps import DividedBatches, DividedLoader, DividedSteps
from mdir.methods.base import Dividing
from mdir.registry import check_parameters
from mdir.stages.train import train
from tests.learning.parallel.launching import launch
from tests.learning.tiny_run import train_params, write_data

WEIGHT = "model.1.weight"


def params(directory, reduction, batch_average, fakebatch):
    given = train_params(directory, epochs=2, workers=1)
    for name in ("first", "last"):
        # statistics of a layer over a batch depend on how it is divided
        given["network"][name]["model"]["norm_layer"] = "instance"
    training = given["learning"]["training"]
    training["criterion"]["reduction"] = reduction
    training["optimizer"] = {
        "algorithm": "sgd",
        "lr": 0.01 if reduction == "mean" else 1e-5,
        "momentum": 0.9,
        "weight_decay": 0.001,
    }
    training["epoch_iteration"].update(batch_average=batch_average, fakebatch=fakebatch)
    given["data"]["train"]["loader"]["batch_size"] = 4
    return given


@pytest.mark.parametrize(
    ("reduction", "batch_average", "fakebatch"),
    [("mean", True, False), ("mean", False, False), ("mean", False, True), ("sum", True, True)],
)
def test_the_same_losses_and_weights(root, reduction, batch_average, fakebatch):
    write_data(root, pictures=7)  # five pairs: batches of 4 and of 1, too few for two
    settings = (reduction, batch_average, fakebatch)
    assert not list(check_parameters(train.function, params("one", *settings)))
    one = train(params("one", *settings))[0]

    def run(number):
        metadata = train(params("two", *settings))[0]
        (root / f"{number}.json").write_text(json.dumps(metadata))

    assert launch(run) == [0, 0]
    for number in range(2):
        two = json.loads((root / f"{number}.json").read_text())
        assert two["metrics"].keys() == one["metrics"].keys()
        for name, values in one["metrics"].items():
            assert two["metrics"][name] == pytest.approx(values, rel=1e-5, abs=1e-6), name
        assert two["best_epoch"]["index"] == one["best_epoch"]["index"]
    ours = load_weights(root / "two/epochs/last_last.pth")["model_state"][WEIGHT]
    theirs = load_weights(root / "one/epochs/last_last.pth")["model_state"][WEIGHT]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    rows = (root / "two/epochs/events.jsonl").read_text().splitlines()
    assert len(rows) == len((root / "one/epochs/events.jsonl").read_text().splitlines())


class Means:
    """Stands in for a network whose descriptor is the mean colour."""

    wrappers, members, device = {"eval": []}, {}, torch.device("cpu")

    def eval(self):
        return self

    def __call__(self, images):
        return images.mean(dim=(2, 3)).t()


def test_own_parts_and_gathering():
    images = [torch.rand(3, 4, 4 + number) for number in range(5)]
    alone = extract_descriptors(Means(), images)

    def run(number):
        assert distributed.size() == 1
        with distributed.together():
            check_exchange(number)
            found = extract_descriptors(Means(), images)
        torch.testing.assert_close(found, alone)
        assert distributed.is_first()

    assert launch(run) == [0, 0]


def check_exchange(number):
    items = list(range(7))
    own = distributed.own_part(items)
    assert own == items[number::2]
    assert distributed.gather(own) == [items[0::2], items[1::2]]
    batches = DividedBatches([[0, 1, 2], [3]])
    assert list(batches) == [[[0, 2], [3]], [[1], [3]]][number]
    assert (
        batches.parts
        == [
            [BatchPart(2, 3), BatchPart(1, 1)],
            [BatchPart(1, 3), BatchPart(0, 1)],
        ][number]
    )
    (total,) = distributed.sum_all([torch.full((2, 2), float(number + 1))])
    assert total.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_a_failing_process_leaves_nobody_waiting(root):
    def run(number):
        with distributed.together():
            if number == 1:
                raise RuntimeError("this process fails")
            distributed.barrier()

    assert launch(run) == [1, 1]


def test_one_process_shares_with_nobody():
    tensors = [torch.ones(2)]
    assert distributed.sum_all(tensors) is tensors
    assert distributed.gather(5) == [5]
    assert distributed.own_part([1, 2]) == [1, 2]
    distributed.barrier()


def loaders(sizes, drop_last, items=7):
    return [
        torch.utils.data.DataLoader(list(range(items)), batch_size=size, drop_last=drop_last)
        for size in sizes
    ]


@pytest.mark.parametrize(
    ("sizes", "drop_last", "message"),
    [
        ([4, 1], False, "batch_size 1 cannot be divided among 2 processes; it is that of all "
                        "processes together"),
        ([3, 4], True, "data sections with batches of 3, 4 items cannot be divided among 2 "
                       "processes: give all of them one batch_size, and drop_last: true"),
        ([3, 3], False, "data sections with batches of 3, 3 items, the last one incomplete, cannot "
                        "be divided among 2 processes: give all of them one batch_size, and "
                        "drop_last: true"),
    ],
)  # fmt: skip
def test_batches_that_cannot_be_divided(monkeypatch, sizes, drop_last, message):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(UserError) as caught:
        DividedLoader(loaders(sizes, drop_last))
    assert str(caught.value) == message


def test_the_part_of_each_batch(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    divided = DividedLoader(loaders([3], False), 1)
    assert len(divided) == 2
    assert [(batch.tolist(), part) for batch, part in divided] == [
        ([4], BatchPart(1, 3)), ([6], BatchPart(0, 1))
    ]  # fmt: skip
    for drop_last, items in ((True, 7), (False, 6)):  # no batch is incomplete
        assert len(DividedLoader(loaders([3, 3], drop_last, items))) == 2


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("reports_its_part", [True, False])
def test_a_step_of_a_part(at_once, reports_its_part):
    seen = []

    def step(batch, part):
        seen.append((batch, part, normalization._here))
        return {"total": torch.tensor(8.0), "plain": 2.0}

    dividing = Dividing(at_once=at_once, reports_its_part=reports_its_part)
    method = SimpleNamespace(dividing=dividing, step=step)
    part = BatchPart(1, 4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    losses = DividedSteps(method, optimizer, []).step("batch", part)
    assert seen == [("batch", part, part if at_once else None)]
    share = 1.0 if reports_its_part else 0.25
    assert losses == {"total": 8.0 * share, "plain": 2.0 * share}
    assert normalization._here is None
    method.dividing = Dividing(refused="it looks at whole batches")
    with pytest.raises(
        UserError, match="^SimpleNamespace cannot be divided among 1 proc.*: it looks"
    ):
        DividedSteps(method, optimizer, [])
