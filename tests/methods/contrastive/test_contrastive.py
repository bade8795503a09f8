"""Contrastive methods in a training: stopped and resumed, in bfloat16, and their mistakes."""

import math

import numpy as np
import pytest
import torch

from mdir.learning.training import EpochTraining
from mdir.methods.contrastive.views import forward_views
from mdir.networks.architectures.contrastive_encoder import ContrastiveEncoder
from mdir.networks.factory import initialize_network
from mdir.registry import check_parameters
from mdir.stages.train import train
from tests.methods.contrastive.contrastive_run import METHODS, params, write_domains

MEMORIES = ("ring", "bank", "proxies", "fc")
LOSS = "train/learning/loss:total_avg.4"


@pytest.fixture
def domains(root):
    write_domains(root)
    return root


def stored(root, run):
    return torch.load(root / run / "epochs/net_last.pth", weights_only=True)["model_state"]


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_goes_on_as_if_never_stopped(domains, method):
    whole = train(params(method, 3, "whole"))[0]["metrics"]
    for epochs in (1, 3):
        torch.manual_seed(epochs)  # nothing may come from what was there before
        parts = train(params(method, epochs, "parts"))[0]["metrics"]
    assert len(whole[LOSS]) == 3 and list(whole) == list(parts)
    for name, values in whole.items():
        assert np.array_equal(values, parts[name]), name
    first, second = stored(domains, "whole"), stored(domains, "parts")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture
def trainings(monkeypatch):
    """The trainings that were made."""
    made, build = [], EpochTraining.__init__

    def remember(self, *args, **kwargs):
        made.append(self)
        build(self, *args, **kwargs)

    monkeypatch.setattr(EpochTraining, "__init__", remember)
    return made


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_keeps_finite_losses_and_exact_memories(domains, trainings, method):
    losses = train(params(method, 2, precision="bf16"))[0]["metrics"][LOSS]
    assert all(map(math.isfinite, losses))
    state = trainings[-1].method.state_dict().get("criterion", {})
    memories = [name for name in state if name.rpartition(".")[2] in MEMORIES]
    assert bool(memories) == (method in ("moco", "npid", "proxyanchor", "softtriple"))
    assert all(state[name].dtype == torch.float32 for name in memories)


def test_the_encoder_gives_exact_rows_under_autocast():
    encoder = ContrastiveEncoder(backbone="resnet18", hidden_dim=8, proj_dim=4)
    with torch.autocast("cpu", torch.bfloat16):
        rows = encoder(torch.rand(2, 3, 32, 32))
    assert [row.dtype for row in rows] == [torch.float32] * 2


def test_views_in_one_pass_are_those_of_single_passes():
    network = initialize_network(params("simclr")["network"], "cpu")
    views = [torch.rand(3, 3, 16, 16) for _ in range(3)]
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 16, 16))
        network.eval()
        single = [network(view) for view in views]
        calls = []
        hook = network.model.register_forward_hook(lambda *_: calls.append(1))
        joint = forward_views(network, views)
        hook.remove()
    assert len(calls) == 1
    torch.testing.assert_close(joint, single)


def problems(method, dotted, value):
    given = params(method)
    *path, last = dotted.split(".")
    section = given
    for key in path:
        section = section[key]
    section[last] = value
    found = check_parameters(train.function, given)
    return {".".join(map(str, problem.path)): problem.message for problem in found}


@pytest.mark.parametrize("method", METHODS)
def test_what_is_right_has_no_problems(method):
    assert not problems(method, "learning.training.epochs", 2)


VIEWS, ITERATION = "data.train.dataset.views", "learning.training.epoch_iteration"
CRITERION = "learning.training.criterion"


@pytest.mark.parametrize(
    ("method", "key", "value", "told"),
    [
        ("simclr", VIEWS, "original", "simclr takes 2 of an image"),
        ("simclr", VIEWS, "original,original,original", "simclr takes 2 of an image"),
        ("moco", VIEWS, "original", "moco takes 2 of an image"),
        ("npid", VIEWS, "original,original", "npid takes 1 of an image"),
        ("daco", VIEWS, "original,translation", "daco takes 4 of an image"),
        ("moco", f"{CRITERION}.loss", "simclr", "takes the criterion 'moco', got 'simclr'"),
        ("npid", f"{ITERATION}.criterion", {"loss": "moco"}, "takes the criterion 'npid'"),
        ("softtriple", f"{CRITERION}.loss", "proxyanchor", "takes the criterion 'softtriple'"),
        ("npid", f"{CRITERION}.negs", -1, "expected 1 or more, got -1"),
        ("moco", f"{CRITERION}.negs", 0, "expected 1 or more, got 0"),
        ("npid", f"{CRITERION}.temperature", 0, "expected more than 0, got 0"),
        ("moco", f"{CRITERION}.temperature", 0, "expected more than 0, got 0"),
        ("daco", f"{CRITERION}.temperature", -0.1, "expected more than 0, got -0.1"),
        ("npid", f"{CRITERION}.momentum", 1.5, "from 0 to 1, got 1.5"),
        ("moco", f"{ITERATION}.momentum", 5, "from 0 to 1, got 5"),
        ("simclr", "data.train.loader.batch_size", 1, "simclr needs 2 or more"),
        ("simclr", "data.train.dataset", {"name": "ImageList", "image_dir": "x"}, "from views"),
        (
            "simclr",
            "network.model",
            {"architecture": "contrastive_encoder", "backbone": "resnet5"},
            "Did you mean 'resnet50'?",
        ),
        (
            "simclr",
            "network.model",
            {"architecture": "contrastive_encoder", "proj_dim": 0},
            "expected 1 or more, got 0",
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(method, key, value, told):
    messages = problems(method, key, value)
    assert any(place.startswith(key) and told in text for place, text in messages.items()), messages
