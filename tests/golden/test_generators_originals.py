"""CycleGAN and CUT with the parameters of their original authors against the authors' own runs."""

import numpy as np
import pytest
import torch

from tests.golden import golden
from tests.golden.generators_training import (
    TOPIC,
    batch_of,
    checksums,
    make_method,
    record_places,
)

CASES = golden.load_json(TOPIC, "trajectories_original.json", {})
GAN_MODES = {"lsgan": "mse", "vanilla": "bce_with_logits"}
NAMES = {
    "cyclegan": {
        "G_A": "generator_X",
        "G_B": "generator_Y",
        "D_A": "discriminator_X",
        "D_B": "discriminator_Y",
    },
    "cut": {"G": "generator_X", "D": "discriminator_Y", "F": "featdown"},
}


def generator(options):
    return {
        "architecture": "official_resnet_generator",
        "params": {
            "input_nc": 3,
            "output_nc": 3,
            "ngf": options["ngf"],
            "n_blocks": int(options["netG"].removeprefix("resnet_").removesuffix("blocks")),
            "norm_layer": options["normG"],
            "no_antialias": options["no_antialias"],
            "no_antialias_up": options["no_antialias_up"],
        },
    }


def discriminator(options):
    return {
        "architecture": "official_p2p_discriminator",
        "params": {
            "input_nc": 3,
            "ndf": options["ndf"],
            "n_layers": options["n_layers_D"],
            "norm_layer": options["normD"],
            "no_antialias": options["no_antialias"],
        },
    }


def judge(options):
    criterion = {"loss": GAN_MODES[options["gan_mode"]]}
    return {"loss": "discriminator_loss", "criterion": criterion, "real": 1, "fake": 0}


def optimizers(options, names):
    adam = {"algorithm": "adam", "lr": options["lr"], "weight_decay": 0}
    adam |= {"beta1": options["beta1"], "beta2": options["beta2"]}
    composition = {"type": "alternation", "order": ",".join(names), "alternate_iteration": 1}
    return {"composition": composition, **dict.fromkeys(names, adam)}


def cyclegan(case):
    """Our sections and parameters for the original's options."""
    options = case["options"]
    networks = {key: generator(options) for key in ("generator_X", "generator_Y")}
    networks |= {key: discriminator(options) for key in ("discriminator_X", "discriminator_Y")}

    def heads(own, other):
        weights = {"adversarial": 1, "cycle": own}
        losses = {"adversarial": {"loss": GAN_MODES[options["gan_mode"]]}, "cycle": {"loss": "l1"}}
        if options["lambda_identity"]:
            weights["identity"] = other * options["lambda_identity"]
            losses["identity"] = {"loss": "l1"}
        section = {"loss": "multihead_loss", "normalize_weights": False}
        return {**section, "weights": weights, **losses}

    criterion = {
        "loss": "cycle_loss",
        "loss_G_X": heads(options["lambda_A"], options["lambda_B"]),
        "loss_G_Y": heads(options["lambda_B"], options["lambda_A"]),
        "loss_D_X": judge(options),
        "loss_D_Y": judge(options),
    }
    sections = {"networks": networks, "criterion": criterion}
    return sections, {"pool_size": options["pool_size"]}


def cut(case):
    """Our sections and parameters for the original's options."""
    options = case["options"]
    everywhere = options["nce_includes_all_negatives_from_minibatch"]
    nce = {
        "loss": "multilayer_patchnce_loss",
        "batch_dim_for_bmm": 1 if everywhere else options["batch_size"],
        "nce_layers": options["nce_layers"],
        "num_patches": options["num_patches"],
        "temperature": options["nce_T"],
        "weight": options["lambda_NCE"],
    }
    weights = {"adversarial": options["lambda_GAN"], "nce": 1}
    weights["identity"] = 1 if options["nce_idt"] else 0
    criterion = {"loss": "multihead_loss", "weights": weights, "normalize_weights": False}
    criterion |= {"adversarial": judge(options), "identity": {"loss": "l1"}, "nce": nce}
    head = {"nc": options["netF_nc"], "channels": case["channels"]}
    networks = {
        "generator_X": generator(options),
        "discriminator_Y": discriminator(options),
        "featdown": {"architecture": "official_p2p_mlp", "params": head},
    }
    params = {"flip_equivariance": options["flip_equivariance"]}
    params |= {"fake_first": True, "scale_discriminator": False}
    return {"networks": networks, "criterion": criterion}, params


def original_losses(method, named):
    """The original's logged values from ours."""
    value = {name: float(tensor) for name, tensor in named.items()}
    if method == "cyclegan":
        sides = (("A", "X"), ("B", "Y"))
        result = {f"D_{a}": value[f"netD_{x}_total"] for a, x in sides}
        result |= {f"G_{a}": value[f"netG_{x}_adversarial"] for a, x in sides}
        result |= {f"cycle_{a}": value[f"netG_{x}_cycle"] for a, x in sides}
        return result | {f"idt_{a}": value.get(f"netG_{x}_identity", 0) for a, x in sides}
    halved = bool(value["G_idt"])
    result = {"G_GAN": value["G_gan"], "D_real": value["D_real"], "D_fake": value["D_fake"]}
    result |= {"G": value["G_gan"] + value["G_nce"], "NCE_Y": value["G_idt"]}
    return result | {"NCE": 2 * value["G_nce"] - value["G_idt"] if halved else value["G_nce"]}


def prepare(name, dtype):
    case = CASES[name]
    section, params = {"cyclegan": cyclegan, "cut": cut}[case["method"]](case)
    section["optimizer"] = optimizers(case["options"], list(section["networks"]))
    method = make_method(case, case["method"], section, dtype, **params)
    for original, ours in NAMES[case["method"]].items():
        golden.fill(method.network[ours].model.float(), prefix=f"{original}/").to(dtype)
    return case, method


def run(name, dtype, watch=lambda method: None):
    case, method = prepare(name, dtype)
    watch(method)
    order = [NAMES[case["method"]][original] for original in case["network_order"]]
    checks, losses = [checksums(method.network, order, 4)], []
    for step in range(case["steps"]):
        named = original_losses(case["method"], method.step(batch_of(case, step, dtype)))
        losses.append([named[loss] for loss in case["loss_names"]])
        checks.append(checksums(method.network, order, 4))
    return np.array(losses), np.array(checks)


@pytest.mark.parametrize("name", CASES)
def test_double_precision(name):
    expected = golden.needed_npz(TOPIC, f"traj_{name}.npz")
    losses, checks = run(name, torch.float64)
    np.testing.assert_allclose(losses, expected["f64/losses"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(checks, expected["f64/checks"], rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_single_precision(name):
    expected = golden.needed_npz(TOPIC, f"traj_{name}.npz")
    losses, checks = run(name, torch.float32)
    rtol = 5e-2 if CASES[name]["method"] == "cut" else 2e-3
    np.testing.assert_allclose(losses, expected["f32/losses"], rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(checks[..., 2:], expected["f32/checks"][..., 2:], atol=2e-2, rtol=0)


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n]["method"] == "cut"])
def test_places_and_flips(name):
    expected = golden.needed_npz(TOPIC, f"traj_{name}.npz")
    drawn = []
    run(name, torch.float64, lambda method: record_places(method, drawn))
    layers = sum(key.startswith("patch_ids_layer") for key in expected)
    for layer in range(layers):
        places = [ids[layer] for ids in drawn]
        np.testing.assert_array_equal(places, expected[f"patch_ids_layer{layer}"])
    if "flipped" in expected:
        assert len(expected["flipped"]) == CASES[name]["steps"]
