"""What needs no network imports none of the heavy libraries, and answers at once."""

import sys

import pytest

from tests.scenario.command import PROJECT, run, run_here

HEAVY = ("torch", "torchvision", "cv2", "numpy", "scipy", "matplotlib", "sklearn")
# What steps and components import by themselves, or when they run.
SELDOM = {
    "faiss",
    "h5py",
    "matplotlib",
    "mpmath",
    "pytorch_metric_learning",
    "scipy.io",
    "scipy.optimize",
    "scipy.stats",
    "sklearn",
    "sympy",
    "tensorboard",
    "timm",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "torchvision",
}
SCENARIO = """\
go:
  1_train: {__function__: mdir.stages.train.train, network: {type: SingleNetwork}}
  2_print_scores: {__function__: print_scores, metadata: {}}
"""
BAD = """\
go:
  1_train: {__function__: mdir.stages.train.trian, x: "${2_x.y}", a: 1, a: 2}
"""
TELL = """
import atexit, sys
from mdir.scenario.cli import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
sys.exit(main(sys.argv[2:]))
"""
CASES = {
    "list": (["list", "s.yml"], 0),
    "print-steps": (["--print-steps", "go", "s.yml"], 0),
    "help": (["--help"], 0),
    "doctor": (["doctor"], 0),
    "usage": (["go"], 2),
    "unknown option": (["go", "s.yml", "--fore"], 2),
    "no file": (["go", "absent.yml"], 2),
    "unknown target": (["goo", "s.yml"], 2),
    "unknown step": (["go", "bad.yml"], 2),
    "unknown step option": (["go", "s.yml", "--only", "3"], 2),
    "bad argument": (["go", "s.yml", "verbose"], 2),
}


def imports(*arguments, folder, code=0):
    """The modules that a command imports."""
    told = [sys.executable, "-c", TELL]
    result = run(*arguments, folder=folder, python=told, environ={"PYTHONPATH": str(PROJECT)})
    assert result.returncode == code, result.stderr
    return set(result.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("name", CASES)
def test_imports(name, tmp_path):
    arguments, code = CASES[name]
    (tmp_path / "s.yml").write_text(SCENARIO)
    (tmp_path / "bad.yml").write_text(BAD)
    imported = imports(*arguments, folder=tmp_path, code=code)
    assert "mdir.scenario.cli" in imported
    assert not imported & set(HEAVY)


def test_skipping_imports_nothing_heavy(tmp_path):
    text = "go:\n  1_w: {__function__: mdir.stages.toy_world.toy_world, directory: tw, %s}\n"
    sizes = "image_size: 48, train_places: 2, val_places: 2, test_places: 2, day_views: 2"
    text += "  2_print_scores: {__function__: print_scores, metadata: {}}\n"
    (tmp_path / "s.yml").write_text(text % (sizes + ", night_views: 2, pairs: 2"))
    assert run_here("go", "s.yml", folder=tmp_path).returncode == 0
    for arguments in (["go", "s.yml"], ["go", "s.yml", "--dry-run"]):
        assert not imports(*arguments, folder=tmp_path) & set(HEAVY)


def test_steps_that_compute_nothing_import_nothing_heavy(tmp_path):
    text = "go:\n  1_s: {__function__: mdir.stages.settings.settings, a: 1}\n"
    text += "  2_p: {__function__: print_scores, metadata: {a: {b: '${1_s.a}'}}}\n"
    (tmp_path / "s.yml").write_text(text)
    assert not imports("go", "s.yml", folder=tmp_path) & set(HEAVY)


@pytest.mark.parametrize("step", ["toy_fine_grained", "toy_places", "toy_reid", "toy_world"])
def test_drawing_is_checked_without_torch(step, tmp_path):
    sets = {"toy_fine_grained": ["car"], "toy_reid": ["veri"]}.get(step)
    text = f"go:\n  1_t:\n    __function__: mdir.stages.toy_world.{step}\n    directory: t\n"
    (tmp_path / "s.yml").write_text(text + f"    sets: {sets}\n" * bool(sets))
    imported = imports("validate", "s.yml", folder=tmp_path)
    assert "mdir.toy_world.layouts" in imported and "torch" not in imported


def test_validate_imports_what_the_scenario_names(tmp_path):
    imported = imports("validate", "quickstart.yml", folder=tmp_path)
    assert {"mdir.losses.patchnce", "mdir.scores.cirdatasetap", "torch"} <= imported
    assert imported & {"mdir.losses.proxies", "mdir.methods.spcl", *SELDOM} == set()
    imported = imports("components", "criterion", "softtriple", folder=tmp_path)
    assert "pytorch_metric_learning" in imported and "mdir.losses.patchnce" not in imported
