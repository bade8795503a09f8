"""The command and its engine in this process, with functions in place of the real steps."""

import argparse
import contextlib
import io
import os
import sys
from types import SimpleNamespace

import pytest

from mdir.artifacts import produced, steps_before, used
from mdir.errors import UserError
from mdir.scenario import cli, runner
from mdir.scenario.decisions import Choice, Decider, was_checked
from mdir.scenario.failures import StepFailed
from mdir.scenario.journal import Journal
from mdir.scenario.plan import load_scenario, plan_target
from mdir.scenario.processes import Processes
from mdir.scenario.runner import closing_lines, perform

WRITE, COPY = "mdir.stages.extract.extract", "mdir.stages.convert.convert"
SCENARIO = f"""\
go:
  1_write: {{__function__: {WRITE}, text: one}}
  2_copy: {{__function__: {COPY}}}
  3_size: {{__function__: {WRITE}, text: "${{1_write._output_metadata.size}} letters"}}
"""


@pytest.fixture
def folder(root, tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    return tmp_path


def functions(folder, calls):
    """What the steps do: 1_write and 3_size write a text, 2_copy reads that of 1_write."""

    def write(params, data):
        calls.append(params["text"])
        path = folder / f"{params['text']}.txt"
        path.write_text(params["text"])
        produced(path)
        return {"size": len(params["text"]), "warning": "short"}, "dropped"

    def copy(params, data):
        calls.append("copy")
        used(folder / "one.txt")
        return {"copied": data}

    return {WRITE: write, COPY: copy}


def plan(folder, *arguments):
    return plan_target(load_scenario([str(folder / "s.yml"), *arguments]), "go")


def performed(folder, *arguments, **options):
    """Summary, names of what was called in order, and the lines that were said."""
    calls, lines = [], []
    summary = perform(
        plan(folder, *arguments), functions(folder, calls), say=lines.append, **options
    )
    return summary, calls, lines


METADATA = {
    "1_write": {"size": 3, "warning": "short"},
    "2_copy": {"copied": []},
    "3_size": {"size": 9, "warning": "short"},
}
NAMES = [*METADATA]
CALLS = ["one", "copy", "3 letters"]


def test_without_a_journal_every_step_runs(folder):
    for _ in range(2):
        summary, calls, lines = performed(folder)
        assert calls == CALLS and lines == [f"-- {name} --" for name in NAMES]
        assert (summary.ran, summary.skipped, summary.metadata) == (NAMES, [], METADATA)
        first, last = str(folder / "one.txt"), str(folder / "3 letters.txt")
        assert summary.outputs == {"1_write": [first], "2_copy": [], "3_size": [last]}
    assert not (folder / "root/journal").exists()


def test_with_a_journal_what_is_up_to_date_is_skipped(folder):
    journal = Journal("s", "go")
    assert performed(folder, journal=journal)[0].ran == NAMES
    ended = {name: journal.read(name)["ended"] for name in NAMES}
    later = os.stat(folder / "one.txt").st_mtime + 100
    os.utime(folder / "one.txt", (later, later))
    before = journal.read("2_copy")["inputs"]
    summary, calls, lines = performed(folder, journal=journal)
    assert (summary.ran, summary.skipped, calls) == ([], NAMES, [])
    assert lines == [
        line for k in NAMES for line in (f"-- {k} --", f"skipped: unchanged since {ended[k]}")
    ]
    assert summary.metadata["3_size"] == METADATA["3_size"]
    assert summary.outputs["1_write"] == [str(folder / "one.txt")]
    # the new time of a file with the same content is kept, so that it is read but once
    assert journal.read("2_copy")["inputs"] != before
    assert sorted(os.listdir(journal.folder)) == [f"{name}.json" for name in NAMES]


def decided(folder, *arguments, **choice):
    decider = Decider(plan(folder, *arguments), Journal("s", "go"), Choice(**choice))
    return [(each.action, each.why) for each in decider.decide_all()]


def test_a_step_waits_for_one_that_wrote_what_it_read(folder):
    assert decided(folder) == [("run", "it has not run yet")] * 3
    performed(folder, journal=Journal("s", "go"))
    skip, _, last = decided(folder)
    assert skip[0] == last[0] == "skip" and skip[1].startswith("unchanged since ")
    write, copy, size = decided(folder, "go.1_write.text=two")
    assert write[0] == "run" and "text" in write[1]
    assert copy == size == ("run", "if the result of 1_write changes")


def test_a_step_waits_for_one_whose_parameter_it_takes(folder):
    arguments = ("go.1_write.note=four", "go.3_size.text=${1_write.note}")
    performed(folder, *arguments, journal=Journal("s", "go"))
    assert [action for action, _ in decided(folder, *arguments)] == ["skip"] * 3
    assert decided(folder, *arguments, "go.1_write.text=two")[2] == (
        "run",
        "if the result of 1_write changes",
    )


def test_seconds_are_recorded_to_the_thousandth(folder, monkeypatch):
    clock = iter([10.0, 10.25, 20.0, 20.1236, 30.0, 31.0])
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    journal = Journal("s", "go")
    performed(folder, journal=journal)
    assert [journal.read(name)["seconds"] for name in NAMES] == [0.25, 0.124, 1.0]


def test_a_step_sees_the_parameters_of_those_before_it_as_they_were_given(folder):
    (folder / "s.yml").write_text(SCENARIO.replace("text: one", "text: one, 7: {8: seven}"))
    seen = []

    def look(params, data):
        seen.extend(record["parameters"] for record in steps_before())

    given, made = plan(folder), {**functions(folder, []), COPY: look}
    perform(given, made, Journal("s", "go"), say=lambda line: None)
    assert seen == [{"text": "one", 7: {8: "seven"}}]  # JSON has no such keys


def test_a_step_that_fails_at_once_keeps_in_mind_what_the_run_before_read(folder):
    made, journal = functions(folder, []), Journal("s", "go")

    def read_what_changes(params, data):
        used(folder / "one.txt")
        (folder / "one.txt").write_text("changed")

    def fail(params, data):
        raise UserError("not today")

    def record(function):
        with contextlib.suppress(StepFailed):
            perform(plan(folder), {**made, COPY: function}, journal, say=lambda line: None)
        found = journal.read("2_copy")
        return found["status"], found["inputs"], found["moved"]

    status, inputs, moved = record(read_what_changes)
    assert (status, list(inputs)) == ("done", [str(folder / "one.txt")])
    assert moved == [f"changed: {folder}/one.txt"]
    assert record(fail) == ("failed", inputs, moved)


def test_parameters_of_a_step_that_ran_were_checked(folder):
    performed(folder, journal=Journal("s", "go"))

    def checked(*arguments):
        decider = Decider(plan(folder, *arguments), Journal("s", "go"), Choice(force=True))
        return [was_checked(each) for each in decider.decide_all()]

    assert checked()[:2] == [True, True]
    assert checked("go.1_write.text=two")[:2] == [False, True]


def test_the_log_opens_with_the_seeds(folder, capsys):
    def told(*arguments):
        given = plan(folder, *arguments)
        cli._open(given, Decider(given).decide_all(), Journal("s", "go"), ["mdir"])
        return capsys.readouterr().out.splitlines()[3:]

    seeds = [f"go.{step}.seed={seed}" for step, seed in zip(NAMES, (3, 4, 3), strict=True)]
    assert told() == []
    assert told(seeds[0]) == ["seed 3 everywhere"]
    assert told(*seeds) == ["seed 3 everywhere but 2_copy.seed 4"]


def test_options_choose_what_runs(folder):
    performed(folder, journal=Journal("s", "go"))
    assert decided(folder, force=True) == [("run", "--force")] * 3
    left = ("leave", "--only names another step")
    assert decided(folder, only="2_copy") == [left, ("run", "--only"), left]
    left = ("leave", "it comes before --from")
    assert decided(folder, start="2_copy") == [left, *[("run", "--from")] * 2]
    summary, calls, lines = performed(
        folder, journal=Journal("s", "go"), choice=Choice(start="3_size", force=True)
    )
    assert (summary.ran, calls) == (["3_size"], ["3 letters"])
    assert lines == ["-- 3_size --", "runs again: --force"]


def test_the_last_lines_tell_of_results_and_warn_once(folder, monkeypatch):
    monkeypatch.chdir(folder)
    journal = Journal("s", "go")
    summary, _, _ = performed(folder, journal=journal)
    assert closing_lines(summary, journal, 61) == [
        "done in 1m 1s: 3 ran, 0 skipped",
        "    1_write: one.txt",
        "    3_size: 3 letters.txt",
        "    journal: root/journal/s/go",
        "warning: short",
    ]
    monkeypatch.chdir(folder / "root")
    assert closing_lines(summary, journal, 0)[1] == f"    1_write: {folder}/one.txt"


def test_other_processes_take_over_what_the_first_decides_and_gets(folder, monkeypatch):
    found = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        processes = Processes()
        processes.meet(str(folder))
        found.append(performed(folder, processes=processes))
    (first, calls, _), (second, others, _) = found
    assert (calls, others) == (CALLS, ["one", "3 letters"])  # 2_copy is not divided
    assert first.metadata == second.metadata == METADATA
    told = [f"{name}.{part}.json" for name in NAMES for part in ("decision", "result")]
    assert sorted(os.listdir(processes.folder)) == [*told, "rank-0", "rank-1"]


def test_the_first_process_alone_writes_the_journal(folder, monkeypatch):
    journal, written = Journal("s", "go"), []
    performed(folder, journal=journal)
    monkeypatch.setattr(journal, "write", lambda step, record: written.append(step))
    for rank, expected in (("0", ["2_copy"]), ("1", [])):
        later = os.stat(folder / "one.txt").st_mtime + 100
        os.utime(folder / "one.txt", (later, later))
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        processes = Processes()
        processes.meet(str(folder))
        assert performed(folder, journal=journal, processes=processes)[0].skipped == NAMES
        assert [step for step in written if step == "2_copy"] == expected
        written.clear()


def test_help_tells_what_every_option_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    usage = "usage: perform_scenario.py [OPTIONS] TARGET SCENARIO [OVERLAY ...]\n\n"
    assert text.startswith(usage + "Perform the steps of one target of a scenario.\n")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    first = lines.index("-h, --help show this help message and exit")
    options = " ".join(lines[first + 1 : lines.index("", first)])
    assert options == (
        "--print-steps print the steps and their parameters, as YAML "
        "--dry-run print what would run or be skipped, and why "
        f"--force {cli.FORCE} "
        "--from STEP run this step and all that follow, only them "
        "--only STEP run this step alone "
        "--cell NAME run as this cell of a sweep, with a journal of its own "
        "--traceback show the traceback of an error"
    )


def test_lines_of_standard_input_may_be_any_bytes(folder, monkeypatch):
    text = (
        "go:\n  1_a: {__function__: mdir.stages.infer.infer}\n  2_b: {__function__: print_scores}\n"
    )
    (folder / "s.yml").write_text(text)
    plan = plan_target(load_scenario([str(folder / "s.yml")]), "go")
    given = b"\xef\xbb\xbfa.jpg \r\n\n \t\nb\xe9\xff.jpg\xc2\xa0\n"

    def lines(**options):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
        return cli._stdin_lines(plan, argparse.Namespace(**options))

    assert lines(only=None) == lines(only="1_a") == ["a.jpg", "b\udce9\udcff.jpg\xa0"]
    assert lines(only="2_b") is None
    monkeypatch.setattr(sys, "stdin", None)
    assert cli._stdin_lines(plan, argparse.Namespace(only=None)) is None
