"""What is recorded, what is skipped and what runs again."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from mdir.scenario.journal import Journal, decode, encode, first_change, seeds
from tests.scenario.command import run, run_here

SCENARIO = """\
go:
  1_write: {__function__: tiny.write, path: a.txt, text: one}
  2_copy: {__function__: tiny.copy, source: a.txt, path: b.txt}
  3_refer: {__function__: tiny.plain, size: "${1_write._output_metadata.size}"}
  4_alone: {__function__: tiny.write, path: d.txt}
  5_print_scores: {__function__: print_scores, metadata: {done: {}}}
"""
STEPS = ["1_write", "2_copy", "3_refer", "4_alone", "5_print_scores"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    assert fates(perform(tmp_path)) == dict.fromkeys(STEPS, None)
    return tmp_path


def perform(folder, *args):
    result = run_here("go", "s.yml", *args, folder=folder, tiny=True)
    assert result.returncode == 0, result.stderr
    return result


def fates(result):
    """Per step that was begun the line about skipping or running again, None without one."""
    found = {}
    for step, line in re.findall(
        r"^-- (.*) --\n(?:(skipped: .*|runs again: .*)\n)?", result.stdout, re.M
    ):
        found[step] = re.sub("unchanged since .*", "unchanged", line) or None
    return found


SKIPPED = dict.fromkeys(STEPS, "skipped: unchanged") | {"5_print_scores": None}


def record(folder, step="1_write"):
    return json.loads((folder / "root/journal/s/go" / f"{step}.json").read_text())


def test_what_is_recorded(folder):
    found = record(folder)
    assert found["function"] == "tiny.write"
    assert found["parameters"] == {"path": "a.txt", "text": "one"}
    assert found["status"] == "done"
    assert found["metadata"] == {"path": f"{folder}/root/a.txt", "size": 3, "text": "one"}
    assert found["versions"]["mdir"]
    assert found["versions"]["torch"]
    assert found["started"] <= found["ended"]
    assert found["seconds"] >= 0
    output = found["outputs"][f"{folder}/root/a.txt"]
    assert (output["kind"], output["stamp"].split()[0]) == ("file", "3")
    assert list(record(folder, "2_copy")["inputs"]) == [f"{folder}/root/a.txt"]
    assert record(folder, "3_refer")["refers_to"] == {"1_write": found["identity"]}
    assert (found["format"], found["scenario"], found["target"]) == (2, "s", "go")
    assert (found["step"], found["layers"], found["stdin"]) == ("1_write", ["s.yml"], None)
    assert found["command"] == ["perform_scenario.py", "go", "s.yml"]
    assert (found["made"], found["inputs"]) == ([f"{folder}/root/a.txt"], {})
    assert set(found["versions"]) == {"mdir", "python", "torch", "torchvision", "numpy"}
    moment = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
    assert re.fullmatch(moment, found["started"]) and re.fullmatch(moment, found["ended"])
    perform(folder, "go.1_write.seed=4")
    assert record(folder)["seeds"] == {"seed": 4}


def test_a_finished_target_runs_nothing_but_prints(folder):
    result = perform(folder)
    assert fates(result) == SKIPPED
    assert "\nDone\n" in result.stdout
    assert ": 1 ran, 4 skipped" in result.stdout


def test_changed_parameter(folder):
    result = perform(folder, "go.1_write.text=three")
    assert fates(result) == SKIPPED | {
        "1_write": 'runs again: parameter text changed: "one" -> "three"',
        "2_copy": f"runs again: input changed: {folder}/root/a.txt",
        "3_refer": "runs again: parameter size changed: 3 -> 5",
    }
    assert (folder / "root/b.txt").read_text() == "three"


def test_same_result_under_another_parameter_spares_readers_but_not_those_that_refer(folder):
    assert fates(perform(folder, "go.1_write.times=1")) == SKIPPED | {
        "1_write": "runs again: parameter times is new",
        "3_refer": "runs again: step 1_write, to which it refers, gave another result",
    }


def test_a_step_without_files_counts_by_its_values_alone(tmp_path):
    text = "go:\n  1_values: {__function__: tiny.plain, a: 1}\n"
    text += '  2_refer: {__function__: tiny.plain, a: "${1_values.a}"}\n'
    (tmp_path / "s.yml").write_text(text)
    perform(tmp_path)
    assert fates(perform(tmp_path, "go.1_values.b=2")) == {
        "1_values": "runs again: parameter b is new",
        "2_refer": "skipped: unchanged",
    }


def test_a_step_learns_that_what_it_made_is_outdated(tmp_path):
    text = "go:\n  1_write: {__function__: tiny.write, path: a.txt}\n"
    text += "  2_again: {__function__: tiny.again, source: a.txt, path: made/b.txt}\n"
    (tmp_path / "s.yml").write_text(text)

    def told(*args):
        perform(tmp_path, *args)
        return record(tmp_path, "2_again")["metadata"]

    assert told() == {"made": False, "changed": None}
    assert told("go.2_again.x=1") == {"made": True, "changed": None}
    changed = f"input changed: {tmp_path}/root/a.txt"
    assert told("go.2_again.x=1", "go.1_write.text=new") == {"made": True, "changed": changed}
    kept = "go.1_write.text=new"
    assert told("go.2_again.path=other/b.txt", kept) == {"made": False, "changed": None}
    assert told("--force", kept) == {"made": True, "changed": None}


def test_missing_and_changed_output(folder):
    (folder / "root/d.txt").unlink()
    assert fates(perform(folder)) == SKIPPED | {
        "4_alone": f"runs again: output missing: {folder}/root/d.txt"
    }
    (folder / "root/b.txt").write_text("other")
    assert fates(perform(folder)) == SKIPPED | {
        "2_copy": f"runs again: output changed: {folder}/root/b.txt"
    }


def test_a_touched_file_is_the_same_file(folder):
    os.utime(folder / "root/a.txt", (1, 1))
    assert fates(perform(folder)) == SKIPPED


def test_force_from_only(folder):
    forced = dict.fromkeys(STEPS, "runs again: --force")
    assert fates(perform(folder, "--force")) == forced
    assert fates(perform(folder, "--from", "4_alone")) == dict.fromkeys(
        ["4_alone", "5_print_scores"], "runs again: --from"
    )
    assert fates(perform(folder, "--only", "3_refer")) == {"3_refer": "runs again: --only"}


def test_only_needs_the_results_before_it(folder):
    (folder / "root/journal/s/go/1_write.json").unlink()
    result = run_here("go", "s.yml", "--only", "3_refer", folder=folder, tiny=True)
    assert result.returncode == 1
    assert result.stderr == (
        "error: step 3_refer failed: it needs the results of 1_write, which must run first\n"
    )


def test_dry_run_tells_and_touches_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in (folder / "root").rglob("*")}
    result = perform(folder, "--dry-run", "go.1_write.text=two", "go.4_alone.seed=1")
    assert {path: path.stat().st_mtime_ns for path in (folder / "root").rglob("*")} == before
    blocks = result.stdout.split("-- ")
    assert blocks[1] == (
        '1_write --\nwould run: parameter text changed: "one" -> "two"\npath: a.txt\ntext: two\n'
    )
    assert blocks[2].startswith("2_copy --\nwould run: if the result of 1_write changes\n")
    assert blocks[3] == (
        "3_refer --\nwould run: if the result of 1_write changes\n"
        "size: ${1_write._output_metadata.size}\n"
    )
    assert blocks[4].startswith("4_alone --\nwould run: parameter seed is new\n")
    assert perform(folder, "--dry-run").stdout.startswith(
        "-- 1_write --\nwould be skipped: unchanged since "
    )


DAMAGED = [
    "",
    "{",
    "[]",
    "\0",
    '{"format": 1}',
    '{"format": 1, "status": "done", "parameters": {}}',
    '{"format": 1, "status": ["done"], "parameters": {}}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_counts_as_none(folder, text):
    place = folder / "root/journal/s/go/4_alone.json"
    place.write_text(text)
    result = perform(folder)
    assert fates(result)["4_alone"] is None
    assert result.stderr == (
        f"warning: the journal {place} is damaged; the step counts as one that never ran\n"
    )
    assert fates(perform(folder)) == SKIPPED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("function", None),
        ("refers_to", []),
        ("made", "a.txt"),
        ("ended", 3),
        ("identity", 3),
        ("outputs", {"d.txt": None}),
        ("outputs", {"d.txt": {"kind": "file", "size": 1}}),
        ("inputs", {"d.txt": {"kind": "folder", "files": {"a": 3}}}),
    ],
)
def test_a_record_with_a_wrong_value_is_damaged(tmp_path, monkeypatch, key, value):
    monkeypatch.setenv("CIRTORCH_ROOT", str(tmp_path))
    journal = Journal("s", "go")
    sound = {
        **dict.fromkeys(("status", "function", "ended"), "done"),
        **{name: {} for name in ("parameters", "refers_to", "versions", "inputs", "outputs")},
        **dict.fromkeys(("stdin", "identity", "metadata")),
        "made": [],
    }
    journal.write("1_a", sound)
    assert journal.read("1_a") == {"format": 2, **sound}
    journal.write("1_a", {**sound, key: value})
    assert journal.read("1_a") is None
    assert len(journal.warnings) == 1


def test_an_external_change_of_an_input(folder):
    (folder / "root/a.txt").write_text("uno")
    assert fates(perform(folder))["1_write"] == f"runs again: output changed: {folder}/root/a.txt"


def test_lines_of_standard_input(folder):
    (folder / "s.yml").write_text("go:\n  1_lines: {__function__: tiny.lines}\n")
    result = run("go", "s.yml", folder=folder, lines=" a.jpg \nb.jpg\n")
    assert result.returncode == 0, result.stderr
    assert record(folder, "1_lines")["metadata"] == {"lines": ["a.jpg", "b.jpg"]}
    result = run("go", "s.yml", folder=folder, lines="a.jpg\nb.jpg\n")
    assert fates(result) == {"1_lines": "skipped: unchanged"}
    result = run("go", "s.yml", folder=folder, lines="a.jpg\n")
    assert fates(result) == {"1_lines": "runs again: the lines of standard input changed"}


def test_standard_input_that_is_a_terminal(folder):
    (folder / "s.yml").write_text("go:\n  1_lines: {__function__: tiny.lines}\n")
    master, terminal = os.openpty()
    result = run("go", "s.yml", folder=folder, stdin=terminal)
    os.close(master)
    assert result.returncode == 2
    assert result.stderr.splitlines()[1] == (
        "s.yml:2:3: target go, step 1_lines: reads names from standard input, one per line, but "
        "that is a terminal; pipe them in"
    )


CHANGES = {
    "same": ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, None),
    "gone": ({"a": 1, "b": 2}, {"a": 1}, "b is gone"),
    "new": ({"a": 1}, {"a": 1, "b": 2}, "b is new"),
    "inside a list": ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a.1.b changed: 2 -> 3"),
    "another length": ({"a": [1]}, {"a": [1, 2]}, "a changed: [1] -> [1, 2]"),
    "another type": ({"a": 1}, {"a": True}, "a changed: 1 -> true"),
    "at the top": (1, 2, "(all) changed: 1 -> 2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_in_words(name):
    old, new, words = CHANGES[name]
    assert first_change(old, new) == words


def test_keys_that_json_lacks_come_back():
    value = {"a": {1: "x", None: [True, 2.5]}, "__pairs__": {"b": None}}
    assert decode(json.loads(json.dumps(encode(value)))) == value


def test_arrays_and_objects_are_kept_as_lists_and_text():
    value = {"a": np.arange(3), "b": (1, np.float64(0.5)), "c": Path("x/y"), "d": {4}}
    assert encode(value) == {"a": [0, 1, 2], "b": [1, 0.5], "c": "x/y", "d": [4]}


def test_long_values_are_cut_in_words_of_changes():
    whole, cut = "x" * 58, "x" * 59
    assert first_change(1, whole) == f'(all) changed: 1 -> "{whole}"'
    assert first_change(1, cut) == f'(all) changed: 1 -> "{cut[:56]}...'


def test_names_that_are_no_file_names(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(tmp_path))
    journal = Journal("a+b/c", "..")
    assert journal.folder == f"{tmp_path}/journal/a+b%2fc/%2e."
    assert journal.path("1_a: b\n") == f"{journal.folder}/1_a%3a b%0a.json"
    journal.write_text("x.yml", "text")
    assert (tmp_path / "journal/a+b%2fc/%2e./x.yml").read_text() == "text"


def test_seeds_at_any_depth():
    parameters = {"seed": 1, "a": {"seed": 2, "b": {"seed": None}}, "c": [{"seed": 3}], "d": "seed"}
    assert seeds(parameters) == {"seed": 1, "a.seed": 2}
