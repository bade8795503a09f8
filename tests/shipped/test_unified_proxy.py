"""The scenarios of UnifiedProxy: what they resolve to, and that they run on the toy world."""

import json
from pathlib import Path

import pytest
import torch

from mdir.report.published_tables import load_table
from mdir.scenario.cli import main
from mdir.scenario.plan import plan_target
from tests.shipped.resolving import resolved, shipped

BACKBONES, LOSSES = ["resnet50", "inception", "googlenet"], ["balanced_proxy", "proxy_anchor"]
PAIRS = [f"{backbone}_{loss}" for backbone in BACKBONES for loss in LOSSES]
SETS = {"car": (98, 8131), "cub": (100, 5924)}


def trainings(steps):
    return [parameters for name, parameters in steps.items() if "_train_" in name]


@pytest.mark.parametrize("name", SETS)
def test_a_target_for_each_backbone_and_loss(name):
    path = f"unified_proxy/{name}.yml"
    scenario = shipped(path)
    assert list(scenario.targets) == [*PAIRS, "resnet50", "all", "sweep", "test", "retrieve"]
    for target in PAIRS:
        (train,) = trainings(resolved(path, target))
        backbone, loss = train["network"]["model"]["backbone"], train["learning"]["training"]
        assert f"{backbone}_{loss['criterion']['loss']}" == target


@pytest.mark.parametrize("name", SETS)
def test_published_settings(name):
    classes, _ = SETS[name]
    for train in trainings(resolved(f"unified_proxy/{name}.yml", "all")):
        model, training = train["network"]["model"], train["learning"]["training"]
        assert (model["classes"], model["feature_dim"], model["pooling"]) == (classes, 512, "max")
        assert model["pretrained"] and model["layer_norm"] and model["frozen_batch_norm"]
        assert (training["epochs"], training["seed"]) == (20, 1)
        assert training["criterion"] | {"loss": ""} == {"loss": "", "scale": 32, "margin": 0.1}
        groups = {"fc": {"lr": 1e-2}}
        assert training["optimizer"] == {"algorithm": "adamp", "lr": 1e-4, "groups": groups}
        assert training["scheduler"] == {"algorithm": "step", "step_size": 5, "gamma": 0.5}
        assert training["epoch_iteration"]["warm_up"] == 2
        score = train["learning"]["validation"]["criterion"]
        assert score["ranks"] == [1, 2, 4, 8] and score["dataset"]["split"] == "test"
        assert train["data"]["train"]["loader"] == {"batch_size": 64}
        assert train["data"]["train"]["dataset"]["image_dir"] == f"data/{name}"
        view, seen = train["data"]["train"]["transforms"], train["network"]["runtime"]["data"]
        assert "random_resized_crop:224_224:0.08_1.0 | mirror" in view
        assert "resize:256 | center_crop:224:even" in seen["transforms"]
        bgr = model["backbone"] == "inception"
        assert [text.startswith("bgr") for text in (view, seen["transforms"])] == [bgr, bgr]
        assert seen["mean_std"][0][0] == (104 if bgr else 0.485)


def test_the_sweep_has_both_numbers_of_dimensions_in_folders_of_their_own():
    found = trainings(resolved("unified_proxy/car.yml", "sweep"))
    wanted = {(pair, dim) for pair in PAIRS for dim in (64, 512)}
    assert {(f"car_{pair}_{dim}", f"experiments/unified_proxy/car/{pair}_{dim}", dim)
            for pair, dim in wanted} == {
        (
            train["learning"]["training"]["epoch_iteration"]["published"]["prefix"],
            train["learning"]["checkpoints"]["directory"],
            train["network"]["model"]["feature_dim"],
        )
        for train in found
    }  # fmt: skip


def test_a_target_and_all_share_their_training():
    alone = trainings(resolved("unified_proxy/cub.yml", "inception_proxy_anchor"))
    assert alone[0] in trainings(resolved("unified_proxy/cub.yml", "all"))


@pytest.mark.parametrize("target", [*PAIRS, "resnet50", "all"])
def test_pages_show_what_every_training_found(target):
    steps = plan_target(shipped("unified_proxy/car.yml"), target).steps
    (report,) = [step.parameters for step in steps if step.name.endswith("_report")]
    trained = [step.name for step in steps if "_train_" in step.name]
    prefix = "learning.training.epoch_iteration.published.prefix"
    assert [*report["data_bases"].values()] == [
        f"${{00_settings.results}}/${{{name}.{prefix}}}_data_base.pth" for name in trained
    ]


@pytest.mark.parametrize("name", SETS)
def test_published_rows(name):
    table = load_table(f"unified_proxy_{name}")
    plan = plan_target(shipped(f"unified_proxy/{name}.yml"), "all")
    (compare,) = [step for step in plan.steps if "compare" in step.name]
    assert compare.parameters["results"].keys() <= table.rows.keys()
    for row, values in table.rows.items():
        known = [value for value in values if value is not None]
        assert known == sorted(known) and bool(known) != row.endswith("balanced_proxy")
    assert "most likely those of proxy_anchor" in table.source
    assert {measure.images for measure in table.measures} == {SETS[name][1]}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_from_drawing_to_page(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(tmp_path))
    layers = [f"unified_proxy/{name}.yml", "unified_proxy/toy.yml"]

    def run(target, **settings):
        drawn = {"classes": 4, "images": 6}
        settings = {"classes": 4, "epochs": 2, "validate_every": 1, **settings}
        given = [f"{target}.00_settings.{key}={json.dumps(one)}" for key, one in settings.items()]
        given += [f"{target}.000_toy_fine_grained.{key}={one}" for key, one in drawn.items()]
        return main([target, *layers, *given])

    assert run("all") == 0
    results = tmp_path / "results"
    for pair in PAIRS:
        stem = f"toy_{name}_{pair}_64"
        base = torch.load(results / f"{stem}_data_base.pth", weights_only=True)
        assert base["test_features"].shape == (24, 64) and base["train_proxies"].shape == (4, 64)
        rows = (results / f"{stem}_statistics.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]
    page = (tmp_path / f"reports/unified_proxy/toy_{name}/all/index.html").read_text()
    assert "GoogLeNet, untrained" in page and "class_maps.svg" in page and "worst queries" in page
    query = base["test_images"][0]
    assert (
        run("test", checkpoint=str(results / f"toy_{name}_resnet50_proxy_anchor_64_model.pth")) == 0
    )
    assert run("retrieve", query=query) == 0
    shown = results / Path(query).stem
    assert (
        len(list(shown.glob("retrieval_img_*.jpg"))) == 8
        and (results / f"{shown.name}.html").exists()
    )
