"""Losses, the patch head and the image pool against the published numbers."""

import random

import numpy as np
import pytest
import torch

from mdir import registry
from mdir.losses.value import as_named
from mdir.methods.translation.image_pool import ImagePool
from tests.golden import golden

TOPIC = "generators"
ARRAYS = golden.load_npz(TOPIC, "losses.npz")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def keys(prefix):
    return sorted(key for key in ARRAYS if key.startswith(prefix))


def tensor(key, grad=False):
    return torch.from_numpy(ARRAYS[key]).requires_grad_(grad)


def criterion(loss, **params):
    return registry.build("criterion", {"loss": loss, **params})


def discriminator_loss(loss):
    return criterion("discriminator_loss", criterion={"loss": loss})


def values(loss):
    return [float(value) for value in as_named(loss).values()]


def single_discriminator_losses():
    kinds = ("_real", "_fake")
    return [k for k in keys("disc/") if k.endswith(kinds) and not k.startswith("disc/target_")]


@pytest.mark.parametrize("key", single_discriminator_losses())
def test_discriminator_loss(key):
    name, _, kind = key.removeprefix("disc/").rpartition("_")
    loss, prediction = discriminator_loss(name), tensor("disc/pred")
    target = loss.target(prediction, kind == "real")
    np.testing.assert_array_equal(target, ARRAYS[f"disc/target_{kind}"])
    np.testing.assert_allclose(loss(prediction, kind == "real"), ARRAYS[key], **CLOSE)


@pytest.mark.skipif(not keys("disc_multi/"), reason="no such case")
def test_discriminator_loss_of_several_scales():
    predictions = [tensor(key) for key in keys("disc_multi/pred")]
    named = as_named(discriminator_loss("mse")(predictions, True))
    np.testing.assert_allclose(named.pop("total"), ARRAYS["disc_multi/total"], **CLOSE)
    assert {f"disc_multi/partial_{name}" for name in named} == set(keys("disc_multi/partial_"))
    for name, value in named.items():
        np.testing.assert_allclose(value, ARRAYS[f"disc_multi/partial_{name}"], **CLOSE)


@pytest.mark.parametrize("key", keys("multi/norm"))
def test_multihead_loss(key):
    loss = criterion(
        "multihead_loss",
        weights=dict(zip(("adversarial", "cycle"), ARRAYS["multi/weights"].tolist(), strict=True)),
        normalize_weights=bool(int(key.removeprefix("multi/norm"))),
        adversarial={"loss": "mse"},
        cycle={"loss": "l1"},
    )
    prediction = tensor("disc/pred")
    outputs = {"adversarial": prediction, "cycle": tensor("multi/a")}
    targets = {"adversarial": torch.zeros_like(prediction), "cycle": tensor("multi/b")}
    np.testing.assert_allclose(values(loss(outputs, targets)), ARRAYS[key], **CLOSE)


@pytest.mark.skipif("combination" not in ARRAYS, reason="no such case")
def test_combination_loss():
    *weights, normalized = ARRAYS["combination/config"].tolist()
    loss = criterion(
        "combination_loss",
        weights=weights[0] if len(weights) == 1 else dict(zip("xy", weights, strict=True)),
        normalize_weights=bool(normalized),
        x={"loss": "mse"},
        y={"loss": "l1"},
    )
    result = loss(tensor("multi/a"), tensor("multi/b"))
    np.testing.assert_allclose(values(result), ARRAYS["combination"], **CLOSE)


def patchnce_cases():
    return [key.rpartition("/")[0] for key in keys("nce_") if "config" in key]


def patchnce_loss(name):
    """The loss of a case and how many layers it has."""
    *_, groups, temperature, weight = ARRAYS[f"{name}/config"].tolist()
    count = len(keys(f"{name}/q"))
    loss = criterion(
        "multilayer_patchnce_loss",
        batch_dim_for_bmm=int(groups),
        nce_layers=",".join(map(str, range(count))),
        num_patches=1,
        temperature=temperature,
        weight=weight,
    )
    return loss, count


@pytest.mark.parametrize("name", patchnce_cases())
def test_patchnce(name):
    loss, count = patchnce_loss(name)
    queries = [tensor(f"{name}/q{i}", grad=True) for i in range(count)]
    targets = [tensor(f"{name}/k{i}", grad=True) for i in range(count)]
    result = loss(queries, targets)
    np.testing.assert_allclose(result.item(), ARRAYS[f"{name}/total"], **CLOSE)
    partial = [value.item() for value in result.parts.values()]
    np.testing.assert_allclose(partial, ARRAYS[f"{name}/partial"], **CLOSE)
    per_patch = loss.per_patch(queries[0], targets[0]).detach()
    np.testing.assert_allclose(per_patch, ARRAYS[f"{name}/per_patch0"], **CLOSE)
    result.backward()
    np.testing.assert_allclose(queries[0].grad, ARRAYS[f"{name}/grad_q0"], **CLOSE)
    assert all(target.grad is None for target in targets)


@pytest.mark.parametrize("key", keys("sampler/numpy_seed"))
def test_patch_head(key):
    seed, nc, num_patches = ARRAYS[key].tolist()
    feats = [tensor(name) for name in keys("sampler/feat")]
    channels = [feat.shape[1] for feat in feats]
    section = {"architecture": "official_p2p_mlp", "nc": nc, "channels": channels}
    head = golden.fill(registry.build("architecture", section))
    np.random.seed(seed)
    with torch.no_grad():
        vectors, places = head(feats, num_patches)
    for index in range(len(feats)):
        np.testing.assert_array_equal(places[index], ARRAYS[f"sampler/ids{index}"])
        np.testing.assert_allclose(vectors[index], ARRAYS[f"sampler/out{index}"], **CLOSE)


@pytest.mark.parametrize("key", keys("pool/size"))
def test_image_pool(key):
    size, batch = key.removeprefix("pool/size").split("_batch")
    random.seed(int(ARRAYS["pool/python_seed"]))
    pool, expected = ImagePool(int(size), random), ARRAYS[key]
    numbers = torch.arange(expected.size).reshape(*expected.shape, 1, 1, 1).float()
    returned = [pool.query(images).flatten().tolist() for images in numbers]
    assert numbers.shape[1] == int(batch)
    np.testing.assert_array_equal(returned, expected)
