"""Wrappers around retrieval networks and generators equal the published numbers."""

import json
import pickle
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from mdir.data.labelled import LabelledImage
from mdir.networks.wrappers.pass_through import name_fraction
from mdir.networks.wrappers.stack import build_wrappers, parse_wrappers
from tests.golden.golden import fill, load_json, load_npz, normal, present

ARRAYS = load_npz("retrieval", "wrappers.npz")
META = load_json("retrieval", "meta.json", {})
PASS = load_json("retrieval", "passthrough.json", {})
CHAIN = load_json("retrieval", "chain.json", {})
SEED = META.get("seed", 0)

A = "[[0.5,0.5,0.5],[0.5,0.5,0.5]]"
B = "[[0.485,0.456,0.406],[0.229,0.224,0.225]]"


def listed_scales():
    """The scales of the ``list`` cases, which only the manifest tells."""
    manifest = present("retrieval", "manifest.md")
    found = re.search(r"`list` = `(\[[^]]*\])`", manifest.read_text()) if manifest else None
    return json.loads(found[1]) if found else [1, 0.75, 1.3]


class TinyNet(nn.Module):
    """The small embedding network of the golden set: features, pooling, optional whitening."""

    def __init__(self, pooling, p=3.0, whitening=False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
        )
        self.pool = nn.Module()
        if pooling == "gem":
            self.pool.p = nn.Parameter(torch.full((1,), p))
        self.whiten = nn.Linear(16, 16) if whitening else None
        self.meta = {
            "out_channels": 16,
            "regional": False,
            "whitening": whitening,
            "pooling": pooling,
        }

    def forward(self, x):
        o = self.features(x)
        if self.meta["pooling"] == "gem":
            p = self.pool.p
            o = o.clamp(min=1e-6).pow(p).mean(dim=(2, 3)).pow(1 / p)
        else:
            o = o.amax(dim=(2, 3))
        o = o / (o.norm(dim=1, keepdim=True) + 1e-6)
        if self.whiten is not None:
            o = self.whiten(o)
            o = o / (o.norm(dim=1, keepdim=True) + 1e-6)
        return o.t()


def tiny(name):
    """``gem3``, ``gem24`` (p = 2.4), ``mac``, ``gemw`` (with whitening)."""
    pooling = "mac" if name.startswith("mac") else "gem"
    digits = re.sub(r"\D", "", name) or "3"
    p = float(digits[0] + "." + digits[1:]) if len(digits) > 1 else float(digits)
    return fill(TinyNet(pooling, p, whitening=name.endswith("w"))).eval()


def run(network, wrappers, images):
    stack = build_wrappers(wrappers, network)["eval"]

    def bare(x):
        if x is None:
            return None
        return (
            [bare(item) for item in x] if isinstance(x, list) else network(getattr(x, "tensor", x))
        )

    with torch.no_grad():
        images, states = stack.preprocess(images)
        return stack.postprocess(bare(images), states)


def array(key):
    return torch.from_numpy(ARRAYS[key])


def keys(pattern):
    return [key for key in ARRAYS if re.fullmatch(pattern, key)]


def close(given, expected, atol=1e-5):
    np.testing.assert_allclose(given.numpy(), ARRAYS[expected], atol=atol)


@pytest.mark.parametrize("key", keys(r"ms_(?!x$).+"))
def test_multiscale(key):
    _, net, scales = key.split("_")
    listed = {"0_cirmultiscale": {"scales": listed_scales()}}
    wrappers = listed if scales == "list" else f"cirmultiscale:{scales}"
    close(run(tiny(net), wrappers, array("ms_x")), key)


@pytest.mark.parametrize("key", keys(r"whit_out_.+"))
def test_whitening_after_aggregation(key, tmp_path):
    path = tmp_path / "lw.pkl"
    path.write_bytes(pickle.dumps({"m": ARRAYS["whit_m_f64"], "P": ARRAYS["whit_P_f64"]}))
    given = key.rpartition("_")[2]
    stack = {
        "0_cirwhiten": {
            "whitening": str(path),
            "dimensions": None if given == "None" else int(given),
        },
        "1_cirmultiscale": {"scales": True},
    }
    close(run(tiny("gem3"), stack, array("ms_x")), key)


def tuple_image(q, i):
    return torch.from_numpy(normal(SEED + 400 + 10 * q + i, (1, 3, 20 + i, 24 - q)))


@pytest.mark.parametrize("key", keys(r"tuple_out.*"))
def test_fake_tuple_batches(key):
    shape = ARRAYS[key].shape
    images = {
        "tuple_out": [[tuple_image(q, i) for i in range(3)] for q in range(shape[1] // 3)],
        "tuple_out_1d": [tuple_image(0, i) for i in range(shape[1])],
        "tuple_out_single": tuple_image(0, 0),
    }[key]
    close(run(tiny("gem3"), "cirfaketuplebatch", images), key)


@pytest.mark.parametrize("key", keys(r"pad\d+_x"))
def test_padding_to_divisible_sides(key):
    name = key[:-2]
    before, after = ARRAYS[key].shape[-2:], ARRAYS[f"{name}_pre"].shape[-2:]
    divisors = [
        n
        for n in range(1, 65)
        if all(-(-b // n) * n == a for b, a in zip(before, after, strict=True))
    ]
    identity = nn.Identity()
    stack = build_wrappers(f"reflectpad_divisible:{max(divisors)}", identity)["eval"]
    padded, states = stack.preprocess(array(key))
    close(padded, f"{name}_pre")
    assert list(states[0]) == list(ARRAYS[f"{name}_padding"])
    close(stack.postprocess(padded, states), f"{name}_post")


def statistics(text):
    return re.sub(r"\bA\b", A, re.sub(r"\bB\b", B, text))


@pytest.mark.parametrize("key", keys("meanstd_post|meanstd_pre|bgr"))
def test_statistics_and_channels(key):
    wrappers = {
        "meanstd_post": "meanstd_post:A:B",
        "meanstd_pre": "meanstd_pre:B:A",
        "bgr": "rgb2bgr_pre",
    }
    close(run(nn.Identity(), statistics(wrappers[key]), array("meanstd_x")), key)


def mostly_close(given, expected):
    difference = np.abs(given.numpy() - ARRAYS[expected])
    assert (difference <= 1e-4).mean() >= 0.99
    assert difference.mean() < 1e-3


@pytest.mark.parametrize("key", [k for k in META.get("wrappers", {}) if k in ARRAYS])
def test_clahe(key):
    entry = META["wrappers"][key]
    images = indexed(entry["input"])
    found = run(nn.Identity(), statistics(entry["wrapper"]), images)
    mostly_close(found.reshape(ARRAYS[key].shape), key)


def indexed(text):
    """Images of ``NAME`` or of ``NAME[i]``, one image also as a batch of one."""
    name, *places = re.findall(r"\w+", text)
    images = array(name)
    for place in map(int, places):
        images = images[place]
    return images[None] if images.dim() == 3 else images


def chain_images():
    images = zip(array("chain_x"), CHAIN["names"], CHAIN["labels"], strict=True)
    return [LabelledImage(x[None], [n], [n], [label]) for x, n, label in images]


def chain_wrappers():
    return statistics(
        f"meanstd_post:A:B,clahepost:A:1.0,cir_ratio_pass_through:{CHAIN['ratio']}:anc"
    )


class Negative(nn.Module):
    meta = {"out_channels": 3}

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return -x


@pytest.mark.skipif(not (CHAIN and "chain_x" in ARRAYS), reason="no chain in this golden set")
def test_augmentation_chain():
    network, images = Negative(), chain_images()
    mostly_close(torch.cat(run(network, chain_wrappers(), images)), "chain_out")
    entered = [any(x.equal(image.tensor) for x in network.seen) for image in images]
    assert entered == list(ARRAYS["chain_through"])


@pytest.mark.skipif(not (CHAIN and "chain_x" in ARRAYS), reason="no chain in this golden set")
def test_augmentation_chain_on_a_batch():
    batch = LabelledImage(array("chain_x"), CHAIN["names"], CHAIN["names"], CHAIN["labels"])
    mostly_close(run(Negative(), chain_wrappers(), batch), "chain_out")


def test_name_fractions():
    rows = PASS.get("rows", [])
    fractions = [round(name_fraction(name) * 65536) for name, _ in rows]
    assert fractions == PASS.get("u", [])


@pytest.mark.parametrize("case", PASS.get("through", {}))
def test_ratio_pass_through(case):
    ratio, regex = case.split("|", 1)
    stack = {"0_cir_ratio_pass_through": {"ratio": float(ratio), "label_regex": regex}}
    wrapper = next(iter(build_wrappers(stack, nn.Identity())["eval"]))
    image = torch.zeros(1, 3, 2, 2)
    images = [LabelledImage(image, n, n, label) for n, label in PASS["rows"]]
    kept, _ = wrapper.preprocess(images)
    assert "".join("0" if x is None else "1" for x in kept) == PASS["through"][case]


@pytest.mark.parametrize("p", PASS.get("random_pass_through", {}).get("through", {}))
def test_random_pass_through(p):
    entry = PASS["random_pass_through"]
    random.seed(entry["seed"])
    expected = entry["through"][p]
    stack = build_wrappers(f"random_pass_through:{p}", nn.Identity())["eval"]
    kept, _ = stack.preprocess([torch.zeros(1, 3, 2, 2) for _ in expected])
    assert "".join("0" if x is None else "1" for x in kept) == expected


def test_text_and_mapping_name_the_same_wrappers():
    assert parse_wrappers(statistics("meanstd_post:A:B"))[0][1] == [A, B]
