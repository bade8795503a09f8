"""The scenarios of DaCo and OSSCo: what they resolve to, and that they run on the toy world."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from mdir.report.published_tables import load_table
from mdir.scenario.cli import main
from mdir.scenario.plan import plan_target
from tests.shipped.resolving import resolved, shipped

TARGETS = {
    "daco": ["npid", "moco", "simclr", "simsiam", "daco"],
    "ossco": ["pretrained", "npid", "simclr", "softtriple", "proxyanchor", "ossco"],
}
SEVERAL = {"daco": ["simclr_daco", "all"], "ossco": ["all"]}
SETS = [
    *(f"daco/{name}.yml" for name in ("tokyo", "cityscapes", "synthia")),
    *(f"ossco/{name}.yml" for name in ("cityscapes", "cufsf")),
]
SECONDS_ONLY = {
    "epochs": 1, "epoch_iterations": 2, "validate_every": 1, "image_size": 32, "negs": 8,
    "translator_epochs": 1, "translator_decay": 0, "translator_size": 2, "translator_crop": "32_32",
    "rounds": 1, "style_num": 2, "gan_iter": 2, "total_iter": 2, "ossco_epochs": 2,
}  # fmt: skip


@pytest.mark.parametrize("path", SETS)
def test_a_target_for_each_compared_method_and_all(path):
    scenario = shipped(path)
    family = path.split("/")[0]
    assert list(scenario.targets) == [*TARGETS[family], *SEVERAL[family]]
    steps = [step.name for step in plan_target(scenario, "all").steps]
    assert steps == sorted(steps, key=lambda name: int(name.split("_")[0]))


@pytest.mark.parametrize("path", SETS)
def test_every_method_has_a_published_row(path):
    scenario = shipped(path)
    (compare,) = [s for s in plan_target(scenario, "all").steps if "compare" in s.name]
    table = load_table(resolved(path, "all")["00_settings"]["table"])
    assert set(compare.parameters["results"]) <= set(table.rows)


@pytest.mark.parametrize(
    ("path", "target", "batch", "loss"),
    [
        ("daco/tokyo.yml", "npid", 64, {"temperature": 0.1, "negs": 4096, "momentum": 0.5}),
        ("daco/tokyo.yml", "moco", 32, {"temperature": 0.1, "negs": 4096}),
        ("daco/tokyo.yml", "simclr", 32, {"temperature": 0.1}),
        ("daco/tokyo.yml", "daco", 16, {"temperature": 0.1, "lamda": 0.8}),
        ("ossco/cufsf.yml", "ossco", 16, {"temperature": 0.1}),
        ("ossco/cufsf.yml", "simclr", 32, {"temperature": 0.1}),
    ],
)
def test_published_settings(path, target, batch, loss):
    (train,) = [
        parameters
        for name, parameters in resolved(path, target).items()
        if name.endswith(f"train_{target}")
    ]
    training = train["learning"]["training"]
    assert training["criterion"] == {"loss": target, **loss}
    assert train["data"]["train"]["loader"] == {"batch_size": batch, "drop_last": True}
    assert training["optimizer"]["lr"] == 1e-3 and training["optimizer"]["weight_decay"] == 1e-6
    assert train["network"]["model"]["hidden_dim"] == 512
    iterations = training["epochs"] * training["epoch_iterations"]
    expected = {"daco": 40000, "ossco": 10000}[path.split("/")[0]]
    assert iterations == (42000 if target == "ossco" else expected)


@pytest.mark.parametrize(
    ("path", "domains"),
    [("ossco/cityscapes.yml", ["clear", "fog"]), ("ossco/cufsf.yml", ["image", "sketch"])],
)
def test_published_rounds_of_ossco(path, domains):
    steps = resolved(path, "ossco")
    train, recall = steps["60_train_ossco"], steps["61_recall_ossco"]
    name = Path(path).stem
    assert train["network"]["model"]["proj_dim"] == 128
    pictures = {
        "name": "TwoDomains", "image_dir": f"data/{name}", "layout": "split/domain",
        "domains": domains, "split": "val",
    }  # fmt: skip
    assert train["learning"]["training"]["epoch_iteration"] == {
        "type": "ossco", "data": "train", "criterion": "default", "rounds": 3, "style_num": 8,
        "gan_iter": 4000, "total_iter": 10000, "interval": 100, "epochs": 420, "blocks": 9,
        "filters": 32, "directory": f"results/ossco/{name}_ossco_8_3_4000", "pictures": pictures,
    }  # fmt: skip
    assert train["data"]["train"]["dataset"]["domains"] == domains
    assert recall["prefix"] == f"{name}_ossco_8_3_4000"
    assert recall["score"]["dataset"] == pictures
    assert resolved(path, "npid")["20_train_npid"]["data"]["train"]["loader"]["batch_size"] == 64


def test_more_rounds_ask_for_their_epochs(capsys):
    more = "ossco.00_settings.rounds=5"
    assert main(["validate", "ossco/cufsf.yml", more]) != 0
    assert "ossco_epochs in scenarios/ossco) to 700" in " ".join(capsys.readouterr().err.split())
    assert main(["validate", "ossco/cufsf.yml", more, "ossco.00_settings.ossco_epochs=700"]) == 0


def test_simsiam_projects_to_the_width_of_its_features():
    train = resolved("daco/synthia.yml", "simsiam")["50_train_simsiam"]
    assert train["network"]["model"]["proj_dim"] == 2048


def test_the_named_order_of_domains_holds_in_every_step_of_daco():
    names = ["sunset", "rainy_night"]
    argument = f"all.00_settings.domains*={json.dumps(names)}"
    steps = resolved("daco/synthia.yml", "all", argument)
    for name, step in steps.items():
        if "_recall_" in name:
            assert step["score"]["dataset"]["domains"] == names
        if "_train_" in name:
            assert step["data"]["train"]["dataset"]["domains"] == names
            validation = step["learning"]["validation"]
            assert validation["criterion"]["dataset"]["domains"] == names
    assert steps["05_check_pairs"]["domains"] == names


def test_each_domain_is_translated_by_its_own_generator():
    steps = resolved("daco/tokyo.yml", "daco")
    pairs = steps["10_translator"]["data"]["train"]["dataset"]
    for step, side, domain in (
        ("11_translate_a", "X", "domain_a"),
        ("12_translate_b", "Y", "domain_b"),
    ):
        translate = steps[step]
        assert translate["network"]["path"].endswith(f"translator/epochs/generator_{side}_best.pth")
        assert translate["names"].endswith(f"original/{domain}")
        assert pairs[f"dataset_{side}"].endswith(f"original/{domain}/train")


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("path", SETS)
def test_every_target_is_valid(path, overlay):
    assert main(["validate", path, *([f"{path.split('/')[0]}/toy.yml"] if overlay else [])]) == 0


def run(path, target, *arguments):
    toy = f"{path.split('/')[0]}/toy.yml"
    return main([target, path, toy, *arguments])


def shortest(target, path):
    known = resolved(path, target)["00_settings"]
    settings = {key: value for key, value in SECONDS_ONLY.items() if key in known}
    return [
        *(f"{target}.00_settings.{key}={json.dumps(value)}" for key, value in settings.items()),
        f"{target}.000_toy_world.image_size=48",
        f"{target}.000_toy_world.pairs=32",
    ]


@pytest.mark.parametrize("target", ["simclr_daco", pytest.param("all", marks=pytest.mark.slow)])
def test_daco_from_pictures_to_page(city, target):
    path = "daco/tokyo.yml"
    assert run(path, target, *shortest(target, path)) == 0
    generated = city / "experiments/daco/toy_tokyo/generated"
    assert len(list(generated.glob("*/*/*.png"))) == 2 * (32 + 16)
    vectors = torch.load(city / "results/daco/toy_tokyo_daco_vectors.pth", weights_only=True)
    assert vectors.shape == (32, 512)
    reports = city / "reports/daco/toy_tokyo" / target
    page = (reports / "index.html").read_text()
    assert "recalls.svg" in page and "Domain A translated" in page
    assert "Published protocol" in (reports / "comparison/comparison.md").read_text()


def test_toy_runs_of_two_sets_stand_side_by_side(city):
    for path in ("daco/tokyo.yml", "daco/cityscapes.yml"):
        assert run(path, "simclr", *shortest("simclr", path)) == 0
    for name in ("tokyo", "cityscapes"):
        assert (city / f"results/daco/toy_{name}_simclr_results.csv").exists()


def test_unpaired_pictures_are_refused_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CIRTORCH_ROOT", str(tmp_path))
    for place in ("domain_a/train", "domain_a/val", "domain_b/train", "domain_b/val"):
        folder = tmp_path / "data/tokyo/original" / place
        folder.mkdir(parents=True)
        for number in (1, 2):
            Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
    (tmp_path / "data/tokyo/original/domain_b/val/2.png").unlink()
    assert main(["daco", "daco/tokyo.yml"]) == 1
    assert "domain_a/val/2.png" in capsys.readouterr().err
    assert not (tmp_path / "experiments").exists()


@pytest.mark.parametrize("target", ["ossco", pytest.param("all", marks=pytest.mark.slow)])
def test_ossco_from_pictures_to_page(city, target):
    path = "ossco/cityscapes.yml"
    assert run(path, target, *shortest(target, path)) == 0
    table = (city / "results/ossco/toy_ossco_2_1_2_results.csv").read_text()
    assert "clear->fog@1" in table.splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("path", SETS)
def test_all_methods(path, tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(tmp_path))
    assert run(path, "all") == 0
