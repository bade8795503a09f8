"""Golden parity of the contrastive training steps, float64."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mdir.methods.contrastive.style_gans import StyleGANs, linear_decay
from mdir.methods.translation.image_pool import ImagePool
from mdir.registry import build, lookup
from tests.golden.golden import array_cases, files, fill, load_npz

TOPIC = "contrastive"
METHODS = ("daco", "simclr", "moco", "npid", "simsiam", "ossco", "proxyanchor", "softtriple")


class TinyEncoder(nn.Module):
    """The manifest's network T(c, hid)."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.g = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )

    def forward(self, images):
        features = self.f(images).flatten(1)
        return F.normalize(features, dim=1), F.normalize(self.g(features), dim=1)


class Bare:
    """A network without wrappers, as far as a method needs one."""

    members = {}
    device = torch.device("cpu")

    def __init__(self, model):
        self.model = model

    def __call__(self, images):
        return self.model(images)


def float64(array):
    return torch.tensor(array).double() if array.dtype.kind == "f" else torch.tensor(array)


class Trajectory:
    """One method on one golden file: set up, steps, comparison."""

    def __init__(self, arrays, name):
        self.arrays, self.name = arrays, name
        _, channels, hidden, _, self.steps, negs, images = arrays["cfg"].tolist()
        self.network = Bare(fill(TinyEncoder(channels, hidden)).double().train())
        self.optimizer = torch.optim.Adam(
            self.network.model.parameters(), lr=1e-3, weight_decay=1e-6
        )
        temperature, momentum = float(arrays["temperature"]), float(arrays[f"{name}_momentum"])
        extra = {
            "daco": {"lamda": float(arrays["lamda"])},
            "npid": {"negs": negs, "momentum": momentum},
            "moco": {"negs": len(arrays["queue0"])},
        }.get(name, {})
        if name in ("simclr", "daco", "ossco", "npid", "moco"):
            extra["temperature"] = temperature
        self.criterion = build("criterion", {"loss": name, **extra}).double()
        options = {"momentum": momentum, "shuffle": True} if name == "moco" else {}
        self.method = lookup("method", name)(
            self.network, self.optimizer, self.criterion, **options
        )
        if name == "ossco":  # the third view of the file is restyled already
            self.method.restyle = lambda view: view
        self.memories(images)

    def memories(self, images):
        if self.name == "moco":
            self.criterion.set_queue(float64(self.arrays["queue0"]))
        if self.name == "npid":
            self.method.images = images
            self.criterion.bank = float64(self.arrays["bank0"])
        if self.name in ("proxyanchor", "softtriple"):
            proxies, fc = float64(self.arrays["proxies"]), float64(self.arrays["fc"])
            self.method.start(*proxies.shape)
            self.criterion.double()
            if self.name == "proxyanchor":
                self.criterion.loss.proxies.data = proxies
            else:
                self.criterion.loss.fc.data = fc
            self.method.loss_optimizer = torch.optim.Adam(
                self.criterion.parameters(), **self.method.options
            )

    def run(self, monkeypatch):
        arrays = self.arrays
        for step in range(self.steps):
            views = list(float64(arrays["images"][step]))
            about = {
                "index": torch.tensor(arrays["pos_index"][step]),
                "label": torch.tensor(arrays["labels"][step]),
            }
            index, order = (
                torch.tensor(arrays["index"][step]),
                torch.tensor(arrays["shuffle"][step]),
            )
            if self.name == "npid":
                monkeypatch.setattr(self.criterion, "draw", lambda _, index=index: index)
            monkeypatch.setattr(torch, "randperm", lambda _, order=order: order)
            count = {"daco": 4, "ossco": 3, "npid": 1, "proxyanchor": 1, "softtriple": 1}
            losses = self.method.step((views[: count.get(self.name, 2)], about))
            expected = arrays[f"{self.name}_loss"][step]
            assert abs(losses["total"].item() - expected) <= 1e-7 * abs(expected)

    def compare(self):
        states = {f"{self.name}_q": self.network.model.state_dict()}
        if self.name == "moco":
            states["moco_k"] = self.method.key_model.state_dict()
        for prefix, state in states.items():
            expected = {k: v for k, v in self.arrays.items() if k.startswith(prefix + ".")}
            assert expected
            for key, array in expected.items():
                assert np.abs(state[key[len(prefix) + 1 :]].numpy() - array).max() <= 1e-7, key
        with torch.no_grad():
            feature, _ = self.network.model.eval()(float64(self.arrays["probe"]))
        assert np.abs(feature.numpy() - self.arrays[f"{self.name}_probe_feature"]).max() <= 1e-7
        memories = {
            "moco": lambda: {"queue": self.criterion.queue},
            "npid": lambda: {"bank": self.criterion.bank, "z": self.criterion.z},
            "proxyanchor": lambda: {"proxies": self.criterion.loss.proxies.detach()},
            "softtriple": lambda: {"fc": self.criterion.loss.fc.detach()},
        }.get(self.name, dict)()
        for key, tensor in memories.items():
            expected = self.arrays[f"{self.name}_{key}"]
            assert np.abs(tensor.numpy() - expected).max() <= 1e-7 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", files(TOPIC, "train_trajectory*.npz"))
@pytest.mark.parametrize("method", METHODS)
def test_trajectory(name, method, monkeypatch):
    arrays = load_npz(TOPIC, name)
    if f"{method}_loss" not in arrays:
        pytest.skip(f"{name} has no trajectory of {method}")
    trajectory = Trajectory(arrays, method)
    trajectory.run(monkeypatch)
    trajectory.compare()


class Replayed:
    """Gives stored draws in place of random ones."""

    def __init__(self, draws):
        self.draws = list(draws)

    def uniform(self, low, high):
        return self.draws.pop(0)

    def randint(self, low, high):
        return int(self.draws.pop(0))


@pytest.mark.parametrize("name", files(TOPIC, "gan_trajectory*.npz"))
def test_style_gans(name):
    arrays = load_npz(TOPIC, name)
    styles, blocks, gan_iter, iterations, _, pool_size = arrays["cfg"].tolist()
    gans = StyleGANs(styles, gan_iter, blocks=blocks, pool_size=pool_size)
    for index, gan in enumerate(gans.gans):
        for part, network in gan.named_children():
            fill(network, prefix=f"{part}{index}.")
    gans.gans.double()
    gans.start_optimizers()
    replayed = Replayed(arrays["draws"])
    for pools in gans.pools:
        for pool in pools.values():
            pool.generator = replayed
    contents, images = float64(arrays["content"]), float64(arrays["style"])
    keys = {"adversarial": "adv", "cycle": "cycle", "fg": "fg", "df": "df", "dg": "dg"}
    with torch.no_grad():
        first = {
            "first_fake_style": gans.gans[0].F(contents[0]),
            "first_fake_content": gans.gans[0].G(images[0, 0]),
        }
    for step in range(iterations):
        assert np.allclose(gans.learning_rate(), arrays["lr"][step], rtol=1e-12)
        losses = gans.step(contents[step], list(images[step]))
        for index, values in enumerate(losses):
            for ours, theirs in keys.items():
                expected = arrays[theirs][step, index]
                assert np.isclose(values[ours].item(), expected, rtol=1e-8, atol=0), (step, ours)
    assert not replayed.draws
    assert np.allclose(gans.learning_rate(), np.maximum(arrays["final_lr"], 0), rtol=1e-12)
    with torch.no_grad():
        for index, gan in enumerate(gans.gans):
            first[f"final_F{index}"] = gan.F(contents[0])
            first[f"final_G{index}"] = gan.G(images[0, 0])
            first[f"final_DF{index}"] = gan.DF(contents[0])
            first[f"final_DG{index}"] = gan.DG(images[0, 0])
    for key, output in first.items():
        assert np.abs(output.numpy() - arrays[key]).max() <= 1e-6, key


@pytest.mark.parametrize("name", files(TOPIC, "lr_lambda*.npz"))
def test_learning_rate_factor(name):
    arrays = load_npz(TOPIC, name)
    for key in arrays:
        if key.endswith("_step"):
            total = int(key[1 : -len("_step")])
            factors = [linear_decay(int(step), total) for step in arrays[key]]
            expected = np.maximum(arrays[f"g{total}_factor"], 0)
            assert np.abs(np.array(factors) - expected).max() <= 1e-12


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "replay_buffer*.npz", "cfg"))
def test_replay_buffer(name, case):
    arrays = load_npz(TOPIC, name)
    size, pushed, per_push, seed = arrays[f"{case}_cfg"].tolist()
    generator = random.Random(seed)
    pool = ImagePool(size, generator)
    returned = []
    for start in range(0, pushed, per_push):
        batch = torch.arange(start, min(start + per_push, pushed)).float()[:, None]
        returned += pool.query(batch).flatten().tolist()
    assert returned == arrays[f"{case}_out"].tolist()
    assert [float(image) for image in pool.images] == arrays[f"{case}_left"].tolist()
    draws, expected = [], arrays[f"{case}_draws"].tolist()
    generator = random.Random(seed)
    while len(draws) < len(expected):
        draws.append(generator.uniform(0, 1))
        if draws[-1] > 0.5:
            draws.append(float(generator.randint(0, size - 1)))
    assert draws == expected
