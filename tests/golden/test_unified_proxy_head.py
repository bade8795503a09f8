"""Golden parity of a few steps of UnifiedProxy behind a linear layer in the place of a backbone."""

import pytest
import torch
from torch import nn

from mdir.methods.proxy import Proxy
from mdir.registry import build, make
from tests.golden.golden import array_cases, fill, load_npz, needs
from tests.golden.test_contrastive_training import Bare
from tests.golden.test_reid_networks import close

TOPIC = "unified_proxy"
CASES = array_cases(TOPIC, "head*.npz", "cos0")
LOSSES = {"bp": "balanced_proxy", "pa": "proxy_anchor"}
PARTS = {"backbone": "backbone.0.weight", "refactor": "refactor.weight", "fc": "fc.weight"}


def embedding(width, feature_dim, classes):
    """Filled, with a linear layer of so many inputs and outputs as its backbone."""
    section = {"architecture": "proxy_embedding", "backbone": "resnet18", "pretrained": False}
    model = build("architecture", section | {"feature_dim": feature_dim, "classes": classes})
    model.backbone = nn.Sequential(nn.Linear(width, width, bias=False))
    model.refactor = nn.Linear(width, feature_dim, bias=False)
    return fill(model).train()


def test_cases_are_there():
    needs(TOPIC, "head.npz")
    assert CASES


@pytest.mark.parametrize("name, case", CASES)
def test_steps(name, case):
    arrays = {
        key.removeprefix(f"{case}_"): torch.tensor(value)
        for key, value in load_npz(TOPIC, name).items()
        if key.startswith(f"{case}_")
    }
    feature_dim, width = arrays["refactor_after"].shape
    model = embedding(width, feature_dim, len(arrays["fc_after"]))
    rates = {"lr": 1e-4, "groups": {"fc": {"lr": 1e-2}}}
    optimizer = make("optimizer", {"algorithm": "adamp"} | rates, model.parameter_groups)
    criterion = build("criterion", {"loss": LOSSES[case[:2]]})
    method, outputs = Proxy(Bare(model), optimizer, criterion, warm_up=1), []
    model.register_forward_hook(lambda *given: outputs.append(given[-1].detach()))
    for step, (images, labels) in enumerate(zip(arrays["x"], arrays["label"], strict=True)):
        method.prepare_epoch([], step)
        cosines = model.cosines(model(images)).detach()
        losses = method.step((images, {"identity": labels}))
        close(losses["total"], arrays["losses"][step], 0, 1e-4)
        if step == 0:
            close(outputs[-1].T, arrays["feature0"], 0, 1e-4)
            close(cosines, arrays["cos0"], 0, 1e-4)
            close(model.refactor.weight.grad, arrays["grad_refactor0"], 0, 1e-4)
            close(model.fc.weight.grad, arrays["grad_fc0"], 0, 1e-4)
    for part, key in PARTS.items():
        close(model.state_dict()[key], arrays[f"{part}_after"], 0, 1e-4)
