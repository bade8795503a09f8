"""The published networks learn with proxies and leave files that the published code reads."""

import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir import registry
from mdir.learning.compute import Runtime
from mdir.learning.optimizers import make_optimizer
from mdir.methods.proxy import Proxy
from mdir.networks.factory import load_network
from mdir.networks.proxy_files import preprocessing
from mdir.stages.train import train
from tests.methods.tiny_proxies import train_params, write_classes
from tests.networks.architectures.test_proxy_embedding import SECTION, images, publish
from tests.networks.published_proxy_model import Model
from tests.sections import build, single

SLOW = [
    pytest.param(*case, marks=pytest.mark.slow)
    for case in (("resnet50", "bf16"), ("inception", "float32"), ("googlenet", "bf16"))
]


def small(backbone):
    data = preprocessing(backbone)
    text = data["transforms"].replace("256", "40").replace("224", "32")
    return data | {"transforms": text}


@pytest.mark.parametrize("backbone, precision", [("resnet18", "float32"), *SLOW])
def test_training(root, backbone, precision):
    """An epoch with a frozen backbone and one in which it learns, but for its statistics."""
    write_classes(root)
    beginning = publish(backbone, root / "imagenet.pth")
    published = {"directory": "results", "prefix": "tiny"}
    params = train_params(2, batch_size=8, warm_up=1, published=published)
    own = {"backbone": backbone, "pretrained": "imagenet.pth", "classes": 3}
    params["network"]["model"] = SECTION | own
    params["network"]["runtime"]["data"] = small(backbone)
    params["data"]["train"] |= small(backbone)
    params["learning"]["checkpoints"]["store_every"] = 1
    params["learning"]["training"]["optimizer"] |= {"lr": 1e-4, "groups": {"fc": {"lr": 1e-2}}}
    params["learning"]["training"]["runtime"] = {"precision": precision}
    metrics = train(params)[0]["metrics"]
    losses = metrics["train/learning/loss:total_avg.4"]
    assert all(0 < loss < 50 for loss in losses)
    first, second = (
        load_weights(root / "run" / "epochs" / f"net_epoch_0{epoch}.pth")["model_state"]
        for epoch in (1, 2)
    )
    moved = set()
    for key in (key for key in first if key.startswith("backbone.")):
        assert torch.equal(first[key], beginning[key.removeprefix("backbone.")])
        if not torch.equal(first[key], second[key]):
            moved.add(key)
    assert moved == {
        key for key in first if key.startswith("backbone.") and key.endswith(("weight", "bias"))
    }
    model = Model(backbone, 6, 3)
    model.load_state_dict(torch.load(root / "results" / "tiny_model.pth", weights_only=True))
    with torch.no_grad():
        rows, _ = model.eval()(images(2))
        columns = load_network({"path": "results/tiny_model.pth"}, "cpu").eval()(images(2))
    torch.testing.assert_close(columns.T, rows)


def test_losses_are_float32_in_mixed_precision():
    torch.manual_seed(0)
    network = build(single(dict(SECTION), wrappers="")).train()
    criterion, runtime = (
        registry.make("criterion", {"loss": "proxy_anchor"}),
        Runtime(precision="bf16"),
    )
    optimizer = make_optimizer({"algorithm": "adamp", "lr": 1e-4}, network)
    runtime.keep_float32(criterion, "cpu")
    inside, seen = [], []
    network.model.backbone.register_forward_hook(lambda *given: inside.append(given[-1].dtype))
    criterion.register_forward_hook(lambda _, given, loss: seen.append((*given, loss.detach())))
    labels = torch.tensor([0, 1, 1])
    with runtime.autocast("cpu"):
        losses = Proxy(network, optimizer, criterion).step((images(3), {"identity": labels}))
    ((cosines, _, loss),) = seen
    assert inside == [torch.bfloat16]
    assert cosines.dtype == loss.dtype == torch.float32
    expected = criterion(cosines.detach().double(), labels)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    assert losses["total"] == loss
