"""A single network: how its weights begin, and what its runtime hands to the model."""

import copy

import pytest
import torch
from torch import nn

from cirtorch.utils.errors import DataError
from mdir.networks.factory import initialize_network
from mdir.registry import register
from tests.sections import build, cirnet, generator, single


@register("architecture", "test_with_runtime")
class WithRuntime(nn.Module):
    """A model that is told its ``runtime.model``."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def copy_with_runtime(self, runtime):
        other = copy.copy(self)
        other.runtime = runtime
        return other

    def parameter_groups(self, opts):
        return [{"params": [self.layer.weight], "lr": opts["lr"] * 10}]

    def forward(self, x):
        return x


def with_runtime(**runtime):
    return build(single({"architecture": "test_with_runtime"}, **runtime))


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.model.parameters()])


def test_seed_decides_the_weights():
    one, same, other = (weights(build(generator(seed))) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_state_dict_as_start(root):
    network = build(generator(1))
    torch.save(network.model.state_dict(), root / "start.pth")
    section = {**generator(2), "initialize": "start.pth"}
    assert torch.equal(weights(build(section)), weights(network))
    with pytest.raises(DataError, match="absent.pth: there is no such file"):
        build({**section, "initialize": "absent.pth"})
    for wrong in ({"layer.weight": torch.zeros(1)}, [1], 3):
        torch.save(wrong, root / "wrong.pth")
        with pytest.raises(DataError, match="wrong.pth: weights do not fit"):
            build({**section, "initialize": "wrong.pth"})


@pytest.mark.parametrize("initialize", [False, None, {"weights": "default", "seed": 5}])
def test_weights_of_the_constructor(initialize):
    torch.manual_seed(0)
    first = weights(build({**generator(), "initialize": initialize}))
    torch.manual_seed(0)
    again = weights(build({**generator(), "initialize": initialize}))
    assert torch.equal(first, again)


def test_model_is_told_its_runtime():
    network = with_runtime(model={"scales": 2})
    assert network.model.runtime == {"scales": 2}
    overlay = network.overlay_params({"runtime": {"model": {"scales": 3}}})
    assert overlay.model.runtime == {"scales": 3} and network.model.runtime == {"scales": 2}
    assert overlay.model.layer is network.model.layer


def test_groups_are_the_models_own():
    groups = with_runtime().parameters({"lr": 0.5})
    assert [group["lr"] for group in groups] == [5.0]


def test_stored_parameters_do_not_follow_the_section():
    section = generator()
    network = build(section)
    section["model"]["ngf"] = 99
    assert network.network_params["model"]["ngf"] == 2


def test_embeddings_of_a_list_are_made_by_size_and_are_those_of_single_images():
    section = single(cirnet(), {"weights": "he_normal", "seed": 0})
    network = initialize_network(section, "cpu")
    sizes = [(64, 80), (80, 64), (64, 80), None, (64, 80)]
    images = [size and torch.rand(1, 3, *size) for size in sizes]
    together = network(images)
    assert together[3] is None
    for image, output in zip(images, together, strict=True):
        if image is not None:
            torch.testing.assert_close(output, network(image), rtol=1e-5, atol=1e-6)
