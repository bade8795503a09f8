"""What users have written against the published package works on this one as it is."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.utils.data import DataLoader
from torchvision import transforms

from cirtorch.datasets.datahelpers import collate_tuples
from cirtorch.datasets.traindataset import TuplesDataset
from cirtorch.examples import test as published_test
from cirtorch.examples import train as published_train
from cirtorch.layers.loss import ContrastiveLoss
from cirtorch.networks import imageretrievalnet
from cirtorch.networks.imageretrievalnet import ImageRetrievalNet, extract_vectors, init_network
from cirtorch.utils.download import download_train
from cirtorch.utils.errors import DataError
from tests.cirtorch import world

TRANSFORM = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize(mean=[0.5] * 3, std=[0.25] * 3)]
)
SCRIPT = """
import os
import torch
from torch.utils.model_zoo import load_url
from torchvision import transforms
from cirtorch.datasets.datahelpers import default_loader, imresize
from cirtorch.examples.test import PRETRAINED
from cirtorch.networks.imageretrievalnet import extract_ms, extract_ss, extract_vectors
from cirtorch.networks.imageretrievalnet import init_network
from cirtorch.utils.general import get_data_root, htime
from cirtorch.utils.whiten import whitenapply

name = "retrievalSfM120k-resnet101-gem"
assert PRETRAINED[name].startswith("http")
state = torch.load(os.path.join(get_data_root(), "networks", "net.pth"), weights_only=False)
net = init_network({key: state["meta"][key] for key in ("architecture", "pooling", "whitening")}
                   | {"pretrained": False})
net.load_state_dict(state["state_dict"])
net.meta["Lw"] = state["meta"]["Lw"]
net.cuda()
net.eval()
normalize = transforms.Normalize(mean=net.meta["mean"], std=net.meta["std"])
transform = transforms.Compose([transforms.ToTensor(), normalize])
ms, msp = [1, 2 ** (-1 / 2), 1 / 2], net.pool.p.item()
images = ["0.jpg", "1.jpg"]
vecs = extract_vectors(net, images, 96, transform, ms=ms, msp=msp).numpy()
device = next(net.parameters()).device
one = transform(imresize(default_loader("1.jpg"), 96)).unsqueeze(0).to(device)
with torch.no_grad():
    alone = extract_ms(net, one, ms, msp).numpy()
    extract_ss(net, one)
assert abs(alone @ vecs[:, 1] - 1) < 1e-4
Lw = net.meta["Lw"]["retrieval-SfM-120k"]["ms"]
print(whitenapply(vecs, Lw["m"], Lw["P"]).shape, net.meta_repr(), device.type)
"""


class HOWNet(nn.Module):
    """A stand-in for networks of others: one image at a time, a descriptor ``[D]`` of it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 12, 5, stride=3)
        self.norm = nn.BatchNorm2d(12)
        self.meta = {"outputdim": 12}
        self.shapes = []

    def meta_repr(self):
        return "  (meta)"

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        found = self.norm(self.features(x))
        weights = found.norm(dim=1, keepdim=True)
        return normalize((found * weights).sum((2, 3)).squeeze(), dim=-1)


class Joined(ImageRetrievalNet):
    """A network of somebody who took ours and changed ``forward``."""

    forward = HOWNet.forward
    meta_repr = HOWNet.meta_repr


def joined():
    net = HOWNet()
    other = Joined([net.features], None, nn.Identity(), None, net.meta)
    other.norm, other.features, other.shapes = net.norm, net.features, net.shapes
    return other


@pytest.mark.parametrize("make", [HOWNet, joined])
@pytest.mark.parametrize("ms", [[1], [1, 0.5]])
def test_other_networks_get_one_image_at_a_time(tmp_path, make, ms):
    names = [f"{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        world.draw(tmp_path / name, number)
    net = make()
    vectors = extract_vectors(net, [str(tmp_path / name) for name in names], 48, TRANSFORM, ms=ms)
    assert vectors.shape == (12, 3) and {shape[0] for shape in net.shapes} == {1}
    assert len(net.shapes) == 3 * len(ms)
    torch.testing.assert_close(vectors.norm(dim=0), torch.ones(3))


def test_our_networks_get_batches(tmp_path):
    for number in range(3):
        world.draw(tmp_path / f"{number}.png", number)
    net, seen = world.tiny_network(), []
    net.features.register_forward_hook(lambda module, given, found: seen.append(len(given[0])))
    extract_vectors(net, [str(path) for path in sorted(tmp_path.iterdir())], 48, TRANSFORM)
    assert max(seen) > 1


def tuples(root):
    world.training_set(root, "retrieval-SfM-30k")
    return TuplesDataset("retrieval-SfM-30k", "train", 48, 2, 4, 20, TRANSFORM)


@pytest.mark.parametrize("make", [HOWNet, world.tiny_network])
def test_a_training_loop_of_ones_own(root, make, tmp_path, capsys):
    """``train``, ``validate`` and the rest as scripts import them."""
    dataset, net = tuples(root), make()
    loader = DataLoader(dataset, batch_size=2, collate_fn=collate_tuples)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    before = [p.detach().clone() for p in net.parameters()]
    torch.manual_seed(0)
    loss = published_train.train(loader, net, ContrastiveLoss(0.7), optimizer, 0)
    assert loss > 0 and any(
        not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)
    )
    assert ">> Train: [1][2/2]" in capsys.readouterr().out
    assert published_train.validate(loader, net, ContrastiveLoss(0.7), 0) > 0
    assert not net.training
    state = {"epoch": 1, "meta": {}, "state_dict": net.state_dict()}
    published_train.save_checkpoint(state, True, str(tmp_path))
    for name in ("model_epoch1.pth.tar", "model_best.pth.tar"):
        assert torch.load(tmp_path / name, weights_only=True)["epoch"] == 1


def test_average_meter():
    meter = published_train.AverageMeter()
    for value, count in ((2, 1), (5, 2)):
        meter.update(value, count)
    assert (meter.val, meter.avg, meter.sum, meter.count) == (5, 4, 12, 3)
    meter.reset()
    assert (meter.val, meter.avg, meter.sum, meter.count) == (0, 0, 0, 0)


def test_batch_normalization_is_put_into_eval_mode():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)).train()
    net.apply(published_train.set_batchnorm_eval)
    assert [layer.training for layer in net] == [False, True]


def test_addresses_of_trained_networks():
    assert published_test.PRETRAINED["rSfM120k-tl-resnet50-gem-w"] == (
        "http://cmp.felk.cvut.cz/cnnimageretrieval/data/networks/retrieval-SfM-120k/"
        "rSfM120k-tl-resnet50-gem-w-97bf910.pth"
    )


def test_a_data_root_of_ones_own_holds_all_weights(tmp_path, monkeypatch):
    fetched = []

    def load_url(url, model_dir=None, named_hash=True):
        fetched.append(model_dir)
        raise DataError("no network")

    monkeypatch.setattr(imageretrievalnet, "get_data_root", lambda: str(tmp_path))
    monkeypatch.setattr("cirtorch.networks.backbones.load_url", load_url)
    monkeypatch.setattr(imageretrievalnet, "load_url", load_url)
    for architecture in ("resnet50", "alexnet"):
        with pytest.raises(DataError):
            init_network({"architecture": architecture})
        with pytest.raises(DataError):
            init_network({"architecture": architecture, "model_dir": "own"})
    assert fetched == [str(tmp_path / "networks"), "own"] * 2


@pytest.mark.parametrize("kind", ["", "-whiten"])
def test_training_data_that_are_there_do_for_a_machine_without_network(
    root, monkeypatch, capsys, kind
):
    monkeypatch.setenv("CIRTORCH_MIRROR", str(root / "nowhere"))
    monkeypatch.setattr("cirtorch.utils.download.fetch", unreachable)
    with pytest.raises(DataError, match="retrieval-SfM-120k.pkl"):
        download_train(root / "empty")
    world.training_set(root, "retrieval-SfM-30k")
    folder = root / "data/train/retrieval-SfM-30k"
    name = f"retrieval-SfM-30k{kind}.pkl"
    for path in folder.glob("*.pkl"):
        if path.name != name:
            path.unlink()
    download_train(root / "data")
    told = capsys.readouterr().err
    assert "Warning: cannot download" in told and f"Going on with what is there: {name}" in told
    pictures = [path for path in (folder / "ims").rglob("*") if path.is_file()]
    pictures[0].unlink()
    if kind == "":
        with pytest.raises(DataError, match="retrieval-SfM-120k.pkl"):
            download_train(root / "data")


def unreachable(url, *_):
    raise DataError(f"cannot download {url}")


def test_a_script_that_describes_images(root, tmp_path):
    """Written for a GPU, unmodified; networks and images are drawn."""
    torch.manual_seed(0)
    net = init_network({"architecture": "alexnet", "pretrained": False})
    whitening = {"m": np.zeros((256, 1)), "P": np.eye(256)}
    meta = net.meta | {"Lw": {"retrieval-SfM-120k": {"ss": whitening, "ms": whitening}}}
    (root / "data/networks").mkdir(parents=True)
    torch.save({"meta": meta, "state_dict": net.state_dict()}, root / "data/networks/net.pth")
    for number in range(2):
        world.draw(tmp_path / f"{number}.jpg", number, (96, 96))
    (tmp_path / "example_descriptor_extraction.py").write_text(SCRIPT)
    source = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    done = subprocess.run(
        [sys.executable, "example_descriptor_extraction.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(256, 2)" in done.stdout and "architecture: alexnet" in done.stdout
