"""What the command prints and its exit codes, exactly, some of it through the real command."""

import sys
from functools import partial

import pytest
import yaml

from mdir.learning.checks import frequency_problems
from tests.scenario.command import PROJECT, run, run_here

run_tiny = partial(run_here, tiny=True)
SCENARIO = """\
go:
  __doc__: two steps
  1_write: {__function__: tiny.write, path: a.txt, text: "${SCENARIO_NAME}"}
  2_copy: {__function__: tiny.copy, source: "${1_write._output_metadata.path}", path: b.txt}
more:
  1_show: {__function__: print_scores, metadata: {}}
_remark: no target
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    return tmp_path


NOTE = "The parameters of steps and components are not checked yet; validate checks all at once."


def bad(folder, text, *args, target="go", note=True):
    """The report of a scenario that must be refused."""
    (folder / "bad.yml").write_text(text)
    result = run_tiny(target, "bad.yml", *args, folder=folder)
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    head, *problems = result.stderr.splitlines()
    assert (problems[-1] == NOTE) == note
    problems = problems[:-1] if note else problems
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    assert head == f"the scenario cannot be performed, {count}:"
    return problems


def test_list(folder):
    result = run("list", "s.yml", folder=folder)
    assert (result.returncode, result.stdout) == (0, "\n- go - two steps\n- more\n\n")


def test_print_steps_keeps_variables_and_sorts(folder):
    result = run_tiny("go", "--print-steps", "s.yml", folder=folder)
    assert result.returncode == 0
    assert result.stdout == (
        "1_write:\n  path: a.txt\n  text: ${SCENARIO_NAME}\n"
        "2_copy:\n  path: b.txt\n  source: ${1_write._output_metadata.path}\n"
    )


def test_the_spellings_of_a_setting_and_its_values_come_through(folder):
    text = """\
_base: &base {note.day.epochs: 20, note.day.seed: 7}
go:
  1_copy:
    <<: *base
    __template__: copy.yml
    note.night.seed: 5
    note.night: {epochs: 20}
    note: {day: {epochs: 5}}
"""
    (folder / "t.yml").write_text(text)
    (folder / "copy.yml").write_text("__function__: tiny.copy\nnote: {day: {kept: 1}}\n")
    text = {given: given for given in ("/data/my photos #2", "010", "1:30", "no", "[old] photos")}
    note = {"day": {"epochs": 5, "kept": 1, "seed": 7}, "night": {"epochs": 20, "seed": 5}}
    for given, value in {**text, "2e-3": 0.002, "{}": {}, '["a"]': ["a"], '"7"': "7"}.items():
        result = run_tiny(
            "go", "t.yml", f"go.1_copy.source={given}", "--print-steps", folder=folder
        )
        assert yaml.safe_load(result.stdout) == {"1_copy": {"note": note, "source": value}}


def test_validate_says_that_nothing_is_wrong(folder):
    result = run("validate", "s.yml", folder=folder)
    said = "nothing is wrong: 2 targets, 3 steps\n"
    assert (result.returncode, result.stdout, result.stderr) == (0, said, "")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.lr=-1", "optimizer.lr: expected 0 or more, got -1"),
        ("optimizer.lr=NaN", "NaN is not a number that can be kept; text of that form is written"),
        ("optimizer.weight_decay=-0.1", "optimizer.weight_decay: expected 0 or more, got -0.1"),
        ("scheduler.gamma=0", "scheduler.gamma: expected more than 0, got 0"),
        ("scheduler.gamma=exp(1000)", "scheduler.gamma: expected a number or exp(number), got"),
    ],
)
def test_ranges_of_a_training_are_checked_before(folder, setting, message):
    sandbox = str(PROJECT / "scenarios/sandbox.yml")
    result = run_tiny(
        "validate", sandbox, f"all.2_train.learning.training.{setting}", folder=folder
    )
    assert result.returncode == 2 and message in result.stderr.splitlines()[1]


def test_a_validation_that_never_comes_is_warned_of():
    section = {"type": "SingleValidation", "frequency": 50, "criterion": {"type": "visual"}}
    (problem,) = frequency_problems(section, ("learning",), 20)
    assert problem.path == ("learning", "validation", "frequency") and problem.warns
    assert problem.message == "is for every 50 epochs, of which there are 20: never"
    at_end = {**section, "criterion": {"type": "reid"}}
    assert list(frequency_problems(at_end, ("learning",), 20)) == []
    assert list(frequency_problems(section, ("learning",), 50)) == []


def test_a_run_opens_and_closes_its_log(folder):
    result = run("go", "s.yml", "go.1_write.seed=3", folder=folder)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "perform_scenario.py go s.yml go.1_write.seed=3"
    assert lines[1].startswith("mdir ")
    assert lines[2] == f"scenario s, target go, resolved in {folder}/root/journal/s/go"
    assert lines[3:6] == ["seed 3 everywhere", "-- 1_write --", "-- 2_copy --"]
    assert lines[6].endswith(": 2 ran, 0 skipped")
    assert lines[7:] == [
        "    1_write: root/a.txt",
        "    2_copy: root/b.txt",
        "    journal: root/journal/s/go",
    ]
    assert (folder / "root" / "b.txt").read_text() == "s"
    assert "__function__: tiny.write" in (folder / "root/journal/s/go/scenario.yml").read_text()


def test_usage(folder):
    result = run("go", folder=folder)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        "perform_scenario.py: error: TARGET and SCENARIO are needed; --help shows examples"
    )
    result = run("--help", folder=folder)
    assert result.returncode == 0
    assert "key=value" in result.stdout
    assert "--only STEP" in result.stdout


def test_unknown_target(folder):
    assert bad(folder, SCENARIO, target="mor", note=False) == [
        "bad.yml: unknown target 'mor'. Did you mean 'more'? Targets: go, more"
    ]


@pytest.mark.parametrize("target", ["go", "validate"])
def test_a_misspelt_target_of_an_overlay(folder, target):
    (folder / "over.yml").write_text("goo: {1_write: {text: b}}\nmroe?: {1_show: {seed: 1}}\n")
    result = run_tiny(target, "s.yml", "over.yml", "mre.1_show.seed=1", folder=folder)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[1:3] == [
        "over.yml:1:1: unknown target 'goo'. Did you mean 'go'? Targets: go, more",
        "argument 'mre.1_show.seed=1': unknown target 'mre'. Did you mean 'more'? "
        "Targets: go, more",
    ]


def test_an_overlay_may_add_a_target_and_remarks(folder):
    (folder / "over.yml").write_text(
        "new: {1_write: {__function__: tiny.write, path: c.txt}}\n_note: {}\n"
    )
    for target in ("go", "new", "validate"):
        assert run_tiny(target, "s.yml", "over.yml", folder=folder).returncode == 0


def test_unknown_step_option(folder):
    result = run_tiny("go", "s.yml", "--only", "2_copi", folder=folder)
    assert result.returncode == 2
    assert result.stderr.splitlines()[1:] == [
        "target go: --only: unknown step '2_copi'. Did you mean '2_copy'? Steps: 1_write, 2_copy"
    ]


def test_structure(folder):
    text = (
        "go:\n"
        "  1_a: {path: x}\n"
        "  2_b: {__function__: tiny.wrte}\n"
        "  3: {__function__: tiny.write}\n"
        "  4_d: text\n"
        "  5_e: {__function__: [1]}\n"
    )
    problems = bad(folder, text, note=False)
    assert problems[0] == (
        "bad.yml:2:3: target go, step 1_a: missing __function__, the name of the function that "
        "performs the step"
    )
    assert problems[1].startswith(
        "bad.yml:3:9: target go, step 2_b: unknown step function 'tiny.wrte'. "
        "Did you mean 'tiny.write'?"
    )
    assert problems[2:] == [
        "bad.yml:4:3: target go, step 3: the name of a step must be text, not 3",
        "bad.yml:5:3: target go, step 4_d: a step must be a mapping with __function__, not 'text'",
        "bad.yml:6:9: target go, step 5_e: __function__ must be text, not [1]",
    ]


def test_a_misspelt_step_of_an_overlay_and_of_an_argument(folder):
    (folder / "over.yml").write_text("go:\n  2_copi: {pth: x}\n")
    result = run_tiny("go", "s.yml", "over.yml", "go.1_wrte.text=x", folder=folder)
    assert result.returncode == 2
    missing = "missing __function__, the name of the function that performs the step. Did you mean"
    assert result.stderr.splitlines()[1:3] == [
        f"over.yml:2:3: target go, step 2_copi: {missing} '2_copy'?",
        f"argument 'go.1_wrte.text=x': target go, step 1_wrte: {missing} '1_write'?",
    ]


def test_parameters(folder):
    text = (
        "go:\n"
        "  1_a: {__function__: tiny.write, pth: x, times: many}\n"
        "  2_b: {__function__: tiny.make, loss: {loss: tiny_los}}\n"
        "  3_c: {__function__: tiny.make, loss: {loss: tiny_loss, margn: 1}}\n"
        "  4_d: {__function__: tiny.make, loss: {loss: tiny_loss, margin: wide}}\n"
        "  5_e: {__function__: tiny.broken}\n"
    )
    problems = bad(folder, text, note=False)
    assert problems[:3] == [
        "bad.yml:2:35: target go, step 1_a, key pth: unknown parameter 'pth'. Did you mean 'path'?"
        " Allowed: path, seed, text, times (of step tiny.write)",
        "bad.yml:2:43: target go, step 1_a, key times: expected a whole number, got 'many'",
        "bad.yml:2:3: target go, step 1_a: missing parameter 'path' of step tiny.write: text",
    ]
    assert problems[3].startswith(
        "bad.yml:3:41: target go, step 2_b, key loss.loss: unknown criterion 'tiny_los'. "
        "Did you mean 'tiny_loss'? Allowed: "
    )
    assert problems[4:] == [
        "bad.yml:4:58: target go, step 3_c, key loss.margn: unknown parameter 'margn'. "
        "Did you mean 'margin'? Allowed: margin (of criterion tiny_loss)",
        "bad.yml:5:58: target go, step 4_d, key loss.margin: expected a number, got 'wide'",
        "bad.yml:6:9: target go, step 5_e, key __function__: the step function 'tiny.broken' "
        "cannot be imported: No module named 'tiny.absent'",
    ]


def test_everything_wrong_in_one_report(folder):
    text = (
        "go:\n"
        "  1_a: {__function__: tiny.write, path: a, path: b}\n"
        "  2_b: {__function__: tiny.wrte}\n"
        '  3_c: {__function__: tiny.write, path: "${3_c.pat}"}\n'
        "  4_d: {__function__: tiny.write, __template__: absent.yml}\n"
        "  5_e: {__function__: tiny.write, path: a, times: many}\n"
    )
    (folder / "bad.yml").write_text(text)
    result = run_tiny("validate", "bad.yml", "go.5_e+=[1]", folder=folder)
    assert result.returncode == 2
    report = result.stderr.splitlines()[1:]
    for line, words in zip(
        (2, 3, 4, 5),
        ("duplicate key 'path'", "unknown step function", "${3_c.pat}", "template not found"),
        strict=True,
    ):
        assert sum(each.startswith(f"bad.yml:{line}:") and words in each for each in report) == 1
    assert (
        "argument 'go.5_e+=[1]': target go, step 5_e: 5_e+ joins two lists, two texts or two "
        "numbers, not a mapping and a list"
    ) in report


def test_variables(folder):
    text = (
        "go:\n"
        '  1_a: {__function__: tiny.plain, x: "${2_b.y}", y: "${1_a.z}", z: "${1_a.y}"}\n'
        '  2_b: {__function__: tiny.plain, y: "${1_a._output_metadata.q}", z: "${1_aa.x}"}\n'
    )
    assert bad(folder, text) == [
        "bad.yml:2:35: target go, step 1_a, key x: variable ${2_b.y}: step 2_b runs later",
        "bad.yml:2:50: target go, step 1_a, key y: variable ${1_a.z}: circular: "
        "1_a.parameters.z -> 1_a.parameters.y -> 1_a.parameters.z",
        "bad.yml:2:65: target go, step 1_a, key z: variable ${1_a.y}: circular: "
        "1_a.parameters.y -> 1_a.parameters.z -> 1_a.parameters.y",
        "bad.yml:3:67: target go, step 2_b, key z: variable ${1_aa.x}: there is no step '1_aa'. "
        "Did you mean '1_a'? Known here: SCENARIO_NAME, BASE_NAME, 1_a, 2_b",
    ]


def test_a_result_that_is_missing_when_it_is_needed(folder):
    text = (
        "go:\n"
        "  1_a: {__function__: tiny.write, path: a.txt}\n"
        '  2_b: {__function__: tiny.plain, x: "${1_a._output_metadata.siz}"}\n'
    )
    (folder / "bad.yml").write_text(text)
    result = run_tiny("go", "bad.yml", folder=folder)
    assert result.returncode == 2
    assert result.stderr.splitlines()[1:] == [
        "bad.yml:3:35: target go, step 2_b, key x: variable ${1_a._output_metadata.siz}: there is "
        "no 'siz' in 1_a._output_metadata. Did you mean 'size'? Known there: path, size, text"
    ]


def test_missing_files(folder):
    result = run_tiny("go", "absent.yml", folder=folder)
    assert result.returncode == 2
    assert "absent.yml: file not found, neither here nor under " in result.stderr
    result = run_tiny("go", "s.yml", "over.yml", folder=folder)
    assert result.returncode == 2
    assert "over.yml: file not found" in result.stderr


IN_SPITE_OF_NAMES = ": steps run in the order of their names"
UNSORTED = "go:\n  10_b: {__function__: tiny.plain}\n  2_a: {__function__: tiny.plain}\n"
TRAINED_TOO_LATE = (
    "go:\n"
    "  1_finetune: {__function__: tiny.plain, network: {augment: {path: nets/gan/x.pth}}}\n"
    "  1_record: {__function__: tiny.record, path: nets/gan/x.txt, source: nets/gan/x.pth}\n"
    "  1_train: {__function__: tiny.train, d: nets/gan, network: {path: nets/gan/y.pth},\n"
    '    result: {folder: "${1_train.d}"}}\n'
    "  2_use: {__function__: tiny.plain, network: {path: nets/gan/x.pth}}\n"
)


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (UNSORTED, ["o.yml:2:3: target go: step 10_b runs before 2_a" + IN_SPITE_OF_NAMES]),
        (
            TRAINED_TOO_LATE,
            [
                "o.yml:2:62: target go: step 1_train runs before 1_finetune, which reads "
                "nets/gan/x.pth that it makes",
            ],
        ),
        (
            TRAINED_TOO_LATE.replace("${1_train.d}", "${1_finetune.network.augment.path}"),
            [
                "o.yml:3:63: target go: step 1_train runs before 1_record, which reads "
                "nets/gan/x.pth that it makes",
                "o.yml:2:62: target go: step 1_finetune reads nets/gan/x.pth, which step 1_train "
                "makes after it" + IN_SPITE_OF_NAMES,
            ],
        ),
    ],
)
def test_order_warnings(folder, text, warnings):
    (folder / "o.yml").write_text(text)
    result = run_tiny("go", "o.yml", folder=folder)
    assert result.returncode == 0
    assert result.stderr.splitlines() == [f"warning: {warning}" for warning in warnings]


@pytest.mark.parametrize(("function", "count"), [("mdir.stages.train.train", 1), ("tiny.plain", 0)])
def test_a_training_makes_the_folder_of_its_checkpoints(folder, function, count):
    text = (
        "go:\n"
        "  1_a: {__function__: tiny.plain, network: {path: nets/gan/epochs/x.pth}}\n"
        "  2_b: {__function__: %s, learning: {checkpoints: {directory: nets/gan/}}}\n"
    )
    (folder / "o.yml").write_text(text % function)
    warned = run_tiny("go", "o.yml", "--only", "1_a", folder=folder).stderr.splitlines()
    assert warned == count * [
        "warning: o.yml:2:45: target go: step 2_b runs before 1_a, which reads "
        "nets/gan/epochs/x.pth that it makes"
    ]


def test_dotted_names_and_the_scenarios_folder(folder):
    shipped = run_tiny("list", "iccv23/eval/hedngan.yml", folder=folder)
    assert shipped.stdout.startswith("\n- ")
    assert run_tiny("list", "iccv23.eval.hedngan", folder=folder).stdout == shipped.stdout
    (folder / "sub").mkdir()
    (folder / "sub/own.yml").write_text("here: {}\n")
    assert run_tiny("list", "sub.own", folder=folder).stdout == "\n- here\n\n"


def test_output_cut_short(folder):
    cut = ["sh", "-c", '"$0" "$@" | head -c 0', sys.executable]
    assert run("list", "s.yml", folder=folder, python=cut).stderr == ""
