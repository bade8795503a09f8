"""Real photographs through each method: lists, a short training, translations."""

import pytest

from mdir.scenario.cli import main

UNTRAINED = "model.pretrained=null"
DETECTORS = {"cut": [], "hedgan": ["detector"], "hedngan": ["detector", "detector_frozen"]}


@pytest.mark.slow
@pytest.mark.parametrize("method", DETECTORS)
def test_photographs_are_translated_by(method, root, photos):
    step = "all.02_generator"
    brief = [
        f"all.00_settings.photos={photos}",
        f"{step}.learning.training.epochs=1",
        f"{step}.data.train.dataset.size=4",
        *(f"{step}.network.{name}.{UNTRAINED}" for name in DETECTORS[method]),
    ]
    scenario = ["all", "photos.yml", f"photos_{method}.yml", *brief]
    for name in ("01_photos", "02_generator", "03_translate"):
        assert main([*scenario, "--only", name]) == 0
    folder = root / f"photos_{method}"
    page = folder / "generator" / "epochs" / "htmlreport" / "index.html"
    assert "epoch 1" in page.read_text(encoding="utf-8")
    assert len(list((folder / "translations").rglob("*.jpg"))) == 75
