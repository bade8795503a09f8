"""What descriptors cost: what is timed, and where it is told."""

import json

import pytest
import torch

from mdir.errors import UserError
from mdir.inference.cost import Cost, count_batch, measured
from mdir.inference.descriptors import extract_descriptors
from mdir.learning.score_results import write_cost
from mdir.report.cost import cost_section, cost_text, read_costs
from tests.inference.test_descriptors import Images, network

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
    assert cost_section({"tuned": costs}).table.rows == [
        ["tuned", "to day", "20.0", "50.00", "32", "8", "cpu"]
    ]
    write_cost(root / "a/to_day.json", Cost())  # nothing of an earlier run stays
    assert read_costs(root / "a") == {}
    (root / "a/cost/other.json").write_text(json.dumps({"images_per_second": 3}))
    with pytest.raises(UserError, match="other.json does not tell what descriptors cost"):
        read_costs(root / "a")
