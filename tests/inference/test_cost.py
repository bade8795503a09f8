"""What descriptors cost: what is timed, and where it is told."""

import json

import pytest
import torch

from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.inference.cost import Cost, count_batch, measured
from mdir.inference.descriptors import extract_descriptors
from mdir.learning.score_results import write_cost
from mdir.report.cost import cost_section, cost_text, read_costs
from mdir.stages.validate import validate
from tests.inference.test_descriptors import Images, network
from tests.methods.tiny_reid import data_section, write_market
from tests.sections import single

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass in the network alone."""
    now = [0.0]
    monkeypatch.setattr("mdir.inference.descriptors.time.perf_counter", lambda: now[0])
    return now


def test_the_network_is_timed_without_the_first_batch_and_without_reading(clock, monkeypatch):
    class Slow(Images):
        def __getitem__(self, index):
            clock[0] += 1000
            return super().__getitem__(index)

    net, forward = network(None), None
    forward = net.forward_batch

    def slow_forward(images):
        clock[0] += 0.5
        return forward(images)

    monkeypatch.setattr(net, "forward_batch", slow_forward)
    with measured() as cost:
        found = extract_descriptors(net, Slow(), {"batch_size": 1, "num_workers": 0})
    counted = int((~found.isnan().any(dim=0)).sum()) - 1
    assert cost.images == counted > 1 and cost.seconds == pytest.approx(0.5 * counted)
    told = cost.told()
    assert told["images_per_second"] == pytest.approx(2)
    assert told["milliseconds_per_image"] == pytest.approx(500)
    assert told["dimensions"] == len(found) and told["bytes_per_image"] == 4 * len(found)
    assert told["device"] == "cpu" and told["images"] == counted
    before = cost.images
    extract_descriptors(net, Images())
    assert cost.images == before  # what is extracted elsewhere, as for mining, is not counted


def test_one_batch_alone_is_told_in_words():
    cost = Cost()
    assert cost.told() == cost.times() == {}
    cost.add(torch.zeros(512, 16), 2.0, CPU)
    assert cost.times() == {}
    assert cost_text(cost.told()) == (
        "2,048 bytes an image (512 dimensions), time not measured: one batch alone, which warms up"
    )
    cost.add(torch.zeros(512, 3), 0.1, CPU)
    expected = "30.0 images/s, 33.33 ms and 2,048 bytes an image (512 dimensions) on cpu"
    assert cost_text(cost.told()) == expected


def test_nothing_is_counted_outside(clock):
    count_batch(torch.zeros(4, 1), 1.0, CPU)
    with measured() as outer, measured() as inner:
        count_batch(torch.zeros(4, 1), 1.0, CPU)
    assert (outer.batches, inner.batches) == (0, 1)


def test_files_and_a_section(root):
    cost = Cost()
    write_cost(root / "a/night.json", cost)
    assert read_costs(root / "a") == {} and cost_section({"tuned": {}}) is None
    for _ in range(2):
        cost.add(torch.zeros(8, 10), 0.5, CPU)
    write_cost(root / "a/to_day.json", cost)
    costs = read_costs(root / "a")
    text = (root / "a/cost/to_day.json").read_text()
    assert text == json.dumps(cost.told(), indent=1)  # a line for each number
    assert cost_section({"tuned": costs}).table.rows == [
        ["tuned", "to day", "20.0", "50.00", "32", "8", "cpu"]
    ]
    write_cost(root / "a/to_day.json", Cost())  # nothing of an earlier run stays
    assert read_costs(root / "a") == {}
    (root / "a/cost/other.json").write_text(json.dumps({"images_per_second": 3}))
    with pytest.raises(UserError, match="other.json does not tell what descriptors cost"):
        read_costs(root / "a")


def test_two_evaluations_agree_in_all_but_the_cost(root):
    write_market(root, persons=4)
    data = {"transforms": "resize_to:16_32 | totensor", "mean_std": None}
    criterion = {"type": "reid", "dataset": data_section(root, "test")["dataset"], "batch_size": 4}
    validation = {"type": "SingleValidation", "data": None, "criterion": criterion}
    section = single({"architecture": "TinyReidOfTests"}, wrappers="", data=data)
    params = {
        "network": section | {"initialize": {"weights": "he_normal", "seed": 0}},
        "validation": validation | {"network_overlay": None, "frequency": None},
        "data": {},
    }
    found = []
    for folder in ("a", "b"):
        with collecting() as told:
            metadata, *_ = validate({**params, "rankings": folder})
        assert told.outputs == [str(root / folder / "val.json")]
        found.append((metadata, (root / folder / "val.json").read_bytes()))
    assert found[0] == found[1] and "val/validation/score_avg:mAP" in metadata["intervals"]
    cost = read_costs(root / "a")["val"]
    assert cost["images"] == 20 and cost["images_per_second"] > 0
    assert not [name for name in metadata["eval"] if "cost" in name or "second" in name]
