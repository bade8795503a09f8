"""OSSCo: the phases of its rounds, restyling, and a stopped run that goes on."""

import copy
import csv
import os
import random
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.weight_files import load_weights
from mdir.data.datasets.two_domains import TwoDomains
from mdir.data.streams import Stream
from mdir.errors import UserError
from mdir.methods.contrastive.ossco import ContentAndStyles, OSSCo
from mdir.methods.contrastive.style_gans import StyleGAN, StyleGANs
from mdir.methods.contrastive.views import forward_views
from mdir.networks.factory import initialize_network
from mdir.registry import Section, check, schema
from mdir.stages.train import train
from tests.learning.test_killed import Fuse, assert_same, start_child
from tests.methods.contrastive import contrastive_run

PICTURES = {"name": "TwoDomains", "image_dir": "set", "layout": "split/domain", "split": "val"}


@pytest.fixture
def domains(root):
    rng = np.random.default_rng(0)
    for domain in ("clear", "fog"):
        for split, count in (("train", 5), ("val", 3)):
            folder = root / "set" / split / domain
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return root / "set"


def section(split, **extra):
    return {
        "name": "TwoDomains",
        "image_dir": "set",
        "layout": "split/domain",
        "split": split,
    } | extra


def scenario(epochs, **runtime):
    """Two rounds of two epochs for the translators and one of contrast; two iterations an epoch."""
    params = contrastive_run.params("ossco", epochs, **runtime)
    preprocessing = params["network"]["runtime"]["data"]
    preprocessing["transforms"] = "ratio_crop:32 | random_mirror | pil2np | totensor | normalize"
    training = params["learning"]["training"]
    training["epoch_iterations"] = 2
    training["criterion"]["temperature"] = 0.1
    training["optimizer"]["lr"] = 1e-3
    training["epoch_iteration"] |= {
        "rounds": 2, "style_num": 2, "gan_iter": 4, "total_iter": 2, "interval": 2,
        "blocks": 1, "filters": 4, "pool_size": 1, "directory": "left", "pictures": PICTURES,
    }  # fmt: skip
    score = params["learning"]["validation"]["criterion"]
    score |= {"naming": "ossco", "ranks": [1, 2], "dataset": section("val")}
    train = params["data"]["train"]
    train["dataset"] = section("train", views="original,original,original")
    train["loader"]["num_workers"] = 1
    return params


def test_a_stopped_run_goes_on_as_if_never_stopped(domains, root, monkeypatch):
    whole = train(scenario(6))[0]
    (root / "run").rename(root / "whole")
    for epochs in (1, 4, 6):
        parts = train(copy.deepcopy(scenario(epochs)))[0]
    assert list(parts["metrics"]) == list(whole["metrics"])
    for name, values in whole["metrics"].items():
        assert np.array_equal(values, parts["metrics"][name], equal_nan=True), name
    states = [
        torch.load(root / run / "epochs" / "net_last.pth", weights_only=True)["model_state"]
        for run in ("whole", "run")
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    # The encoder is validated when it has learned, twice in six epochs.
    assert len(whole["metrics"]["val/learning/score_avg:clear<->fog@1"]) == 2


def run_in_child(moments=None):
    """Exit status of two rounds in a process of their own, killed after so many moments.

    A moment is a step or a change of a file; ``moments.txt`` tells how many there were.
    """

    def training():
        fuse = Fuse(moments)
        fuse.light()
        OSSCo.step = fuse._before(OSSCo.step)
        train(scenario(6))
        with open("moments.txt", "w") as file:
            file.write(str(fuse.passed))

    return os.waitpid(start_child(training), 0)[1]


def outcome(root):
    """States of the finished run and the files of its rounds."""
    folder = root / "run" / "epochs"
    states = {path.name: load_weights(path) for path in sorted(folder.glob("*.pth"))}
    training = states.pop("learning_epoch_06.pth")["training"]
    left = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "left").rglob("*"))
        if path.is_file()
    }
    return [states, training, left]


@pytest.mark.slow
def test_a_killed_run_ends_as_if_never_killed(domains, root, monkeypatch):
    monkeypatch.chdir(root)
    assert run_in_child() == 0
    whole, moments = outcome(root), int((root / "moments.txt").read_text())
    assert len(whole[2]) == 2 * (1 + 2 * (1 + 4 + 6))
    for folder in ("run", "left"):
        (root / folder).rename(root / f"whole_{folder}")
    for limit in (5, moments // 8, moments // 2, moments // 4):
        assert run_in_child(limit) == signal.SIGKILL
    assert run_in_child() == 0
    assert_same(outcome(root), whole)


def test_files_of_a_round(domains, root):
    train(scenario(3))
    folder = root / "left" / "round-1"
    with open(folder / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["iter"], row["iteration"]) for row in rows] == [("1", "2"), ("2", "4")]
    assert all(float(row[f"train_{name}_loss"]) > 0 for row in rows for name in ("fg", "dfs"))
    styles = sorted(path.name for path in folder.glob("*.png"))
    assert len(styles) == 2
    for name in styles:
        domain, file = name.split("_")
        assert (folder / name).read_bytes() == (domains / "train" / domain / file).read_bytes()
        stem = name.removesuffix(".png")
        assert {path.name for path in folder.glob(f"{stem}_*.pth")} == {
            f"{stem}_{part}.pth" for part in ("F", "G", "DF", "DG")
        }
        pictures = sorted(path.name for path in (folder / stem).iterdir())
        assert pictures == [f"{d}_{i:03d}.png" for d in ("clear", "fog") for i in range(3)]


def test_pictures_are_what_translator_f_makes(domains, root):
    given = scenario(3)
    data = given["network"]["runtime"]["data"]
    data["transforms"] = "pil2np | totensor | normalize"
    train(given)
    folder = root / "left" / "round-1"
    stem = next(folder.glob("*_F.pth")).name.removesuffix("_F.pth")
    gan = StyleGAN(blocks=1, filters=4)
    gan.F.load_state_dict(torch.load(folder / f"{stem}_F.pth", weights_only=True))
    pixels = torch.tensor(np.array(Image.open(domains / "val" / "fog" / "001.png")))
    image = (pixels.permute(2, 0, 1) / 255 - 0.5) / 0.5
    with torch.no_grad():
        restyled = (gan.F(image[None])[0] + 1) / 2
    expected = (255 * restyled + 0.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).int()
    made = torch.tensor(np.array(Image.open(folder / stem / "fog_001.png"))).int()
    assert (made - expected).abs().max() <= 1


def test_phase_two_keeps_the_translators_alone(domains, root):
    train(scenario(3))
    state = load_weights(root / "run" / "epochs" / "extra_epoch_03.pth")["method"]
    assert set(state) == {"styles", "translators"}
    assert len(state["translators"]) == 2 * len(StyleGAN(blocks=1, filters=4).F.state_dict())


def test_bfloat16(domains, root):
    train(scenario(3, precision="bf16"))
    state = load_weights(root / "run" / "epochs" / "net_last.pth")["model_state"]
    weights = [entry for entry in state.values() if entry.is_floating_point()]
    assert all(entry.dtype == torch.float32 and entry.isfinite().all() for entry in weights)


def method(**params):
    return OSSCo(SimpleNamespace(device="cpu", runtime={}, preprocessing={}), None, None, **params)


def small(**params):
    sizes = {"gan_iter": 2, "total_iter": 1, "interval": 1, "blocks": 1, "filters": 2}
    return method(**sizes, **params)


def test_phases_by_epoch():
    ossco = method(gan_iter=30, total_iter=20, interval=10)
    phases = [(p.round, p.translates, p.first_epoch) for p in map(ossco.phase, range(7))]
    assert phases == [
        (0, True, 0), (0, True, 0), (0, True, 0), (0, False, 3), (0, False, 3),
        (1, True, 5), (1, True, 5),
    ]  # fmt: skip
    assert [ossco.validates(epoch) for epoch in range(6)] == [False] * 3 + [True] * 2 + [False]


def test_styles_are_no_content(domains):
    dataset = TwoDomains(
        lambda image: torch.tensor(np.asarray(image)), image_dir="set", layout="split/domain"
    )
    stage = ContentAndStyles(dataset, [7, 2])
    assert len(stage) == 8 and stage.contents == [0, 1, 3, 4, 5, 6, 8, 9]
    content, styles = stage[2]
    assert torch.equal(content, dataset.view(3))
    assert [torch.equal(style, dataset.view(i)) for style, i in zip(styles, (7, 2), strict=True)]


def test_more_styles_than_images_are_refused(domains):
    dataset = TwoDomains(None, image_dir="set", layout="split/domain")
    with pytest.raises(UserError, match="10 styles asked of 10 images"):
        method(style_num=10).prepare_epoch(dataset, 0)


def test_restyling_a_batch_is_restyling_its_images():
    torch.manual_seed(0)
    gans = StyleGANs(2, 10, blocks=1, filters=4)
    images, choice = torch.randn(5, 3, 18, 21), torch.tensor([0, 1, 1, 0, 1])
    together = gans.translators().restyle(images, choice)
    alone = [gans.translators().restyle(images[i : i + 1], choice[i : i + 1]) for i in range(5)]
    assert together.shape == images.shape
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_restyling_is_done_by_the_generator_of_the_drawn_style():
    torch.manual_seed(0)
    gans = StyleGANs(2, 10, blocks=1, filters=4)
    image = torch.randn(1, 3, 16, 16)
    for index, gan in enumerate(gans.gans):
        restyled = gans.translators().restyle(image, torch.tensor([index]))
        assert torch.allclose(restyled, gan.F(image), atol=1e-6)


def test_restyling_under_autocast_keeps_the_type():
    gans, images = StyleGANs(1, 10, blocks=1, filters=4), torch.randn(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        restyled = gans.translators().restyle(images, torch.zeros(2, dtype=torch.long))
    assert restyled.dtype == torch.float32


def test_each_sample_has_a_style_drawn_for_it():
    torch.manual_seed(0)
    ossco = method()
    ossco.styles = [9, 5, 3]
    ossco.translators = SimpleNamespace(restyle=lambda views, choice: choice)
    drawn = ossco.restyle(torch.zeros(90, 3, 1, 1))
    assert drawn.shape == (90,) and drawn.bincount().min() > 15 and drawn.max() == 2


def test_each_round_draws_styles_and_begins_anew(domains):
    dataset = TwoDomains(None, image_dir="set", layout="split/domain")
    ossco, drawn, first = small(style_num=3, rounds=4), [], []
    for round_ in range(4):
        random.seed(round_)
        ossco.prepare_epoch(dataset, 3 * round_)
        drawn.append(tuple(ossco.styles))
        first.append(ossco.gans)
        ossco.gans.done = 2
        ossco.prepare_epoch(dataset, 3 * round_ + 2)
        assert ossco.gans is None and len(ossco.translators) == 3
    assert len(set(drawn)) == 4 and len(set(map(id, first))) == 4


def test_translators_learn_from_single_images(domains):
    dataset = TwoDomains(None, image_dir="set", layout="split/domain")
    ossco, given = small(style_num=2), {"loader": {"batch_size": 4, "num_workers": 1}}
    ossco.styles = [4, 1]
    stream = Stream(dataset, given)
    (made,) = ossco.epoch_data([stream], 0)
    contents, section = made.dataset, made.section
    assert section["loader"] == {"batch_size": 1, "num_workers": 1} and len(contents) == 8
    assert ossco.epoch_data([stream], 2) == [Stream(dataset, given, first_epoch=2)]


def test_what_nothing_says_is_as_published():
    published = {"rounds": 3, "style_num": 8, "gan_iter": 4000, "total_iter": 10000}
    published |= {"interval": 100, "blocks": 9, "filters": 32, "cycle_weight": 10, "pool_size": 50}
    fields = schema(OSSCo)[0]
    assert {name: fields[name].default for name in published} == published


def test_the_cycle_loss_weighs_ten():
    ossco = small()
    ossco._start_round([0])
    image = torch.rand(1, 3, 32, 32)
    (losses,) = ossco.gans.step(image, [image.flip(3)])
    assert torch.isclose(losses["fg"], losses["adversarial"] + 10 * losses["cycle"])


def test_full_replay_buffers_go_on():
    def step(gans, number):
        random.seed(number)
        content = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(number))
        return gans.step(content, [content.flip(2)])

    whole = StyleGANs(1, 8, blocks=1, filters=2, pool_size=1)
    step(whole, 0)
    resumed = StyleGANs(1, 8, blocks=1, filters=2, pool_size=1)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for number in range(1, 4):
        assert_same(step(resumed, number), step(whole, number))


@pytest.mark.parametrize(
    ("wrong", "key", "told"),
    [
        ({"rounds": 5, "epochs": 420}, "epochs", "take 700 epochs of 100, got 420"),
        ({"gan_iter": 3, "interval": 2}, "gan_iter", "multiple of the interval 2, got 3"),
        ({"gan_iter": 50}, "gan_iter", "multiple of the interval 100, got 50"),
        ({"total_iter": 50}, "total_iter", "multiple of the interval 100, got 50"),
        ({"gan_iter": 1, "total_iter": 1}, "gan_iter", "multiple of the interval 100"),
        ({"interval": 0}, "interval", "1 or more, got 0"),
        ({"rounds": 0}, "rounds", "1 or more, got 0"),
        ({"style_num": 0}, "style_num", "1 or more, got 0"),
        ({"style_num": -1}, "style_num", "1 or more, got -1"),
        ({"gan_iter": 0}, "gan_iter", "1 or more, got 0"),
        ({"total_iter": 0}, "total_iter", "1 or more, got 0"),
    ],
)
def test_mistakes_are_told_before_anything_runs(wrong, key, told):
    found = list(check(Section("method"), {"type": "ossco", **wrong}))
    assert any(problem.path == (key,) and told in problem.message for problem in found), found


def test_rounds_that_fit_the_epochs_are_right():
    for rounds, epochs in ((3, 420), (5, 700), (5, None)):
        section = {"type": "ossco", "rounds": rounds, "epochs": epochs}
        assert not list(check(Section("method"), section))


def test_epochs_beyond_the_rounds_are_refused(domains):
    with pytest.raises(UserError, match="rounds: 2 take 6 epochs"):
        small(rounds=2).prepare_epoch(None, 6)


def test_an_epoch_of_other_length_than_the_interval_is_refused(domains):
    given = scenario(6)
    given["learning"]["training"]["epoch_iterations"] = 3
    with pytest.raises(UserError, match="epoch_iterations must be the interval"):
        train(given)


def test_views_of_two_devices_go_through_in_one_pass():
    network = initialize_network(scenario(1)["network"], "cpu")
    network.model.to("meta")
    network.device = torch.device("meta")
    views = [torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16, device="meta")]
    pairs = forward_views(network.eval(), views)
    assert [len(features) for features, _ in pairs] == [2, 2]
