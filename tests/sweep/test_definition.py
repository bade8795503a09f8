"""What a sweep file may say, and what is told of one that says something else."""

import re

import pytest

from tests.scenario.command import run_here

SCENARIO = """\
go:
  1_settings:
    {__function__: mdir.stages.settings.settings, seed: 0, folder: "w${1_settings.seed}", size: 64}
  2_world:
    __function__: mdir.stages.toy_world.toy_world
    directory: ${1_settings.folder}
    seed: ${1_settings.seed}
    image_size: ${1_settings.size}
"""


@pytest.fixture
def sweep(tmp_path):
    """``sweep(text)``: the cells that a dry run lists, or the problems that it tells of."""
    (tmp_path / "s.yml").write_text(SCENARIO)

    def ask(text, *words):
        (tmp_path / "sweep.yml").write_text(text)
        result = run_here("sweep", "go", "s.yml", *words, "sweep.yml", "--dry-run", folder=tmp_path)
        if result.returncode:
            assert (result.returncode, result.stdout) == (2, "")
            return result.stderr.splitlines()[1:]
        return [line.split()[0] for line in result.stdout.splitlines()]

    return ask


def test_the_cells_are_all_combinations_the_last_axis_fastest(sweep):
    text = "axes: {go.1_settings.seed: 0..2, go.1_settings.size: [64, 96]}\n"
    names = [f"seed-{seed}_size-{size}" for seed in range(3) for size in (64, 96)]
    folder = ["go.1_settings.folder=w/${SWEEP_CELL}"]
    assert sweep(text, *folder) == names
    text += "exclude: [{seed: [0, 2], size: 96}, {go.1_settings.seed: 1..1}]\n"
    assert sweep(text, *folder) == ["seed-0_size-64", "seed-2_size-64"]


def test_overlays_by_name_are_files_lists_of_them_or_settings(sweep, tmp_path):
    (tmp_path / "large.yml").write_text("go: {1_settings: {size: 96}}\n")
    text = """\
axes:
  go.1_settings.seed: [3, 5..6]
  method:
    plain: null
    large: large.yml
    both: [large.yml, large.yml]
    inline: {go.1_settings: {size: 128}, go.1_settings.folder: "m/${SWEEP_CELL}"}
    mixed: [{go.1_settings.size: 32}, large.yml, {go.1_settings.folder: "x/${SWEEP_CELL}"}]
exclude: {method: [plain, both], seed: 3..5}
"""
    folder = "go.1_settings.folder=w/${SWEEP_CELL}"
    combined = [f"{seed}_{method}" for seed in (3, 5) for method in ("large", "inline", "mixed")]
    combined += ["6_plain", "6_large", "6_both", "6_inline", "6_mixed"]
    assert sweep(text, folder) == [f"seed-{name}" for name in combined]


PROBLEMS = {
    "axis: {}": "1:1: a sweep has no 'axis'. Did you mean 'axes'?",
    "compare: 1_settings": "1:1: axes are missing; the last file of the command is the sweep file",
    "axes: [1]": "1:1: axes is a mapping of dotted keys to values, and of names to overlays, not "
    "a list",
    "axes: {go.1_settings.seed: []}": "1:8: an axis without values makes no cell; give it some",
    "axes: {method: {}}": "1:8: an axis without overlays makes no cell; give it some, NAME: FILE",
    "axes: {go.1_settings.seed: 4}": "1:8: the values of an axis are a list, or a range such as "
    "0..4, not 4",
    "axes: {go.1_settings.seed: 4..0}": "1:8: the range 4..0 is empty or too long; it is "
    "FIRST..LAST",
    "axes: {go.1_settings.seed: [1, 1]}": "1:8: two values of the axis are called '1'",
    "axes: {method: {a: b.yml}}": "1:17: b.yml: file not found, neither here nor beside the "
    "sweep file",
    "axes: {method: {a: 3}}": "1:17: an overlay is a .yml file, settings or a list of them, not 3",
    "axes: {go.1_settings.sed: 0..1}": "target go, step 1_settings, key sed: no step reads this "
    "setting. Did you mean 'seed'?",
    "axes: {go.1_setting.seed: 0..1}": "1:8: target go, step 1_setting: missing __function__, "
    "the name of the function that performs the step. Did you mean '1_settings'?",
    "axes: {og.1_settings.seed: 0..1}": "1:8: unknown target 'og'. Did you mean 'go'?",
    "axes: {go.2_world.imagesize: [64]}": "1:31: target go, step 2_world, key imagesize: unknown "
    "parameter 'imagesize'. Did you mean 'image_size'?",
    "axes: {go.2_world.image_size: [64, 1]}": "1:36: target go, step 2_world, key image_size: ",
    "axes: {go.1_settings.size: [64, 96]}": "s.yml:6:5: target go, step 2_world, key directory: "
    "cells size-64 and size-96 would both write w0; let this key differ with size, or put "
    "${SWEEP_CELL} into it",
    "axes: {go.1_settings.seed?: 0..1, method: {a: null, b: null}}": "1:35: cells seed?-0_a and ",
    "axes: {a: {b: null}}\nexclude: [{other: b}]": "2:12: there is no axis 'other'. Axes: a",
    "axes: {a: {b: null}}\nexclude: [{a: [other]}]": "2:16: a has no value other. Its values: b",
    "axes: {a: {b: null}}\nexclude: [{a: b}]": "exclude leaves no cell",
    "axes: {a: {b: null}}\nexclude: [3]": "2:11: exclude is a list of mappings, an axis to a "
    "value or",
    "axes: {a: {b: null}}\ncompare: 2_wrold": "2:1: compare: cell b has no step '2_wrold'. Did "
    "you mean",
    "axes: {a: {b: null}}\ncompare: {step: 2_world}": "2:11: compare has no 'step'. Did you mean "
    "'steps'?",
    "axes: {a: {b: null}}\ncompare: [3]": "2:11: what is compared is a step, a list of steps or "
    "a mapping",
    "axes: {a: {b: null}}\ncompare: {steps: 2_world, differences: [[2_world, x]]}": "2:41: "
    "differences: nothing compared is called 'x'. Known: 2_world",
    "axes: {a: {b: null}}\ncompare: {steps: 2_world, differences: {a: [b, c]}}": "2:41: "
    "differences: nothing compared is called 'c'. Did you mean 'b'? Known: b",
    "axes: {a: {b: null}}\ncompare: {steps: 2_world, differences: [{c: [b, b]}]}": "2:41: "
    "there is no axis 'c'. Did you mean 'a'? Axes: a",
    "axes: {seed: {a: null}}\ncompare: {steps: 2_world, differences: {seed: [a, a]}}": "2:41: "
    "differences: values of seed are draws, which nothing sets apart",
    "axes: {a: {b: null}}\ncompare: {steps: 2_world, differences: [2_world]}": "2:41: a "
    "difference is a pair of steps, [FROM, TO], or of values of an axis, {AXIS: [FROM, TO]}, not ",
    "axes: {a: {b: null}}\ncompare: 2_world": "2:1: compare: 2_world (mdir.stages.toy_world."
    "toy_world) gives no numbers. No step of the target does",
    "axes: {a: {b: null}}\nresources: {tim: 3h}": "2:13: there is no resource 'tim'. Did you "
    "mean 'time'?",
    "axes: {a: {b: null}}\nresources: {time: 12:00:00}": "2:13: time is written with units, 2d, "
    "12h or 1h30m, not 43200",
    "axes: {a: {b: null}}\nresources: {memory: 16}": "2:13: memory is a whole number with its unit",
    "axes: {a: {b: null}}\nresources: {gpus: -1}": "2:13: gpus is a whole number from 0, not -1",
    "axes: {a: {b: null}": "not YAML",
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_problems(sweep, text):
    found = "\n".join(sweep(text))
    assert PROBLEMS[text] in found, found


def test_a_file_that_is_not_there(tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    result = run_here("sweep", "go", "s.yml", "gone.yml", folder=tmp_path)
    assert result.returncode == 2
    assert re.search(r"^gone.yml: file not found, neither here nor under ", result.stderr, re.M)
