"""Pages tell how their numbers were made, out of the journal and of nothing else."""

import html
import json
import re
import subprocess

import pytest

from mdir import origin
from mdir.report.sections.origin import origin_sections
from tests.scenario.command import run_here

SCENARIO = """\
go:
  1_city:
    __function__: mdir.stages.toy_world.toy_world
    directory: city
    seed: 3
    image_size: 48
    train_places: 2
    test_places: 2
    day_views: 2
  2_report:
    __function__: mdir.stages.report.report
    title: T
    directory: page
"""
RECORD = {
    "step": "1_train",
    "function": "mdir.stages.train.train",
    "target": "all",
    "layers": ["a.yml", "b.yml"],
    "command": ["mdir", "all", "a.yml", "b.yml", "x=y z"],
    "versions": {"mdir": "1", "python": "3"},
    "commit": "0123abc",
    "machine": "Linux; two cores",
    "status": "done",
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 3700.04,
    "seeds": {"seed": 4, "network.seed": 4},
    "inputs": {"/a": {"kind": "file"}, "/b": {"kind": "files", "files": {"c": "", "d": ""}}},
    "outputs": {"/e": {"kind": "missing"}},
    "parameters": {"seed": 4, "names": ["<é>"]},
}


def test_what_all_steps_share_is_told_once():
    other = RECORD | {"step": "2_eval", "commit": None, "seeds": {"a": 1, "b": 2}, "parameters": {}}
    del other["machine"]
    made, steps = origin_sections([RECORD, other])
    assert made.table.rows == [
        ["scenario", "all of a.yml + b.yml", "all"],
        ["command", "mdir all a.yml b.yml 'x=y z'", "all"],
        ["commit", "0123abc", "1_train"],
        ["commit", "not recorded", "2_eval"],
        ["versions", "mdir 1, python 3", "all"],
        ["machine", "Linux; two cores", "1_train"],
        ["machine", "not recorded", "2_eval"],
    ]
    first = ["1_train", "train", "2026-01-02T03:04:05+00:00", "3,700.0 s", "4", "3", "0"]
    assert steps.table.rows == [first, ["2_eval", *first[1:4], "a: 1, b: 2", *first[5:]]]
    assert "2h 3m 20s together" in steps.text
    assert steps.folds == [("1_train: all parameters", "seed: 4\nnames:\n- <é>\n")]
    assert origin_sections([]) == []


def test_a_step_that_did_not_end_is_told_as_that():
    stopped = {key: RECORD[key] for key in RECORD if key not in ("seconds", "outputs")}
    _, steps = origin_sections([stopped | {"status": "interrupted"}])
    assert steps.table.rows[0][3] == "not done: interrupted"


def test_the_page_tells_of_the_steps_before_it_and_the_same_again(tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    assert run_here("go", "s.yml", folder=tmp_path).returncode == 0
    page = tmp_path / "root/page/index.html"
    first = page.read_text(encoding="utf-8")
    record = json.loads((tmp_path / "root/journal/s/go/1_city.json").read_text())
    assert record["commit"] == origin.commit() and record["machine"] == origin.machine()
    for value in (
        record["commit"],
        record["machine"],
        record["started"],
        "go of s.yml",
        "go s.yml",
    ):
        assert html.escape(value, quote=False) in first
    assert "<summary>1_city: all parameters</summary><pre>directory: city\nseed: 3\n" in first
    assert "2_report" not in first
    assert run_here("go", "s.yml", "--only", "2_report", folder=tmp_path).returncode == 0
    assert page.read_text(encoding="utf-8") == first


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True)

    git("init", "-q")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-q", "-m", "a")
    monkeypatch.setattr(origin, "_root", lambda: tmp_path)
    cached = (origin.commit, origin.git_head)
    for function in cached:
        function.cache_clear()
    yield tmp_path
    for function in cached:
        function.cache_clear()


def test_a_commit_of_a_clean_checkout(checkout):
    (checkout / "new.txt").write_text("not of the code")
    assert re.fullmatch("[0-9a-f]{40}", origin.commit())


def test_a_commit_whose_files_changed(checkout):
    (checkout / "a.py").write_text("2")
    assert re.fullmatch("[0-9a-f]{40}, with uncommitted changes", origin.commit())


def test_code_that_is_no_checkout_has_no_commit(checkout):
    (checkout / ".git").rename(checkout / "git")
    assert origin.commit() is None and origin.git_head() is None


def test_the_machine_in_words(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    system, processor, memory, *_ = origin.machine.__wrapped__().split("; ")
    assert system.startswith("Linux")
    assert re.fullmatch(r".+, \d+ of \d+ cores, OMP_NUM_THREADS 3", processor)
    assert re.fullmatch(r"\d+ GiB", memory)
