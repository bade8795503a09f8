"""Golden parity of the contrastive encoder and of OSSCo's generator and discriminator."""

import numpy as np
import pytest
import torch

from mdir.networks.architectures.contrastive_encoder import ContrastiveEncoder
from mdir.registry import build
from tests.golden.golden import array_cases, fill, load_npz

TOPIC = "contrastive"


@pytest.mark.parametrize("name, variant", array_cases(TOPIC, "model_forward*.npz", "eval_proj"))
def test_encoder(name, variant):
    arrays = load_npz(TOPIC, name)
    images = torch.tensor(arrays["x"])
    sizes = {
        "hidden_dim": len(arrays[f"{variant}_after_g.1.running_mean"]),
        "proj_dim": arrays[f"{variant}_eval_proj"].shape[1],
    }
    network = fill(ContrastiveEncoder(**sizes))
    with torch.no_grad():
        feature, proj = network.eval()(images)
    assert np.abs(feature.numpy() - arrays[f"{variant}_eval_feature"]).max() <= 2e-6
    assert np.abs(proj.numpy() - arrays[f"{variant}_eval_proj"]).max() <= 2e-6

    network = fill(ContrastiveEncoder(**sizes)).train()
    with torch.no_grad():
        feature, proj = network(images)
    assert np.abs(feature.numpy() - arrays[f"{variant}_train_feature"]).max() <= 2e-5
    assert np.abs(proj.numpy() - arrays[f"{variant}_train_proj"]).max() <= 3e-4
    state = network.state_dict()
    for key, expected in arrays.items():
        if key.startswith(f"{variant}_after_"):
            entry = state[key[len(f"{variant}_after_") :]]
            assert np.abs(entry.numpy() - expected).max() <= 1e-4


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "gan_forward*.npz", "g_x"))
def test_generator(name, case):
    arrays = load_npz(TOPIC, name)
    section = {
        "architecture": "official_resnet_generator",
        "input_nc": 3,
        "output_nc": 3,
        "ngf": 32,
        "norm_layer": "instance",
        "n_blocks": int(arrays[f"{case}_g_blocks"]),
    }
    generator = fill(build("architecture", section)).eval()
    with torch.no_grad():
        output = generator(torch.tensor(arrays[f"{case}_g_x"]))
    assert np.abs(output.numpy() - arrays[f"{case}_g_y"]).max() <= 2e-5


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "gan_forward*.npz", "d_x"))
def test_discriminator(name, case):
    arrays = load_npz(TOPIC, name)
    section = {
        "architecture": "official_p2p_discriminator",
        "input_nc": 3,
        "ndf": 32,
        "norm_layer": "instance",
    }
    discriminator = fill(build("architecture", section)).eval()
    with torch.no_grad():
        output = discriminator(torch.tensor(arrays[f"{case}_d_x"]))
    assert np.abs(output.numpy() - arrays[f"{case}_d_y"]).max() <= 2e-5
