"""Intervals, paired tests and spreads over seeds in the steps report and compare."""

import csv
import json

import numpy as np
import pytest

from mdir.errors import UserError
from mdir.learning.score_results import write_rankings
from mdir.registry import ComponentError, check_parameters
from mdir.scores.measures.intervals import bootstrap, mcnemar, paired_bootstrap, wilson
from mdir.scores.result import ScoreResult
from mdir.scores.samples import Sample
from mdir.stages.compare import compare
from mdir.stages.report import report

QUERIES = 30


def evaluation(root, name, seed=0, gain=0.0, folder="/photos", queries=QUERIES):
    """Leaves the rankings of a run in a folder; returns the metadata of its step."""
    rng = np.random.default_rng(seed)
    aps = np.clip(rng.random(queries) * 0.6 + gain, 0, 1)
    aps[0] = np.nan
    right = (np.arange(queries) < 12 + 50 * gain).astype(float)
    result = ScoreResult(
        {"map": float(np.nanmean(aps)), "recall@1": float(right.mean())},
        samples={"map": Sample(aps), "recall@1": Sample(right, hits=True)},
        rankings=[
            {"name": str(i), "path": f"{folder}/{i}.jpg", "box": None, "ap": None, "found": []}
            for i in range(queries)
        ],
        protocol={"dataset": "247tokyo1k", "images": 1125},
    )
    write_rankings(root / name / "247tokyo1k.json", result)
    head = "247tokyo1k/validation/score_avg"
    return {
        "eval": {f"{head}:{key}": value for key, value in result.averages.items()},
        "intervals": {f"{head}:{key}": ends for key, ends in result.intervals.items()},
    }


def values_of(root, name, average):
    stored = json.loads((root / name / "247tokyo1k.json").read_text())["samples"][average]
    return np.array(stored["values"], dtype=float)


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def run(root, **given):
    names = {"untuned": 0.0, "tuned": 0.2}
    scores = {name: evaluation(root, name, gain=gain) for name, gain in names.items()}
    params = {
        "title": "t",
        "directory": "out",
        "scores": scores,
        "protocols": {n: n for n in names},
    }
    return report({**params, **given})[0]


def test_intervals_and_differences(root):
    metadata = run(root, differences=[("untuned", "tuned"), ("tuned", "tuned")])
    aps = [values_of(root, name, "map")[1:] for name in ("untuned", "tuned")]
    found = bootstrap(aps[0])
    table = rows(root / "out/intervals.csv")
    assert table[0] == ["", "score", "value", "95 % interval"] and len(table) == 5
    ends = f"{100 * found.low:.1f} to {100 * found.high:.1f}"
    assert table[1] == ["untuned", "247tokyo1k mAP", f"{100 * found.mean:.1f}", ends]
    low, high = wilson(12, 30)
    assert table[2][2:] == ["40.0", f"{100 * low:.1f} to {100 * high:.1f}"]
    table = rows(root / "out/differences.csv")
    gained = paired_bootstrap(*reversed(aps))
    ends = f"{100 * gained.low:.1f} to {100 * gained.high:.1f}"
    assert table[1][:4] == ["tuned − untuned", "247tokyo1k mAP", f"+{100 * gained.mean:.1f}", ends]
    assert table[1][4:] == ["< 0.001", "permutation", "29", "better"]
    hits = [values_of(root, name, "recall@1") for name in ("tuned", "untuned")]
    p = mcnemar(*hits)[2]
    assert table[2][4:] == [f"{p:.3f}", "McNemar", "30", "better"] and 0.001 < p < 0.05
    assert [row[7] for row in table[3:]] == 2 * ["not distinguishable"]
    page = (root / "out/index.html").read_text()
    for words in ("What another seed would change is not in them", "not distinguishable", ends):
        assert words in page
    assert "95 %" not in metadata["table"]


def test_what_cannot_be_paired_is_told(root):
    others = evaluation(root, "others", folder="/elsewhere")
    fewer = evaluation(root, "fewer", queries=29)
    tuned = evaluation(root, "tuned")
    scores = {"tuned": tuned, "others": others, "fewer": fewer}
    pairs = [("tuned", "others"), ("tuned", "fewer")]
    protocols = {name: name for name in scores}
    run(root, scores=scores, differences=pairs, protocols=protocols)
    table = rows(root / "out/differences.csv")
    assert [row[7] for row in table[1:]] == 4 * ["not the same queries"]


def test_older_files_have_no_intervals(root):
    for name in ("untuned", "tuned"):
        evaluation(root, name)
        path = root / name / "247tokyo1k.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({key: content[key] for key in ("protocol", "queries")}))
    head = "247tokyo1k/validation/score_avg:map"
    scores = {name: {"eval": {head: 0.5}} for name in ("untuned", "tuned")}
    given = {"title": "t", "directory": "out", "scores": scores, "differences": [list(scores)]}
    metadata = report({**given, "protocols": {name: name for name in scores}})[0]
    assert "+0.0" in metadata["table"]
    assert not (root / "out/intervals.csv").exists()
    assert not (root / "out/differences.csv").exists()


def test_seeds_are_kept_apart_from_queries(root):
    names = {"a0": (0, 0.0), "a1": (1, 0.05), "b0": (0, 0.3), "b1": (1, 0.35)}
    scores = {name: evaluation(root, name, seed, gain) for name, (seed, gain) in names.items()}
    seeds = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    protocols = {name: name for name in names}
    given = {"scores": scores, "protocols": protocols, "seeds": seeds, "differences": [("a", "b")]}
    metadata = run(root, **given)
    means = [np.nanmean(values_of(root, name, "map")) for name in names]
    table = rows(root / "out/seeds.csv")
    assert table[0] == ["", "score", "mean", "standard deviation", "seeds"]
    spread = f"{100 * np.std(means[:2], ddof=1):.1f}"
    assert table[1] == ["a", "247tokyo1k mAP", f"{100 * np.mean(means[:2]):.1f}", spread, "2"]
    first, second = (
        np.mean([values_of(root, name, "map")[1:] for name in seeds[one]], axis=0) for one in "ab"
    )
    found = paired_bootstrap(second, first)
    (row, hits) = rows(root / "out/differences.csv")[1:]
    assert row[:3] == ["b − a", "247tokyo1k mAP", f"+{100 * found.mean:.1f}"]
    assert hits[5] == "permutation"  # a mean over seeds is no hit any more
    assert [line.split("  ")[0] for line in metadata["table"].splitlines()[2:]] == [
        *names, "a", "b", "b − a", "a: the mean over 2 seeds.", "b: the mean over 2 seeds."
    ]  # fmt: skip
    assert len(rows(root / "out/intervals.csv")) == 1 + 8  # of runs alone


@pytest.mark.parametrize(
    "given, message",
    [
        ({"seeds": {"s": ["tuned", "tunde"]}}, "unknown row 'tunde'. Did you mean 'tuned'"),
        ({"seeds": {"tuned": ["tuned"]}}, "'tuned' is a row of its own"),
        ({"seeds": {"s": []}}, "names no rows"),
        ({"seeds": {"s": ["tuned"]}, "differences": [("s", "untund")]}, "unknown row 'untund'"),
    ],
)
def test_mistakes_are_found_first(root, given, message):
    with pytest.raises(ComponentError, match=message):
        run(root, **given)


LATER = "${1_a._output_metadata.rows}"
TABLE = {"table": "iccv23", "results": {"hedngan vgg16": {}, "cyclegan vgg16": {}}}


@pytest.mark.parametrize(
    "step, given, told",
    [
        (report, {"title": "t", "scores": {"a": {}}, "differences": LATER}, []),
        (report, {"title": "t", "scores": {"a": {}}, "differences": [LATER]}, []),
        (report, {"title": "t", "scores": {"u": {}}, "seeds": {"s": LATER}}, []),
        (compare, {**TABLE, "differences": LATER}, []),
        (compare, {**TABLE, "differences": [["hedngan vgg16", LATER]]}, []),
        (compare, {**TABLE, "results": {LATER: {}}, "differences": [["a", "b"]]}, []),
        (compare, {**TABLE, "rankings": {LATER: "r"}}, []),
        (compare, {**TABLE, "rankings": {"hedngan vgg61": "r"}}, [("rankings", "hedngan vgg61")]),
        (compare, {**TABLE, "differences": [["hedngan vgg16", "b"]]}, [("differences", 0, 1)]),
    ],
)
def test_rows_that_a_variable_names_are_not_known_yet(step, given, told):
    problems = check_parameters(step.function, {"directory": "out", **given})
    assert [problem.path for problem in problems] == told


def test_a_broken_file_is_named(root):
    (root / "tuned").mkdir()
    with pytest.raises(UserError, match="tuned/247tokyo1k.json is not a rankings file"):
        metadata = evaluation(root, "tuned")
        broken = '{"protocol": {}, "queries": [], "samples": {"map": {"values": 3}}}'
        (root / "tuned/247tokyo1k.json").write_text(broken)
        scores = {"tuned": metadata}
        params = {
            "title": "t",
            "directory": "out",
            "scores": scores,
            "protocols": {"tuned": "tuned"},
        }
        report({**params, "differences": [("tuned", "tuned")]})


def test_compare_tests_its_rows(root, capsys):
    names = {"cyclegan vgg16": 0.2, "hedngan vgg16": 0.0}
    results = {name: evaluation(root, name, gain=gain) for name, gain in names.items()}
    params = {"table": "iccv23", "results": results, "directory": "out"}
    params |= {"rankings": {name: name for name in names}}
    table = compare({**params, "differences": [("hedngan vgg16", "cyclegan vgg16")]})[0]["table"]
    found = bootstrap(values_of(root, "cyclegan vgg16", "map")[1:])
    ends = f"{100 * found.low:.1f} to {100 * found.high:.1f}"
    assert ends in table and "our 95 % interval" in table
    assert rows(root / "out/differences.csv")[1][7] == "better"
    assert "not distinguishable" in (root / "out/index.html").read_text()
    with pytest.raises(ComponentError, match="unknown row .hednga."):
        compare({**params, "differences": [("hednga", "cyclegan vgg16")]})
