"""Backbones of today on a drawn city through the real command."""

from tests.scenario.command import run_here

SMALL = {"places": 2, "views": 1, "queries": 1, "image_size": 48}
CITY = [f"toy.05_city.{key}={value}" for key, value in SMALL.items()]


def test_the_toy_runs_to_its_page_with_what_each_costs(tmp_path):
    done = run_here("toy", "backbones/eval.yml", *CITY, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "root/reports/backbones/toy/index.html").read_text(encoding="utf-8")
    for row in ("AlexNet, GeM", "ResNet of timm, GeM", "ViT of timm, class token"):
        assert row in page and row in done.stdout
    assert "(96 dimensions)" in done.stdout and "(64 dimensions)" in done.stdout
    assert "tell nothing of the backbones" in done.stdout


def test_mistakes_are_told_before_anything_runs(tmp_path):
    """In one report: a name, a commit, an entry of a folder, weights of another model."""
    model = "toy.11_resnet.network.model"
    (tmp_path / "root/code").mkdir(parents=True)
    (tmp_path / "root/code/hubconf.py").write_text("def descriptor(): raise SystemExit('it ran')")
    hub = '{"architecture": "hub", "entry": "descriptr", "path": "code", "trust": false, '
    hub += '"mean_std": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]}'
    changes = f"{model}.name=resnet5O", f"toy.12_vit.network.model*={hub}"
    done = run_here("toy", "backbones/eval.yml", *CITY, *changes, folder=tmp_path)
    assert done.returncode == 2 and not (tmp_path / "root/backbones").exists()
    assert "unknown timm model 'resnet5O'. Did you mean 'resnet50'" in done.stderr
    assert "has no entry 'descriptr'. Did you mean 'descriptor'" in done.stderr
    assert "look at it, then say trust: true" in done.stderr
    assert "Traceback" not in done.stderr


def test_commits_and_trust_are_asked_for(tmp_path):
    done = run_here("hub", "backbones/eval.yml", folder=tmp_path)
    assert done.returncode == 2
    assert "github.com/gmberton/CosPlace/commits" in done.stderr
    assert "runs with all your rights" in done.stderr
    given = "hub.00_settings.cosplace=main"
    assert "a branch, a tag" in run_here("hub", "backbones/eval.yml", given, folder=tmp_path).stderr
