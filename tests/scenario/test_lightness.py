"""What needs no network imports none of the heavy libraries, and answers at once."""

import re

import pytest

from tests.scenario.command import run

HEAVY = ("torch", "torchvision", "cv2", "numpy", "scipy", "matplotlib", "sklearn")
SCENARIO = """\
go:
  1_train: {__function__: mdir.stages.train.train, network: {type: SingleNetwork}}
  2_print_scores: {__function__: print_scores, metadata: {}}
"""
BAD = """\
go:
  1_train: {__function__: mdir.stages.train.trian, x: "${2_x.y}", a: 1, a: 2}
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


@pytest.mark.parametrize("name", CASES)
def test_imports(name, tmp_path):
    arguments, code = CASES[name]
    (tmp_path / "s.yml").write_text(SCENARIO)
    (tmp_path / "bad.yml").write_text(BAD)
    result = run(*arguments, folder=tmp_path, environ={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == code
    imported = set(re.findall(r"\|\s*([\w.]+)$", result.stderr, re.M))
    assert "mdir.scenario.cli" in imported
    assert not imported & set(HEAVY)


def test_skipping_imports_nothing_heavy(tmp_path):
    text = "go:\n  1_w: {__function__: mdir.stages.toy_world.toy_world, directory: tw, %s}\n"
    sizes = "image_size: 48, train_places: 2, val_places: 2, test_places: 2, day_views: 2"
    text += "  2_print_scores: {__function__: print_scores, metadata: {}}\n"
    (tmp_path / "s.yml").write_text(text % (sizes + ", night_views: 2, pairs: 2"))
    assert run("go", "s.yml", folder=tmp_path).returncode == 0
    for arguments in (["go", "s.yml"], ["go", "s.yml", "--dry-run"]):
        result = run(*arguments, folder=tmp_path, environ={"PYTHONPROFILEIMPORTTIME": "1"})
        assert result.returncode == 0
        imported = set(re.findall(r"\|\s*([\w.]+)$", result.stderr, re.M))
        assert not imported & set(HEAVY)
