"""Results of benchmarks: their file, going on with it, two runs side by side, the command line."""

import json
import os
import re
import subprocess
import sys

import jsonschema
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import measuring, results, running
from benchmarks.measuring import Work, compare, figures
from benchmarks.running import Bench, Case
from tests.conftest import PROJECT

PEAKS = {"float32": 1e10, "copy": 1e9}
SOUND = {"machine": {}, "versions": {}, "commit": None, "date": "", "sizes": {}, "cases": {}}
NUMBER, WORDS = {"type": "number"}, {"type": "string"}
TIMES = {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 1}
SCHEMA = {
    "type": "object",
    "required": ["machine", "versions", "commit", "date", "sizes", "cases"],
    "properties": {
        "machine": {
            "type": "object",
            "required": ["processor", "cores", "threads", "memory_gib", "device", "system"],
        },
        "versions": {
            "type": "object",
            "required": ["python", "torch", "torchvision", "numpy", "opencv-python-headless"],
        },
        "commit": {"type": ["string", "null"]},
        "date": {"type": "string", "format": "date-time"},
        "sizes": {"type": "object", "required": ["scale"]},
        "cases": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["status", "date", "seconds"],
                "properties": {
                    **dict.fromkeys(("milliseconds", "ratio", "roofline", "difference"), NUMBER),
                    **dict.fromkeys(("times", "twin_times"), TIMES),
                    **dict.fromkeys(("status", "date", "size"), WORDS),
                    "bound": {"enum": ["products", "memory"]},
                },
            },
        },
    },
}


@pytest.fixture(autouse=True)
def peaks(monkeypatch):
    monkeypatch.setattr(running, "measure_peaks", lambda *_: PEAKS)


def kept(path):
    return json.loads(path.read_text())


def mining(path, *arguments):
    return command.main(["retrieval.mining", "--scale", "0.02", "--json", str(path), *arguments])


def test_the_file_of_a_run(tmp_path, capsys):
    path = tmp_path / "new" / "run.json"
    found = mining(path)
    jsonschema.validate(found, SCHEMA)
    assert kept(path) == found and list(found["cases"]) == ["roofline", "retrieval.mining"]
    assert found["versions"]["torch"] == torch.__version__
    told = found["cases"]["retrieval.mining"]
    assert len(told["times"]) == len(told["twin_times"]) == 2
    assert told["milliseconds"] == 1000 * min(told["times"])
    assert told["ratio"] == min(told["twin_times"]) / min(told["times"])
    assert told["work"] == {"operations": 2 * 20 * 400 * 128, "nbytes": 4 * 420 * 128,
                            "mode": "float32"}  # fmt: skip
    out = capsys.readouterr().out
    assert "| retrieval.mining | 20 queries, pool of 400 |" in out and "| memory |" in out

    assert mining(path) == found
    assert "retrieval.mining: done before" in capsys.readouterr().out


def fine(bench):
    return figures(bench, "3 rows", [0.002, 0.001], Work(nbytes=5e5))


def broken(bench):
    raise RuntimeError("no such kernel")


def stopped(bench):
    raise KeyboardInterrupt


def without(bench):
    return {"skipped": "no server here"}


def rows_of(bench):
    return {"rows": {"exact": fine(bench), "other": {"size": "2", "milliseconds": 3.0}}}


def run(path, *functions, arguments=()):
    parser = running.command_line("benchmarks", "About.")
    options = parser.parse_args(["--json", str(path), *arguments])
    return running.main(parser, options, [Case(f"a.{one.__name__}", one) for one in functions])


def test_a_run_goes_on_after_a_cut_off(tmp_path, capsys):
    path = tmp_path / "run.json"
    for _ in range(3):  # however often
        with pytest.raises(SystemExit) as ended:
            run(path, fine, stopped)
        assert ended.value.code == 130
        assert f"interrupted; what was done is in {path}" in capsys.readouterr().err
        assert {name: told["status"] for name, told in kept(path)["cases"].items()} == {
            "roofline": "done", "a.fine": "done", "a.stopped": "cut off"
        }  # fmt: skip
    before = kept(path)["cases"]["a.fine"]
    stopped_before = Case("a.stopped", fine)
    parser = running.command_line("benchmarks", "About.")
    options = parser.parse_args(["--json", str(path)])
    after = running.main(parser, options, [Case("a.fine", fine), stopped_before])["cases"]
    assert after["a.stopped"]["status"] == "done" and after["a.fine"] == before


def test_one_case_does_not_end_the_others(tmp_path, capsys):
    found = run(tmp_path / "run.json", broken, without, fine)
    assert [told["status"] for told in found["cases"].values()] == [
        "done", "error", "skipped", "done"
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert "a.broken: error in 0.0 s RuntimeError: no such kernel" in out
    assert "a.without: skipped in 0.0 s no server here" in out
    assert running.exit_code(found) == 1
    assert running.exit_code(run(tmp_path / "other.json", without, fine)) == 0


def test_no_case_starts_after_the_minutes(tmp_path, capsys):
    found = run(tmp_path / "run.json", fine, arguments=["--minutes", "1e-9"])
    assert {told["status"] for told in found["cases"].values()} == {"skipped"}
    assert "a.fine: skipped in 0.0 s no time was left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("machine", "threads", 77, "machine threads: 77, now"),
        ("versions", "numpy", "1.0", "versions numpy: 1.0, now"),
        ("sizes", "scale", 3, "sizes scale: 3, now 1.0"),
        ("commit", None, "abc", "commit: abc, now"),
    ],
)
def test_only_the_same_run_goes_on(tmp_path, capsys, part, key, value, words):
    path = tmp_path / "run.json"
    found = run(path, fine)
    found[part] = value if key is None else found[part] | {key: value}
    path.write_text(text := json.dumps(found))
    with pytest.raises(SystemExit) as ended:
        run(path, fine)
    assert ended.value.code == 2 and path.read_text() == text
    told = capsys.readouterr().err
    assert words in told and "name another file" in told


def test_two_commits_side_by_side(tmp_path, capsys):
    then = tmp_path / "then.json"
    found = run(then, fine, broken, rows_of, without)
    found["commit"], found["cases"]["a.gone"] = "0123abc", found["cases"]["a.fine"]
    found["cases"]["a.fine"] |= {"milliseconds": 2.5, "twin_milliseconds": 9}
    found["cases"]["a.rows_of"]["rows"]["other"]["size"] = "1"
    found["cases"]["roofline"]["peaks"] = {"float32": 5e9, "copy": 1e9}
    found["machine"]["threads"] = 77
    then.write_text(json.dumps(found))
    capsys.readouterr()
    run(tmp_path / "now.json", fine, broken, rows_of, one_more, arguments=["--against", str(then)])
    out = capsys.readouterr().out
    lines = {line.split(" | ")[0].lstrip("| "): line.strip("| ").split(" | ")[1:]
             for line in out.partition("then: commit 0123abc")[2].splitlines()}  # fmt: skip
    assert lines["a.fine"] == ["2.5", "1.0", "2.50", "-"]
    assert lines["a.rows_of, exact"][:3] == ["1.0", "1.0", "1.00"]
    assert lines["a.rows_of, other"] == [*4 * "-", "of another size then: 1"]
    assert lines["a.broken"][-1] == "then: error"
    assert lines["a.one_more"][-1] == "not in that run"
    assert lines["a.gone"][-1] == lines["a.without"][-1] == "not in this run"
    assert lines["roofline"][-1] == "peaks: float32 2.00 times, copy 1.00 times"
    assert re.search(r"Warning: not the same machine threads: 77, now \d+\n", out)
    assert out.count("Warning") == 1


def one_more(bench):
    return {**fine(bench), "twin_milliseconds": 4.0, "ratio": 4.0}


def test_two_runs_of_twins():
    told = {"status": "done", "size": "1", "milliseconds": 4.0, "twin_milliseconds": 3.0}
    out = results.beside(
        *(SOUND | {"cases": {"a": told | slower}} for slower in ({}, {"twin_milliseconds": 6.0}))
    )
    assert "| a | 4.0 | 4.0 | 1.00 | 0.50 |" in out and "commit not known" in out


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "3", "[" * 100_000, "\udc80".encode("utf-8", "surrogatepass"),
     *(json.dumps(SOUND | wrong) for wrong in [
         {"machine": []}, {"commit": 3}, {"cases": []}, {"cases": {"a": 1}}, {"cases": {"a": {}}},
         {"cases": {"a": {"status": "done", "milliseconds": "1"}}},
         {"cases": {"a": {"status": "done", "milliseconds": 0}}},
         {"cases": {"a": {"status": "done", "twin_milliseconds": float("nan")}}},
         {"cases": {"a": {"status": "done", "rows": {"b": 1}}}},
         {"cases": {"a": {"status": "done", "rows": {"b": {"milliseconds": True}}}}},
         {"cases": {"roofline": {"status": "done", "peaks": {"copy": None}}}},
     ])],
)  # fmt: skip
@pytest.mark.parametrize("option", ["--against", "--json"])
def test_a_wrong_file_is_told_in_words(tmp_path, capsys, text, option):
    path = tmp_path / "wrong.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    with pytest.raises(SystemExit) as ended:
        command.main(["retrieval.mining", option, str(path)])
    assert ended.value.code == 2 and path.read_bytes() == before
    assert f"{path} holds no results of a benchmark" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "{}/none.json"], "none.json cannot be read: No such file"),
        (["--against", "{}"], "cannot be read: Is a directory"),
        (["--json", "{}"], "cannot be read: Is a directory"),
        (["--json", "/proc/none/run.json"], "No such file or directory"),
        (["retrieval.minig"], "no benchmark 'retrieval.minig'. Did you mean 'retrieval.mining'?"),
        (["minig"], "no benchmark 'minig'. There are"),
        (["gpu"], "no benchmark 'gpu'. There are"),
        (["--threads", "0"], "must be a number above 0, got '0'"),
        (["--threads", "two"], "must be a number above 0, got 'two'"),
        (["--scale", "nan"], "must be a number above 0, got 'nan'"),
        (["--minutes", "-1"], "must be a number above 0, got '-1'"),
    ],
)
def test_what_is_wrong_with_a_command_is_told(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        command.main([word.replace("{}", str(tmp_path)) for word in arguments])
    assert ended.value.code == 2 and words in capsys.readouterr().err


def chosen(*names, module=""):
    parser = running.command_line("benchmarks", "About.")
    cases = [Case(name, fine) for name in ("a.growth.1", "a.growth.10", "a.grow", "b.growth.1")]
    return [case.name for case in running._chosen(parser, names, cases, module)]


def test_names_choose_cases():
    assert chosen() == ["a.growth.1", "a.growth.10", "a.grow", "b.growth.1"]
    assert chosen("a.grow") == ["a.grow"] and chosen("a.growth.1") == ["a.growth.1"]
    assert chosen("b", "a.growth") == ["a.growth.1", "a.growth.10", "b.growth.1"]
    assert chosen("growth", module="a.") == ["a.growth.1", "a.growth.10"]


def test_threads_are_as_given_inside_and_as_before_after(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    with running.threads(before + 1):
        assert torch.get_num_threads() == before + 1
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == str(before + 1)
    assert torch.get_num_threads() == before
    assert os.environ["OMP_NUM_THREADS"] == "3" and "MKL_NUM_THREADS" not in os.environ


def test_threads_are_kept(tmp_path):
    threads = torch.get_num_threads() + 1
    found = run(tmp_path / "run.json", fine, arguments=["--threads", str(threads)])
    assert found["machine"]["threads"] == threads


@pytest.mark.parametrize(
    ("work", "share", "bound"),
    [
        (Work(1e9, 1e7), 0.5, "products"),
        (Work(1e9, 2e8), 1.0, "memory"),
        (Work(nbytes=1e6), 0.005, "memory"),
    ],
)
def test_shares_of_the_longer_of_two_least_times(work, share, bound):
    assert work.share(0.2, PEAKS) == {"roofline": pytest.approx(share), "bound": bound}


def test_no_share_without_a_peak_or_a_count():
    assert Work(1, 1, "float64").share(1, PEAKS) == Work(1, 1).share(1, {}) == {}
    told = figures(Bench(peaks=PEAKS), "1 row", [0.5])
    assert told == {"size": "1 row", "times": [0.5], "milliseconds": 500}
    columns = [("share", "roofline", "{:.0%}")]
    assert results.cells(told, columns) == ["-"] and results.cells({"roofline": 0.25}, columns) == [
        "25%"
    ]


def test_a_share_above_one_is_doubted():
    cases = {name: {"status": "done", "roofline": share} for name, share in
             (("below", 0.99), ("above", 1.2), ("none", None))}  # fmt: skip
    assert "above what was measured as the peak: above: " in results.table({"cases": cases}, [])
    del cases["above"]
    assert "peak" not in results.table({"cases": cases}, [])


def test_results_that_are_no_numbers_are_no_result():
    with pytest.raises(ValueError, match="results differ by nan"):
        compare(Bench(), "1", lambda: 1, lambda: float("nan"), lambda a, b: a - b)


def test_peaks_are_of_this_machine():
    found = measuring.measure_peaks(("float32", "float64"), 64, 1 << 12)
    assert list(found) == ["float32", "float64", "copy"] and min(found.values()) > 0


def test_the_command(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--against", str(tmp_path / "none.json")],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "none.json cannot be read" in done.stderr
