"""What only a card shows: the same numbers as on the CPU, and runs that go on.

Float32 is computed without TF32 here; random numbers are drawn on the CPU, so both sides get the
same.
"""

import numpy as np
import pytest
import torch

from benchmarks.generators import ADAM, MEMBERS, make_method
from benchmarks.gpu_bench import SMALL, Bench
from benchmarks.measuring import tensor_cores
from benchmarks.reid import identities, our_labels, uda_step
from cirtorch.datasets.mining import diverse_anchors, mine_hard_negatives
from cirtorch.search.exact import Search
from mdir.inference.cost import measured
from mdir.inference.descriptors import extract_descriptors
from mdir.learning.compute import Runtime, default_device
from mdir.learning.seeding import generators_state, restore_generators
from tests.learning.test_within_epoch import Stopped, generators, outcome, performed
from tests.learning.tiny_run import train_params, write_data
from tests.methods.test_pseudo_labels import given  # noqa: F401
from tests.stages.test_train_gan import data  # noqa: F401

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card here"),
    pytest.mark.filterwarnings("default"),  # drivers and libraries of a card warn of each other
]
DEVICE = torch.device("cuda")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def full_float32():
    with tensor_cores(False):
        yield


def images(count, *sides, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *sides, generator=generator) * 2 - 1


def test_the_card_is_the_default():
    assert default_device().type == "cuda"


def test_random_numbers_of_the_card_are_restored():
    torch.manual_seed(5)
    torch.rand(3, device=DEVICE)
    state = generators_state()
    first = torch.rand(8, device=DEVICE)
    torch.rand(8, device=DEVICE)
    restore_generators(state)
    assert torch.equal(torch.rand(8, device=DEVICE), first)


def test_descriptors_equal_those_of_the_cpu():
    items = [image for side in (64, 96) for image in images(5, side, 64, seed=side)]
    found = {}
    for device in (CPU, DEVICE):
        network = Bench(device, SMALL).descriptor_network()
        with measured() as cost:
            found[device] = extract_descriptors(network, items)
    assert found[DEVICE].device.type == "cpu" and found[DEVICE].dtype == torch.float32
    torch.testing.assert_close(found[DEVICE], found[CPU], rtol=0, atol=1e-5)
    assert cost.device == torch.cuda.get_device_name()


def test_descriptors_of_images_that_processes_read():
    items = [image for side in (64, 96) for image in images(60, side, 64, seed=side)]
    network = Bench(DEVICE, SMALL).descriptor_network()
    found = extract_descriptors(network, items, {"num_workers": 4, "batch_size": 8})
    expected = extract_descriptors(network, items, {"batch_size": 8})
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_descriptors_in_lower_precision_and_another_layout():
    items = list(images(6, 64, 64))
    bench = Bench(DEVICE, SMALL)
    exact = extract_descriptors(bench.descriptor_network(), items)
    runtime = Runtime(precision="bf16", channels_last=True)
    with runtime.autocast(DEVICE):
        found = extract_descriptors(bench.descriptor_network(runtime), items)
    assert found.dtype == torch.float32
    assert ((found * exact).sum(dim=0) > 0.999).all()
    assert not torch.equal(found, exact)


def unit_columns(count, dimensions, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(dimensions, count, generator=generator), dim=0)


def test_mining_equals_that_of_the_cpu():
    queries, pool = unit_columns(50, 32, 0), unit_columns(2000, 32, 1)
    clusters = [(torch.arange(n) % 97).tolist() for n in (50, 2000)]
    here = mine_hard_negatives(queries, pool, *clusters, 5)
    there = mine_hard_negatives(queries.to(DEVICE), pool.to(DEVICE), *clusters, 5)
    assert there[0].device.type == "cpu"
    assert torch.equal(there[0], here[0])
    torch.testing.assert_close(there[1], here[1], rtol=1e-5, atol=1e-6)


def test_anchors_equal_those_of_the_cpu():
    vecs, found = unit_columns(300, 32, 2), []
    for device in (CPU, DEVICE):
        torch.manual_seed(0)
        found.append(list(diverse_anchors(vecs.to(device), 40, 0.2, 0.8)[0]))
    assert found[0] == found[1]


def test_search_equals_that_of_the_cpu():
    database, queries = (unit_columns(n, 32, n).t().contiguous() for n in (3000, 20))
    found = [Search(database, device=device).search(queries, 30) for device in (CPU, DEVICE)]
    for here, there in zip(*found, strict=True):
        np.testing.assert_array_equal(here, there)


def test_labels_equal_those_of_the_cpu():
    rows, _ = identities(800, 2.0)
    np.testing.assert_array_equal(our_labels(rows, DEVICE), our_labels(rows))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_step_of_each_generator(name):
    batch, losses = list(images(2, 32, 32).split(1)), {}
    for device in (CPU, DEVICE):
        np.random.seed(0)
        method = make_method(name, "instance", 4, device=device)
        losses[device] = {key: float(value) for key, value in method.step(batch).items()}
    assert losses[DEVICE] == pytest.approx(losses[CPU], rel=2e-3, abs=1e-4)
    devices = {p.device.type for _, p in method.network.named_parameters()}
    assert devices == {DEVICE.type}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_step_of_each_generator_in_lower_precision(name):
    runtime = Runtime(precision="bf16", channels_last=True)
    method = make_method(name, "instance", 4, device=DEVICE, runtime=runtime)
    before = [p.detach().clone() for p in method.network["generator_X"].parameters()]
    with runtime.autocast(DEVICE):
        losses = method.step(list(images(2, 32, 32).split(1)))
    assert all(np.isfinite(float(value)) for value in losses.values())
    after = method.network["generator_X"].parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_step_of_spcl(precision):
    labels = np.arange(60) // 3
    step = uda_step(DEVICE, 4, labels, Runtime(precision=precision))
    first = step()
    assert first.device.type == "cuda" and first.dtype == torch.float32
    assert torch.isfinite(first) and torch.isfinite(step())


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-3)


def mostly_equal(ours, theirs):
    """Weights of convolutions and products, each tensor on average within a third of a step.

    The gradient of reflecting pads is summed in any order, which has moved a tensor by an eighth of
    a step (probably through a rectifier that rounding brought to its other side; drawn rounding
    does so on a CPU). A lost state of Adam moves some by a whole one. Where a gradient is of
    rounding alone, as that of a bias before a normalization, Adam makes whole steps of it.
    """
    for one, other in zip(ours, theirs, strict=True):
        if one.dim() > 1:
            assert (one - other).abs().mean() < 0.33 * ADAM["lr"]


def assert_goes_on(make, root, inputs=(), compare=close):
    """Stopped in its second epoch, it ends as a run that never was, but for rounding."""
    performed(make(), inputs, minutes=None)
    (root / "run").rename(root / "whole")
    with pytest.raises(Stopped):
        performed(make(), inputs, stop=4, workers=1)
    assert (root / "run/epochs/midepoch.pth").exists()
    performed(make(), inputs, seed=1)
    ours, theirs = (outcome(root / folder / "epochs")[0] for folder in ("run", "whole"))
    assert list(ours) == list(theirs)
    for name in ours:
        if not name.startswith("learning_"):
            compare(tensors(ours[name]), tensors(theirs[name]))


def tensors(state):
    """All tensors of nested mappings."""
    if isinstance(state, torch.Tensor):
        return [state]
    return [one for value in state.values() for one in tensors(value)] if isinstance(
        state, dict) else []  # fmt: skip


def test_training_goes_on(root):
    write_data(root)
    assert_goes_on(train_params, root)


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_translation_goes_on(data, root, name):  # noqa: F811
    assert_goes_on(lambda: generators(name), root, compare=mostly_equal)


def test_pseudo_labels_go_on(given, root):  # noqa: F811
    assert_goes_on(lambda: given("uda", epochs=2, iterations=3), root)
