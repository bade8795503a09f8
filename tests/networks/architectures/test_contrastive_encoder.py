"""ImageNet weights of the contrastive encoder: the project's own downloads and records."""

import hashlib

import pytest
import torch
import torchvision

from cirtorch.downloads.known_files import known_weights
from cirtorch.utils.errors import DataError
from mdir.networks.architectures.contrastive_encoder import BACKBONES, ContrastiveEncoder


def address(backbone):
    return torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"].url


@pytest.fixture
def mirror(root, tmp_path, monkeypatch):
    """A mirror with random weights of a resnet18, under a name that carries their hash."""
    state = torchvision.models.resnet18(weights=None).state_dict()
    folder = tmp_path / "mirror"
    folder.mkdir()
    torch.save(state, folder / "weights.pth")
    digits = hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()[:8]
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    url = address("resnet18").replace("f37072fd", digits)
    monkeypatch.setattr(weights.value, "url", url, raising=False)
    (folder / "weights.pth").rename(folder / url.rpartition("/")[2])
    monkeypatch.setenv("CIRTORCH_MIRROR", str(folder))
    return state


def test_weights_come_from_the_mirror_and_stay_below_the_root(root, mirror):
    encoder = ContrastiveEncoder(backbone="resnet18", pretrained=True)
    assert torch.equal(encoder.f[0].weight, mirror["conv1.weight"])
    (kept,) = (root / "weights").iterdir()
    assert kept.name == address("resnet18").rpartition("/")[2]


def test_a_wrong_file_is_named(root, monkeypatch):
    path = root / "weights" / address("resnet18").rpartition("/")[2]
    path.parent.mkdir()
    path.write_bytes(b"not these bytes")
    monkeypatch.setattr("cirtorch.downloads.fetch.sources", lambda url: [])
    with pytest.raises(DataError, match=f"{path}: .*put the file there yourself"):
        ContrastiveEncoder(backbone="resnet18", pretrained=True)


def test_all_backbones_are_on_record():
    known = {known.url: known.to for files in known_weights().values() for known in files}
    for backbone in BACKBONES:
        assert known[address(backbone)] == f"weights/{address(backbone).rpartition('/')[2]}"
