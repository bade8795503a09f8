"""Our training steps of the generators against the published ones, as ratios of one run.

    python -m benchmarks.generators [METHOD ...] [--size 256] [--batch 1] [--steps 5]

Both sides start from the same weights and see the same images; their losses are compared before
anything is timed. Steps alternate, so that a busy machine slows both down alike.
"""

import sys
from functools import partial

import torch
from torch import nn

from benchmarks import running
from benchmarks.measuring import Work, compare, flops_of
from benchmarks.published_generators import STEPS
from benchmarks.running import Case
from cirtorch.layers.convolution import Conv2d
from mdir import registry
from mdir.learning.compute import Runtime
from mdir.learning.optimizers import make_optimizer
from mdir.networks.base import models_of
from mdir.networks.factory import initialize_network
from mdir.registry import KINDS

HED = (
    "rgb2bgr_pre,meanstd_pre:[[0.5,0.5,0.5],[0.5,0.5,0.5]]:"
    "[[0.40787054,0.45752458,0.48109378],[1.0,1.0,1.0]]"
)
LAYERS = "4,8,12,16"
ADAM = {"algorithm": "adam", "lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "weight_decay": 0}
MEMBERS = {
    "cyclegan": ("generator_X", "generator_Y", "discriminator_X", "discriminator_Y"),
    "cut": ("generator_X", "discriminator_Y", "featdown"),
    "hedgan": ("generator_X", "discriminator_Y", "detector"),
    "hedngan": ("generator_X", "discriminator_Y", "detector", "detector_frozen"),
}


def network_section(name, norm, filters, blocks):
    """One network of a published scenario, narrower where asked."""
    runtime, initialize = {"wrappers": ""}, {"weights": "kaiming_p2p", "seed": 0}
    if name.startswith("generator"):
        model = {"architecture": "official_resnet_generator", "input_nc": 3, "output_nc": 3}
        model |= {"ngf": filters, "n_blocks": blocks, "norm_layer": norm}
    elif name.startswith("discriminator"):
        model = {"architecture": "official_p2p_discriminator", "input_nc": 3, "ndf": filters}
        model["norm_layer"] = norm
    elif name == "featdown":
        model = {"architecture": "official_p2p_mlp", "nce_layers": LAYERS}
        model |= {"ngf": filters, "n_blocks": blocks}
    else:
        model, initialize = {"architecture": "hed_interpolation"}, {"weights": "he_normal"}
        initialize["seed"] = 0
        runtime = {"wrappers": HED, "frozen": name == "detector_frozen"}
    return {"type": "SingleNetwork", "model": model, "initialize": initialize, "runtime": runtime}


def criterion_section(name, patches=256):
    """The criterion of a published scenario."""
    judge = {"loss": "discriminator_loss", "criterion": {"loss": "mse"}}
    heads = {"loss": "multihead_loss", "normalize_weights": False}
    if name == "cyclegan":
        weights = {"adversarial": 1, "cycle": 10}
        side = {**heads, "weights": weights, "adversarial": {"loss": "mse"}}
        side["cycle"] = {"loss": "l1"}
        sides = {"loss_G_X": side, "loss_G_Y": side, "loss_D_X": judge, "loss_D_Y": judge}
        return {"loss": "cycle_loss", **sides}
    heads["adversarial"] = judge
    if name == "cut":
        nce = {"loss": "multilayer_patchnce_loss", "batch_dim_for_bmm": 1, "nce_layers": LAYERS}
        nce |= {"num_patches": patches, "temperature": 0.07, "weight": 1}
        weights = {"adversarial": 1, "identity": 10, "nce": 1}
        return {**heads, "weights": weights, "identity": {"loss": "l1"}, "nce": nce}
    weights = {"adversarial": 1, "edge": 5} | ({"hed": 1} if name == "hedngan" else {})
    losses = {head: {"loss": "l1"} for head in weights if head != "adversarial"}
    return {**heads, "weights": weights, **losses}


def make_method(
    name, norm=None, filters=64, blocks=9, patches=256, device="cpu", runtime=None
):  # fmt: skip
    """A method with the networks, losses and optimizers of its published scenario.

    ``runtime``: a :class:`mdir.learning.compute.Runtime`.
    """
    runtime = runtime or Runtime()
    norm = norm or ("instance" if name in ("cyclegan", "cut") else "batch")
    members = {key: network_section(key, norm, filters, blocks) for key in MEMBERS[name]}
    if name == "hedgan":
        members["detector"]["runtime"]["frozen"] = True
    network = initialize_network({"type": "NetworkSet", **members}, device)
    network.train()
    runtime.prepare(network)
    active = [key for key in MEMBERS[name] if not network[key].frozen]
    composition = {"type": "alternation", "order": ",".join(active), "alternate_iteration": 1}
    optimizer = make_optimizer({"composition": composition, **dict.fromkeys(active, ADAM)}, network)
    criterion = registry.build("criterion", criterion_section(name, patches))
    runtime.keep_float32(criterion, device)
    return registry.build("method", {KINDS["method"].key: name}, network, optimizer, criterion)


def published_method(name, **options):
    """The same method on torch's own convolutions, which the published steps have."""
    method = make_method(name, **options)
    for model in models_of(method.network):
        for layer in model.modules():
            if type(layer) is Conv2d:
                layer.__class__ = nn.Conv2d  # a new one would draw other weights
    return method


def step(bench, name, size=128, filters=64, blocks=9, batch=1, steps=5, device="cpu"):
    """A training step beside the published one, after checking that they agree."""
    size, filters = max(32, int(size * bench.scale) // 4 * 4), max(2, int(filters * bench.scale))
    options = {"filters": filters, "blocks": blocks, "device": device}
    ours, published = make_method(name, **options), published_method(name, **options)
    images = [torch.rand((batch, 3, size, size), device=device) * 2 - 1 for _ in range(2)]

    def plain():
        return STEPS[name](published, images)

    difference = difference_of_losses(ours.step(images), plain())
    told = None if name == "cut" else difference  # each side draws its own patches
    assert told is None or told <= 1e-3, f"losses differ by {difference}"
    on_cpu = torch.device(device).type == "cpu"
    work = Work(flops_of(partial(ours.step, images))) if on_cpu else None  # peaks are the CPU's
    words = f"{size} px, {filters} filters, batch {batch}, {device}"
    found = compare(
        bench, words, plain, partial(ours.step, images), lambda *_: difference, work, steps, device
    )
    return {**found, "difference": told}


def difference_of_losses(ours, published) -> float:
    """The largest of two steps' losses by name, relative where they are above 1."""
    return max(
        abs(float(ours[key]) - float(value)) / max(1, abs(float(value)))
        for key, value in published.items()
    )


def cases(**options):
    """One for each method; options as of :func:`step`."""
    return [Case(f"generators.{name}", partial(step, **options), None, (name,)) for name in MEMBERS]


def main(arguments=None):
    """Run the methods that are named; returns the results."""
    parser = running.command_line("benchmarks.generators", __doc__, ", ".join(MEMBERS))
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    names = ("size", "filters", "blocks", "batch", "steps", "device")
    chosen = {name: getattr(options, name) for name in names}
    return running.main(parser, options, cases(**chosen), "generators")


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
