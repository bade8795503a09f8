"""The scenarios of DaCo and OSSCo: what they resolve to, and that they run on the toy world."""

import json
from pathlib import Path

import pytest
import torch

from mdir.report.published_tables import load_table
from mdir.scenario.cli import main
from mdir.scenario.plan import load_scenario, plan_target
from mdir.scenario.variables import Resolver

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
TARGETS = {
    "daco": ["npid", "moco", "simclr", "simsiam", "daco"],
    "ossco": ["pretrained", "npid", "simclr", "softtriple", "proxyanchor", "ossco"],
}
SETS = [
    *(f"daco/{name}.yml" for name in ("tokyo", "cityscapes", "synthia")),
    *(f"ossco/{name}.yml" for name in ("cityscapes", "cufsf")),
]
SECONDS_ONLY = {
    "epochs": 1, "epoch_iterations": 2, "validate_every": 1, "image_size": 32, "negs": 8,
    "translator_epochs": 1, "translator_decay": 0, "translator_size": 2, "translator_crop": "32_32",
    "rounds": 1, "style_num": 2, "gan_iter": 2, "total_iter": 2, "ossco_epochs": 2,
}  # fmt: skip


def resolved(path, target):
    """Step name -> parameters with their variables resolved, as far as nothing has to run."""
    plan = plan_target(load_scenario([str(SCENARIOS / path)]), target)
    context = plan.context()
    found = {}
    for step in plan.steps:
        context.add(step.name, step.function, step.parameters)
        if "recall" not in step.name and "compare" not in step.name and "report" not in step.name:
            found[step.name] = Resolver(context).resolve(step.parameters)
            context.finish(step.name, found[step.name], {})
    return found


@pytest.mark.parametrize("path", SETS)
def test_a_target_for_each_compared_method_and_all(path):
    scenario = load_scenario([str(SCENARIOS / path)])
    assert list(scenario.targets) == [*TARGETS[path.split("/")[0]], "all"]
    steps = [step.name for step in plan_target(scenario, "all").steps]
    assert steps == sorted(steps, key=lambda name: int(name.split("_")[0]))


@pytest.mark.parametrize("path", SETS)
def test_every_method_has_a_published_row(path):
    scenario = load_scenario([str(SCENARIOS / path)])
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


def test_simsiam_projects_to_the_width_of_its_features():
    train = resolved("daco/synthia.yml", "simsiam")["50_train_simsiam"]
    assert train["network"]["model"]["proj_dim"] == 2048


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("path", SETS)
def test_every_target_is_valid(path, overlay):
    assert main(["validate", path, *([f"{path.split('/')[0]}/toy.yml"] if overlay else [])]) == 0


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """A root that several runs share, so that the pictures are drawn once."""
    folder = tmp_path_factory.mktemp("city")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRTORCH_ROOT", str(folder))
        yield folder


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


def test_daco_from_pictures_to_page(city):
    path = "daco/tokyo.yml"
    assert run(path, "all", *shortest("all", path)) == 0
    generated = city / "experiments/daco/toy_tokyo/generated"
    assert len(list(generated.glob("*/*/*.png"))) == 2 * (32 + 16)
    vectors = torch.load(city / "results/daco/toy_tokyo_daco_vectors.pth", weights_only=True)
    assert vectors.shape == (32, 512)
    page = (city / "reports/daco/toy_tokyo/all/index.html").read_text()
    assert "recalls.svg" in page and "Domain A translated" in page
    assert (
        "Published protocol" in (city / "reports/daco/toy_tokyo/all/comparison/comparison.md").read_text()
    )


def test_ossco_from_pictures_to_page(city):
    path = "ossco/cityscapes.yml"
    assert run(path, "all", *shortest("all", path)) == 0
    table = (city / "results/ossco/toy_ossco_results.csv").read_text()
    assert "clear->fog@1" in table.splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("path", SETS)
def test_all_methods(path, tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(tmp_path))
    assert run(path, "all") == 0
