"""HED and RCF: parameter groups, ready weights, upsampling kernels."""

import pytest
import torch
import torch.nn.functional as F

from cirtorch.utils.errors import DataError
from mdir.networks.architectures.hed import FACTORS, HED, _own_key
from mdir.networks.architectures.rcf import RCF

WORDS = {"1": "One", "2": "Two", "3": "Thr", "4": "Fou", "5": "Fiv"}


@pytest.fixture(scope="module")
def hed():
    torch.manual_seed(0)
    return HED()


def published_key(key):
    """A key of ours as sniklaus/pytorch-hed has it."""
    if key.startswith("fusion."):
        return key.replace("fusion.", "moduleCombine.")
    module, _, rest = key.partition(".")
    return f"module{module[:-1].capitalize()}{WORDS[module[-1]]}.{rest}"


def test_parameter_groups(hed):
    groups = hed.parameter_groups({"lr": 2.0, "weight_decay": 3.0, "betas": (0.9, 0.999)})
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [
        (2 * lr, 3 * decay) for lr, decay in FACTORS.values()
    ]
    assert all(group["betas"] == (0.9, 0.999) for group in groups)
    assert [len(group["params"]) for group in groups] == [10, 10, 3, 3, 5, 5, 1, 1]
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in hed.parameters())
    assert groups[2]["params"][0] is hed.vgg5[1].weight


@pytest.mark.parametrize("rename", [lambda key: key, published_key])
def test_ready_weights(hed, tmp_path, rename):
    path = tmp_path / "hed.pth"
    torch.save({rename(key): value for key, value in hed.state_dict().items()}, path)
    loaded = HED(pretrained=str(path)).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in hed.state_dict().items())


def test_keys_of_the_public_file(hed):
    assert [_own_key(published_key(key)) for key in hed.state_dict()] == list(hed.state_dict())
    assert published_key("vgg3.5.weight") == "moduleVggThr.5.weight"


def test_weights_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        HED(pretrained=str(tmp_path / "absent.pth"))
    path = tmp_path / "other.pth"
    torch.save({"vgg1.0.weight": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="other.pth.* do not fit HED"):
        HED(pretrained=str(path))


def test_map_has_the_image_size_and_scores_are_logits(hed):
    x = torch.randn(2, 3, 17, 31)
    with torch.no_grad():
        raw, edges = hed(x, no_sigmoid=True), hed(x)
    assert edges.shape == (2, 1, 17, 31)
    torch.testing.assert_close(edges, 1 / (1 + torch.exp(-raw)))


def test_kernels_of_rcf_enlarge_bilinearly_and_are_no_weights():
    network = RCF()
    assert not any("bilinear" in key for key in network.state_dict())
    ramp = torch.arange(6.0).repeat(6, 1)[None, None]
    inside = F.conv_transpose2d(ramp, network.bilinear2, stride=2)[0, 0, 6, 3:11]
    torch.testing.assert_close(inside.diff(), torch.full((7,), 0.5))
    assert network.double().bilinear3.dtype == torch.float64
