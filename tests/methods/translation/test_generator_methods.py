"""The adversarial methods: against the published steps, and what must not happen in ours."""

import random
from collections import Counter

import numpy as np
import pytest
import torch

from benchmarks.generators import MEMBERS, criterion_section, make_method, network_section
from benchmarks.published_generators import STEPS
from mdir import registry
from mdir.errors import UserError
from mdir.learning.optimizers import make_optimizer
from mdir.networks.architectures.patch_discriminator import PatchDiscriminator
from mdir.networks.architectures.resnet_generator import ResnetGenerator
from mdir.networks.factory import initialize_network

ONE_SIDED = ("cut", "hedgan", "hedngan")
SMALL = {"filters": 2, "blocks": 7, "patches": 16}


def images(batch=2, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, 3, 32, 32)
    return [torch.rand(shape, generator=generator, dtype=dtype) * 2 - 1 for _ in range(2)]


def in_double(method):
    for member in method.network.members.values():
        member.model.double()
    return method


def passes(method):
    """Count the forward passes of every network from now on."""
    counts = Counter()
    for name, member in method.network.members.items():
        member.model.register_forward_hook(lambda *_, name=name: counts.update([name]))
    return counts


def weights(method):
    return {
        f"{name}.{key}": value.clone()
        for name, member in method.network.members.items()
        for key, value in member.model.state_dict().items()
    }


SLOW = [pytest.param(name, None, marks=pytest.mark.slow) for name in ("hedgan", "hedngan")]


@pytest.mark.parametrize("name, norm", [("cyclegan", None), ("cut", None), ("cut", "batch"), *SLOW])
def test_equal_to_the_published_step(name, norm):
    ours, published = (in_double(make_method(name, norm, **SMALL)) for _ in range(2))
    for step in range(2):
        losses = []
        for run in (ours.step, lambda batch: STEPS[name](published, batch)):
            np.random.seed(step)
            random.seed(step)
            losses.append({key: float(value) for key, value in run(images(seed=step)).items()})
        assert list(losses[0]) == list(losses[1])
        assert losses[0] == pytest.approx(losses[1], rel=1e-7, abs=1e-12)
    after = weights(published)
    for key, value in weights(ours).items():
        # A bias before a norm has no true gradient; Adam makes steps of its rounding noise.
        atol = 1e-3 if key.endswith("bias") else 1e-9
        torch.testing.assert_close(value, after[key], rtol=1e-6, atol=atol)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("cyclegan", {"generator_X": 2, "generator_Y": 2, "discriminator_X": 2}),
        ("cut", {"generator_X": 2, "discriminator_Y": 2, "featdown": 4}),
        ("hedgan", {"generator_X": 1, "discriminator_Y": 3, "detector": 2}),
        (
            "hedngan",
            {"generator_X": 1, "discriminator_Y": 3, "detector": 3, "detector_frozen": 1},
        ),
    ],
)
def test_no_pass_without_effect(name, expected):
    method = make_method(name, **SMALL)
    counts = passes(method)
    method.step(images(dtype=torch.float32))
    assert expected.items() <= counts.items()


@pytest.mark.parametrize("name", MEMBERS)
def test_a_step_leaves_no_graph_and_no_gradient_where_none_belongs(name):
    method = make_method(name, **SMALL)
    losses = method.step(images(dtype=torch.float32))
    assert next(iter(losses)) == "total"
    assert not any(value.requires_grad for value in losses.values())
    assert not any(image.requires_grad for image in method.samples().values())
    for name, member in method.network.members.items():
        parameters = list(member.model.parameters())
        assert all(p.requires_grad != member.frozen for p in parameters), name
        if member.frozen:
            assert all(p.grad is None for p in parameters)


@pytest.mark.parametrize("name", MEMBERS)
def test_samples_are_the_last_images_of_the_batch(name):
    method, (real_X, real_Y) = make_method(name, **SMALL), images(dtype=torch.float32)
    assert method.samples() == {}
    method.step((real_X, real_Y))
    samples = method.samples()
    assert torch.equal(samples["real_X"], real_X[-1])
    assert torch.equal(samples["real_Y"], real_Y[-1])
    assert samples["fake_Y"].shape == (3, 32, 32)


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_mixed_precision_trains_every_network(name):
    method = make_method(name, **SMALL)
    before = weights(method)
    with torch.autocast("cpu", torch.bfloat16):
        method.step(images(dtype=torch.float32))
    after = weights(method)
    for member in MEMBERS[name]:
        keys = [k for k in before if k.startswith(f"{member}.") and k.endswith("weight")]
        assert not any(torch.equal(before[key], after[key]) for key in keys)


def changed(name, change, norm=None, **params):
    """A method with another criterion section."""
    section = criterion_section(name, patches=16)
    change(section)
    usual = make_method(name, norm, **SMALL)
    criterion = registry.build("criterion", section)
    return registry.build(
        "method", {"type": name, **params}, usual.network, usual.optimizer, criterion
    )


def keep_colours(section):
    """The original authors' identity loss for a CycleGAN; CUT has its own."""
    for side in ("loss_G_X", "loss_G_Y"):
        if side in section:
            section[side] |= {"identity": {"loss": "l1"}}
            section[side]["weights"] = {**section[side]["weights"], "identity": 5}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_joined_passes_give_what_passes_one_by_one_give(monkeypatch, name, norm, batch):
    results = []
    for joined in (True, False):
        for kind in (PatchDiscriminator, ResnetGenerator):
            if not joined:
                monkeypatch.setattr(kind, "learns_images_apart", lambda self: False)
        method = in_double(changed(name, keep_colours, norm=norm))
        counts = passes(method)
        for step in range(2):
            np.random.seed(step)
            random.seed(step)
            losses = method.step(images(batch=batch, seed=step))
        losses = {key: float(value) for key, value in losses.items()}
        results.append((losses, weights(method), sum(counts.values())))
    (losses, after, joined), (expected, expected_after, apart) = results
    assert joined < apart
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-12)
    for key, value in after.items():
        # A bias before a norm has no true gradient; Adam makes steps of its rounding noise.
        atol = 1e-3 if key.endswith("bias") else 1e-9
        torch.testing.assert_close(value, expected_after[key], rtol=1e-6, atol=atol)


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_many_images_are_not_joined(name):
    counts = []
    for batch in (2, 3):
        method = changed(name, keep_colours, norm="none")
        passed = passes(method)
        method.step(images(batch=batch, dtype=torch.float32))
        counts.append(sum(passed.values()))
    assert counts[0] < counts[1]


@pytest.mark.parametrize("left_out", ["identity", "nce"])
def test_cut_without_identity_or_without_nce(left_out):
    def change(section):
        if left_out == "identity":
            section["weights"]["identity"] = 0
        else:
            section["nce"]["weight"] = 0

    method = changed("cut", change)
    counts = passes(method)
    losses = method.step(images(dtype=torch.float32))
    assert float(losses["G_idt"]) == float(losses["G_idt_layer4"]) == 0
    assert counts["featdown"] == (2 if left_out == "identity" else 0)
    assert (float(losses["G_nce"]) == 0) == (left_out == "nce")
    assert set(losses) == set(make_method("cut", **SMALL).step(images(dtype=torch.float32)))


def test_cut_of_a_smaller_last_batch_has_negatives_from_the_own_image():
    """Maps of fewer places than patches are asked for tell nothing of the images."""
    losses = []
    for groups in (2, 4):
        sizes = {"batch_dim_for_bmm": groups, "num_patches": 1000}
        method = changed("cut", lambda section, sizes=sizes: section["nce"].update(sizes))
        np.random.seed(0)
        losses.append(float(method.step(images(dtype=torch.float32))["G_nce"]))
    assert losses[0] == losses[1]


def naive_fastcut_loss(method, real_X, flip):
    """Generator loss of FastCUT, by the paper: mirror the input, mirror the features back."""
    G, F = method.network["generator_X"].model, method.network["featdown"].model
    nce = method.criterion.losses["nce"]
    fake = G(real_X.flip(3) if flip else real_X)
    queries = G(fake, layers=nce.layers, encode_only=True)
    if flip:
        queries = [feature.flip(3) for feature in queries]
    keys = G(real_X, layers=nce.layers, encode_only=True)
    keys, places = F(keys, nce.num_patches)
    queries, _ = F(queries, nce.num_patches, places)
    return nce(queries, keys).item()


def test_fastcut_mirrors_the_input_in_half_of_the_steps():
    def change(section):
        section["weights"]["identity"] = 0
        section["nce"]["weight"] = 10

    method = changed("cut", change, flip_equivariance=True)
    flips = []
    for step in range(6):
        batch = images(dtype=torch.float32, seed=step)
        np.random.seed(step)
        flips.append(np.random.random() < 0.5)
        with torch.no_grad():
            expected = naive_fastcut_loss(method, batch[0], flips[-1])
        np.random.seed(step)
        losses = method.step(batch)
        assert float(losses["G_nce"]) == pytest.approx(expected, rel=1e-4)
    assert set(flips) == {True, False}


def test_original_cut_does_not_scale_the_discriminators_loss():
    def change(section):
        section["weights"]["adversarial"] = 3

    batch = images(dtype=torch.float32)
    scaled, plain = (
        changed("cut", change, scale_discriminator=scale).step(batch) for scale in (True, False)
    )
    assert float(scaled["D_real"]) == pytest.approx(3 * float(plain["D_real"]), rel=1e-5)


def test_identity_loss_of_cyclegan():
    def change(section):
        for side in ("loss_G_X", "loss_G_Y"):
            section[side] = {**section[side], "identity": {"loss": "l1"}}
            section[side]["weights"] = {"adversarial": 1, "cycle": 10, "identity": 5}

    method = changed("cyclegan", change)
    batch = images(dtype=torch.float32)
    with torch.no_grad():
        kept = method.network["generator_X"](batch[1])
    losses = method.step(batch)
    expected = 5 * float((kept - batch[1]).abs().mean())
    assert float(losses["netG_X_identity"]) == pytest.approx(expected, rel=1e-4)


def test_several_scales_of_a_discriminator_are_logged():
    method = make_method("hedgan", **SMALL)
    model = method.discriminator.model
    forward = model.forward
    model.forward = lambda x: [forward(x), forward(x[..., ::2])]
    method.network["discriminator_Y"].model.least_side = 1
    losses = method.step([image.repeat(1, 1, 1, 2) for image in images(dtype=torch.float32)])
    assert {"D_real_layer0", "D_fake_layer1", "G_gan_layer0"} <= set(losses)
    assert float(losses["D_real"]) == pytest.approx(
        float(losses["D_real_layer0"] + losses["D_real_layer1"]), rel=1e-5
    )


def test_rcf_in_place_of_hed():
    sections = {name: network_section(name, "batch", 2, 1) for name in MEMBERS["hedngan"]}
    for name in ("detector", "detector_frozen"):
        sections[name]["model"] = {"architecture": "rcf"}
    network = initialize_network({"type": "NetworkSet", **sections}, "cpu").train()
    active = [name for name in sections if not network[name].frozen]
    adam = {"algorithm": "adam", "lr": 1e-4, "beta1": 0.5, "beta2": 0.999, "weight_decay": 0}
    turns = {"type": "alternation", "order": ",".join(active), "alternate_iteration": 1}
    optimizer = make_optimizer({"composition": turns, **dict.fromkeys(active, adam)}, network)
    criterion = registry.build("criterion", criterion_section("hedngan"))
    method = registry.build("method", {"type": "hedngan"}, network, optimizer, criterion)
    losses = method.step(images(dtype=torch.float32))
    assert all(torch.isfinite(value) for value in losses.values())


def test_pools_survive_a_restart():
    method = make_method("cyclegan", filters=2, blocks=0)
    for step in range(3):
        method.step(images(dtype=torch.float32, seed=step))
    again = make_method("cyclegan", filters=2, blocks=0)
    again.load_state_dict(method.state_dict())
    for name, pool in method.pools.items():
        assert len(pool.images) == 6
        for kept, restored in zip(pool.images, again.pools[name].images, strict=True):
            assert torch.equal(kept, restored)


@pytest.mark.parametrize("name", ONE_SIDED)
def test_a_criterion_without_the_heads_is_refused(name):
    usual = make_method(name, **SMALL)
    for criterion in (registry.build("criterion", {"loss": "l1"}), None):
        with pytest.raises(UserError, match="needs a multihead_loss with the heads adversarial"):
            registry.build("method", {"type": name}, usual.network, usual.optimizer, criterion)


def test_cyclegan_wants_a_cycle_loss():
    usual = make_method("cyclegan", **SMALL)
    criterion = registry.build("criterion", {"loss": "l1"})
    with pytest.raises(UserError, match="needs a cycle_loss"):
        registry.build("method", {"type": "cyclegan"}, usual.network, usual.optimizer, criterion)


def test_an_ambiguous_weight_is_refused():
    with pytest.raises(UserError, match="weights.nce has to be 1"):
        changed("cut", lambda section: section["weights"].update(nce=2))


def test_published_names():
    names = ("CycleGan", "CUT", "HEDGAN", "HEDNGAN")
    assert {f"Supervised{name}Epoch" for name in names} <= set(registry.names("method"))
