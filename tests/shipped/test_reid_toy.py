"""Re-identification on the toy world, shrunk, through the real command."""

import json

import pytest

from mdir.scenario.cli import main

SHORT = {"epochs": 2, "epoch_iterations": 3, "validate_every": 1}
FOLDERS = {
    "spcl/usl/market.yml": "spcl/usl",
    "spcl/uda/vehiclex2veri.yml": "spcl/uda",
    "spcl/source_only.yml": "spcl/source_only",
    "cluster_contrast/market.yml": "cluster_contrast",
}


def perform(scenario, **settings):
    settings = {"name": "toy", **SHORT, **settings}
    changed = [f"all.00_settings.{key}={value}" for key, value in settings.items()]
    return main(["all", scenario, "spcl/toy.yml", *changed])


@pytest.mark.slow
@pytest.mark.parametrize("scenario", FOLDERS)
def test_every_family_runs_to_its_page_and_once(root, scenario, capfd):
    assert perform(scenario) == 0
    run, page = (root / top / FOLDERS[scenario] / "toy" for top in ("experiments", "reports"))
    text = (page / "index.html").read_text(encoding="utf-8")
    for words in (
        "Training: clusters",
        "Identities",
        "Nearest pictures",
        "purity",
        'class="right"',
    ):
        assert words in text
    clusters = run / "epochs/clusters.json"
    assert json.loads(clusters.read_text())["epoch"] == 2
    assert "Labels [02]: " in capfd.readouterr().err
    assert perform(scenario) == 0
    assert "0 ran" in "".join(capfd.readouterr())
    clusters.unlink()
    assert perform(scenario) == 0
    assert json.loads(clusters.read_text())["epoch"] == 2


@pytest.mark.slow
def test_an_untrained_network_is_published_and_tested(root):
    assert perform("spcl/usl/market.yml", epochs=0) == 0
    assert (root / "experiments/spcl/usl/toy/model_best.pth.tar").exists()
    text = (root / "reports/spcl/usl/toy/index.html").read_text(encoding="utf-8")
    assert "A run of 0 epochs" in text and "mAP" in text
