"""Golden parity of the backbones and heads of UnifiedProxy."""

import pytest
import torch

from mdir.registry import build
from tests.golden.golden import array_cases, fill, load_npz, needs
from tests.golden.test_reid_networks import close

TOPIC = "unified_proxy"
NETWORKS = array_cases(TOPIC, "networks*.npz", "cfg")


def test_cases_are_there():
    needs(TOPIC, "networks.npz")
    assert NETWORKS


@pytest.mark.parametrize("name, case", NETWORKS)
def test_network(name, case):
    arrays = load_npz(TOPIC, name)
    feature_dim, classes, factor = arrays[f"{case}_cfg"].tolist()
    section = {"architecture": "proxy_embedding", "backbone": case, "pretrained": False}
    widths = {"feature_dim": int(feature_dim), "classes": int(classes)}
    model = fill(build("architecture", section | widths)).eval()
    images, pooled = torch.tensor(arrays["x"]) * factor, []
    model.backbone.register_forward_hook(lambda *given: pooled.append(given[-1]))
    dropped = any(isinstance(module, torch.nn.Dropout) for module in model.backbone.modules())
    for training in (False,) if dropped else (False, True):
        with torch.no_grad():
            columns = model.train(training)(images)
            cosines = model.cosines(columns)
        close(pooled[-1], arrays[f"{case}_backbone"], 1e-4)
        close(columns.T, arrays[f"{case}_feature"], 0, 1e-4)
        close(cosines, arrays[f"{case}_cos"], 0, 1e-4)
