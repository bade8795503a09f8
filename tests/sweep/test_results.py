"""Tables of sweeps, against numbers worked out by hand."""

import csv
import itertools
import math
import re
from dataclasses import replace

import pytest

from mdir.errors import UserError
from mdir.report.published_tables import load_table
from mdir.sweep.results import CellResult, Published, scores_of, write_results
from mdir.sweep.summary.grid import Grid
from mdir.sweep.summary.plots import series
from mdir.sweep.summary.published import published_problems
from mdir.sweep.summary.tables import Column
from tests.report.browser import look_at

MAP = "night/validation/score_avg:map"


def cells(values, axis="lr", key=MAP):
    """``{value: scores over seeds 0, 1, ...}``; None: a cell that failed."""
    return [
        CellResult(
            f"{axis}-{value}_seed-{seed}",
            {axis: value, "seed": seed},
            "failed" if score is None else "done",
            {} if score is None else {key: score},
        )
        for value, scores in values.items()
        for seed, score in enumerate(scores)
    ]


def rows(folder, name):
    with open(folder / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(row, *names):
    return [float(row[name]) for name in names]


THREE = {1: [0.1, 0.2, 0.3], 2: [0.2, 0.4, 0.3], 3: [0.5, 0.6, 0.8]}


def test_means_deviations_and_paired_differences(tmp_path):
    text = write_results(cells(THREE), tmp_path)
    scores = rows(tmp_path, "scores")
    assert [row["lr"] for row in scores] == ["1", "2", "3"]
    assert numbers(scores[0], "mean", "standard deviation") == pytest.approx([0.2, 0.1])
    assert numbers(scores[2], "mean", "standard deviation") == pytest.approx(
        [1.9 / 3, math.sqrt(0.07 / 3)]
    )
    # 0.1, 0.2, 0: mean 0.1, deviation 0.1, Student's quantile of two degrees 4.302653
    two, three = rows(tmp_path, "differences")
    half = 4.302653 * 0.1 / math.sqrt(3)
    ends = numbers(two, "mean", "standard deviation", "low", "high")
    assert ends == pytest.approx([0.1, 0.1, 0.1 - half, 0.1 + half])
    assert (two["verdict"], two["n"], two["of"]) == ("not distinguishable", "3", "3")
    # 0.4, 0.4, 0.5
    half = 4.302653 * math.sqrt(0.01 / 3) / math.sqrt(3)
    ends = numbers(three, "mean", "low", "high")
    assert ends == pytest.approx([1.3 / 3, 1.3 / 3 - half, 1.3 / 3 + half])
    assert three["verdict"] == "higher" and (three["from"], three["to"]) == ("1", "3")
    assert "n differs" not in text and "n 2/3" not in text
    lines = [re.split(r" {3,}", line) for line in text.splitlines()]
    assert ["night mAP, %", "3", "63.3", "15.3", "3"] in lines
    told = ["+10.0", "10.0", "−14.8 to 34.8", "3", "not distinguishable"]
    assert ["night mAP, %", "lr 2 − 1", *told] in lines
    assert ["night mAP, %", "lr 3 − 1", "+43.3", "5.8", "29.0 to 57.7", "3", "higher"] in lines


def test_a_failed_cell_is_named_and_its_pair_left_out(tmp_path):
    text = write_results(cells({1: [0.1, None, 0.3, 0.5], 2: [0.4, 0.9, 0.6, 0.7]}), tmp_path)
    assert "Not in the numbers: 1 of 8 cells: lr-1_seed-1 (failed)." in text
    assert "n differs: means of unequal n are of unlike cells" in text and "n 2/3: two" in text
    (one,) = rows(tmp_path, "differences")
    assert numbers(one, "mean", "n", "of") == pytest.approx([0.8 / 3, 3, 4])
    first, second = rows(tmp_path, "scores")
    assert numbers(first, "mean", "n", "of") == pytest.approx([0.3, 3, 4])
    assert numbers(second, "mean", "n", "of") == pytest.approx([0.65, 4, 4])
    lines = [re.split(r" {3,}", line) for line in text.splitlines()]
    assert ["night mAP, %", "1", "30.0", "20.0", "3/4"] in lines


@pytest.mark.parametrize(
    "scores, verdict",
    [
        ({1: [0.1, 0.2], 2: [0.5, 0.6]}, "too few to tell"),
        ({1: [0.1, 0.2, None], 2: [None, 0.6, 0.7]}, "too few to tell"),
        ({1: [0.1, 0.1, 0.1], 2: [0.5, 0.5, 0.5]}, "the same in every pair"),
        ({1: [0.5, 0.6, 0.8], 2: [0.1, 0.2, 0.3]}, "lower"),
    ],
)
def test_nothing_is_claimed_of_too_few_pairs_or_of_seeds_without_effect(tmp_path, scores, verdict):
    write_results(cells(scores), tmp_path)
    (one,) = rows(tmp_path, "differences")
    assert one["verdict"] == verdict
    assert (one["low"] == "") == (verdict != "lower")


def grid_of_two(skip=()):
    """Net a or b, lr 1 or 2, seeds 0 to 2."""
    table = {
        ("a", 1): [0.1, 0.2, 0.3],
        ("a", 2): [0.2, 0.2, 0.5],
        ("b", 1): [0.3, 0.6, 0.5],
        ("b", 2): [0.4, 0.7, 0.9],
    }
    return [
        CellResult(f"{net}{lr}{seed}", {"net": net, "lr": lr, "seed": seed}, state, {MAP: score})
        for (net, lr), scores in table.items()
        for seed, score in enumerate(scores)
        for state in ["missing" if (net, lr, seed) in skip else "done"]
    ]


def test_over_several_settings_differences_are_averaged_seed_by_seed(tmp_path):
    text = write_results(grid_of_two(), tmp_path)
    found = {(row["axis"], row["net"] + row["lr"]): row for row in rows(tmp_path, "differences")}
    # b - a: 0.2, 0.4, 0.2 at lr 1 and 0.2, 0.5, 0.4 at lr 2; by seed 0.2, 0.45, 0.3
    assert numbers(found["net", "1"], "mean", "n") == pytest.approx([0.8 / 3, 3])
    assert numbers(found["net", "2"], "mean", "n") == pytest.approx([1.1 / 3, 3])
    assert numbers(found["net", ""], "mean", "n") == pytest.approx([0.95 / 3, 3])
    values = [0.2, 0.45, 0.3]
    deviation = math.sqrt(sum((value - 0.95 / 3) ** 2 for value in values) / 2)
    assert float(found["net", ""]["standard deviation"]) == pytest.approx(deviation)
    # 2 - 1: 0.1, 0, 0.2 of a and 0.1, 0.1, 0.4 of b; by seed 0.1, 0.05, 0.3
    assert float(found["lr", ""]["mean"]) == pytest.approx(0.15)
    lines = [re.split(r" {3,}", line) for line in text.splitlines()]
    assert ["night mAP, %", "net b − a", "lr 1", "+26.7", "11.5", "−2.0 to 55.4", "3"] in [
        line[:-1] for line in lines
    ]
    assert ["night mAP, %", "net b − a", "mean of 2 settings", "+31.7"] in [
        line[:4] for line in lines
    ]
    by_axis = [line.split() for line in text.splitlines() if line.startswith("night")]
    # over lr and seeds: (0.1 + 0.2 + 0.3 + 0.2 + 0.2 + 0.5) / 6
    assert ["night", "mAP,", "%", "net", "a", "25.0", "13.8", "6"] in by_axis
    assert ["night", "mAP,", "%", "lr", "2", "48.3", "27.9", "6"] in by_axis


def test_a_seed_that_lacks_a_setting_is_not_in_the_mean_of_settings(tmp_path):
    write_results(grid_of_two(skip={("b", 2, 0)}), tmp_path)
    found = {(row["axis"], row["net"] + row["lr"]): row for row in rows(tmp_path, "differences")}
    assert numbers(found["net", ""], "mean", "n", "of") == pytest.approx([0.375, 2, 3])
    assert found["net", ""]["verdict"] == "too few to tell"
    assert numbers(found["net", "1"], "n", "of") == [3, 3]
    assert numbers(found["net", "2"], "n", "of") == [2, 3]


def test_an_excluded_setting_is_no_missing_one(tmp_path):
    left = [cell for cell in grid_of_two() if cell.name[:2] != "b2"]
    text = write_results(left, tmp_path)
    found = {row["axis"]: row for row in rows(tmp_path, "differences")}
    assert len(found) == 2 and "Not in the numbers" not in text
    assert (found["net"]["lr"], found["net"]["n"]) == ("1", "3")
    assert "n differs" in text and "n 2/3" not in text  # of the axes' means


def test_the_first_value_is_the_sweep_files_not_that_of_the_first_cell(tmp_path):
    left = [cell for cell in grid_of_two() if cell.name[:2] != "a1"]  # lr 2 comes first
    write_results(left, tmp_path, axes={"net": ["a", "b"], "lr": [1, 2], "seed": [0, 1, 2]})
    found = {row["axis"]: (row["from"], row["to"]) for row in rows(tmp_path, "differences")}
    assert found == {"net": ("a", "b"), "lr": ("1", "2")}


def two_steps(untuned, tuned):
    return [
        CellResult(
            f"seed-{seed}",
            {"seed": seed},
            "done",
            scores_of({"untuned": {"eval": {MAP: one}}, "tuned": {"eval": {MAP: other}}}),
        )
        for seed, (one, other) in enumerate(zip(untuned, tuned, strict=True))
    ]


def test_steps_are_compared_within_every_cell(tmp_path):
    text = write_results(two_steps([0.1, 0.2, 0.3], [0.3, 0.5, 0.7]), tmp_path)
    (one,) = rows(tmp_path, "differences")
    # 0.2, 0.3, 0.4
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert numbers(one, "mean", "low", "high") == pytest.approx([0.3, 0.3 - half, 0.3 + half])
    assert (one["axis"], one["from"], one["to"]) == ("step", "untuned", "tuned")
    lines = [re.split(r" {3,}", line) for line in text.splitlines()]
    assert ["night mAP, %", "untuned", "20.0", "10.0", "3"] in lines
    told = ["+30.0", "10.0", "5.2 to 54.8", "3", "higher"]
    assert ["night mAP, %", "tuned − untuned", *told] in lines


def test_scores_of_a_step_are_its_averages_or_all_that_it_has():
    single, loss = "night/validation/score:ap", "val/validation/loss:total"
    measured = {MAP: 0.5, single: 0.4, "note": "text"}
    scores = scores_of({"a": {"eval": measured}, "b": {"eval": {loss: 2.0, "note": None}}})
    assert scores == {f"a / {MAP}": 0.5, f"b / {loss}": 2.0}
    with pytest.raises(UserError, match="the results of 'c' must be the metadata of a validate"):
        scores_of({"c": None})


def test_pairs_of_steps_can_be_named(tmp_path):
    names = ["a", "b", "c"]
    scores = scores_of({name: {"eval": {MAP: 0.1 * n}} for n, name in enumerate(names)})
    write_results([CellResult("x", {}, "done", scores)], tmp_path, differences=[(None, "b", "c")])
    (one,) = rows(tmp_path, "differences")
    assert (one["from"], one["to"], one["verdict"]) == ("b", "c", "too few to tell")


def test_pairs_of_values_can_be_named(tmp_path):
    asked = [("lr", 3, 2), ("lr", 1, 2)]
    write_results(cells(THREE), tmp_path, differences=asked)
    found = {(row["from"], row["to"]): float(row["mean"]) for row in rows(tmp_path, "differences")}
    assert found == pytest.approx({("1", "2"): 0.1, ("1", "3"): 1.3 / 3, ("3", "2"): -1 / 3})


def test_what_made_the_numbers_is_told(tmp_path):
    one, two = (frozenset({f"Linux, OMP_NUM_THREADS {n}; commit abc"}) for n in (1, 2))
    made = [replace(cell, origins=one) for cell in cells({1: [0.1, 0.2, 0.3]})]
    text = write_results(made, tmp_path)
    assert "\nComputed on Linux, OMP_NUM_THREADS 1; commit abc.\n" in text
    text = write_results([*made[:2], replace(made[2], origins=two)], tmp_path)
    told = (
        "commits differ, and so may last digits or more: Linux, OMP_NUM_THREADS 1; commit abc "
        "(2 cells), Linux, OMP_NUM_THREADS 2; commit abc (1 cells).\n"
    )
    assert told in text


def test_scores_that_are_no_numbers_or_absent_are_named(tmp_path):
    odd = cells({1: [0.1, math.nan, 0.3], 2: [math.inf, 0.5, 0.7]})
    odd.append(CellResult("bare", {"lr": 2, "seed": 3}, "done"))
    text = write_results(odd, tmp_path)
    assert "1 score: bare has no night mAP, %." in text
    assert "2 scores: lr-1_seed-1: night mAP, % is nan, lr-2_seed-0: night mAP, % is inf." in text
    first, second = rows(tmp_path, "scores")
    assert numbers(first, "mean", "n", "of") == pytest.approx([0.2, 2, 3])
    assert numbers(second, "mean", "n", "of") == pytest.approx([0.6, 2, 4])
    assert [row[MAP] for row in rows(tmp_path, "cells")] == [
        *["0.1", "nan", "0.3", "inf", "0.5", "0.7"],
        "",
    ]


def test_one_run_alone_has_no_spread(tmp_path):
    text = write_results(cells({1: [0.25]}), tmp_path)
    assert re.search("night mAP, % +25.0 +one run alone +1\n", text)
    assert "In all cells: lr 1." in text and "Differences" not in text


def test_a_sweep_without_any_number_says_so(tmp_path):
    text = write_results(cells({1: [None], 2: [None]}), tmp_path)
    assert text.splitlines()[:2] == [
        "0 of 2 cells are done.",
        "Not in the numbers: 2 of 2 cells: lr-1_seed-0 (failed), lr-2_seed-0 (failed).",
    ]
    assert "Settings" not in text and rows(tmp_path, "scores") == []
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    "axis, seeds, settings",
    [
        ("train.seed", None, 1),
        ("city_seed", None, 1),
        ("proceed", None, 2),
        ("draw", ["draw"], 1),
        ("train.seed", [], 2),
    ],
)
def test_seeds_are_told_or_known_by_the_end_of_their_names(tmp_path, axis, seeds, settings):
    known = cells({1: [0.1], 2: [0.4]}, axis=axis)
    known = [CellResult(c.name, {axis: c.axes[axis]}, "done", c.scores) for c in known]
    write_results(known, tmp_path, seeds=seeds)
    assert len(rows(tmp_path, "scores")) == settings


def test_two_cells_of_the_same_values_are_refused(tmp_path):
    twins = [CellResult(name, {"lr": 1}, "done", {MAP: 0.1}) for name in ("one", "two")]
    with pytest.raises(UserError, match="cells one and two have the same value of every axis"):
        write_results(twins, tmp_path)


def test_losses_and_distances_stay_as_they_are(tmp_path):
    text = write_results(cells({1: [12.5, 14.5]}, key="fid/validation/score_avg:fid"), tmp_path)
    assert "fid fid   13.5               1.4142   2" in text
    assert Column(MAP, (0.0, 1.0000001), True).title == "night mAP, %"
    loss = Column("train/learning/loss:total", (0.5,), True)
    assert (loss.title, loss.value(0.5), loss.gain(-0.25)) == ("train loss total", "0.5", "−0.25")
    assert loss.interval((-1.5, 2.0)) == "−1.5 to 2"


def test_partial_numbers_of_a_cell_that_failed_do_not_count(tmp_path):
    known = cells({1: [0.1, 0.3]})
    known.append(CellResult("late", {"lr": 1, "seed": 2}, "running", {MAP: 0.9}))
    write_results(known, tmp_path)
    (one,) = rows(tmp_path, "scores")
    assert numbers(one, "mean", "n", "of") == pytest.approx([0.2, 2, 3])


def test_a_spreadsheet_runs_no_formula_and_markdown_keeps_its_columns(tmp_path):
    known = cells({"=1+1|x": [0.1], "b": [0.2]}, axis="net")
    write_results(known, tmp_path)
    assert rows(tmp_path, "cells")[0]["net"] == "'=1+1|x"
    assert r"| night mAP, % | =1+1\|x | 10.0 |" in (tmp_path / "results.md").read_text()


def test_five_hundred_cells_are_cut_on_a_terminal_and_whole_in_files(tmp_path):
    many = [
        CellResult(f"{a}-{b}-{seed}", {"a": a, "b": b, "seed": seed}, "done", {MAP: seed / 10})
        for a, b, seed in itertools.product(range(10), range(10), range(5))
    ]
    many[17] = CellResult("0-3-2", many[17].axes, "missing")
    text = write_results(many, tmp_path)
    assert "499 of 500 cells are done." in text and "... and 76 lines more, in results.txt." in text
    assert max(map(len, re.findall(r"(?:night.*\n)+", text))) and text.count("night mAP") < 80
    assert (tmp_path / "results.txt").read_text().count("night mAP, %") == 20 + 100 + 18
    assert len(rows(tmp_path, "differences")) == 18 * 11 and len(rows(tmp_path, "scores")) == 100
    page = (tmp_path / "index.html").read_text()
    assert page.count("axis_0_") == 2 and "Of 10 lines" not in page
    assert "Each setting by itself: differences.csv, index.html." in text
    assert "Differences by setting" not in text and "<td>a 9 − 0</td><td>b 9</td>" in page


def test_lines_of_a_plot_have_the_means_in_the_order_of_numbers():
    known = cells({"1e-3": [0.1, 0.3], "1e-4": [0.5, 0.6], 1: [None, 0.7]})
    grid = Grid(known, None, None)
    found = series(grid, "lr", {"1e-3": 0.001, "1e-4": 0.0001, "1": 1.0})
    assert list(found) == [MAP] and list(found[MAP]) == [""]
    x, mean, deviation = found[MAP][""].T
    assert x.tolist() == [0.0001, 0.001, 1.0]
    assert mean == pytest.approx([0.55, 0.2, 0.7])
    assert deviation == pytest.approx([math.sqrt(0.005), math.sqrt(0.02), math.nan], nan_ok=True)


def test_an_axis_that_is_numeric_in_part_is_not_drawn(tmp_path):
    write_results(cells({1: [0.1], "auto": [0.2]}), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "Not drawn: not all values of lr are numbers: 1, auto." in page and "svg" not in page
    write_results(cells({"plain": [0.1], "toy": [0.2]}, axis="method"), tmp_path)
    assert "Scores over" not in (tmp_path / "index.html").read_text()


TOKYO = "247tokyo1k/validation/score_avg:map"


def test_means_stand_beside_published_numbers(tmp_path):
    known = cells({"cyc": [0.8, 0.9, 1.0], "hed": [0.5, None, None]}, axis="net", key=TOKYO)
    where = {"cyclegan vgg16": {"net": "cyc"}, "hedngan vgg16": {"net": "hed"}}
    text = write_results(known, tmp_path, published=Published("iccv23", where))
    lines = [re.split(r" {3,}", line) for line in text.splitlines()]
    told = ["90.0 ± 10.0 (n 3)", "90.2", "−0.2", "unknown", "1,125"]
    assert ["cyclegan vgg16", "Tokyo 24/7", *told] in lines
    told = ["50.0 (n 1/3)", "88.8", "−38.8", "unknown", "1,125"]
    assert ["hedngan vgg16", "Tokyo 24/7", *told] in lines
    assert "Source: A. Mohwald" in text
    known, where = cells({1e-4: [0.8], 1: [0.5]}, key=TOKYO), {"cyclegan vgg16": {"lr": "1e-4"}}
    text = write_results(known, tmp_path, published=Published("iccv23", where))
    assert "80.0 (n 1)" in text


def test_what_cannot_stand_beside_published_numbers_is_told_and_the_rest_written(tmp_path):
    known = cells({"cyc": [None], "hed": [0.5]}, axis="net", key=TOKYO)
    text = write_results(
        known, tmp_path, published=Published("iccv23", {"cyclegan vgg16": {"net": "cyc"}})
    )
    assert "Not compared: compare: 'cyclegan vgg16' has none of the published measures" in text
    assert rows(tmp_path, "scores")[1]["mean"] == "0.5"


def test_mistakes_of_what_is_beside_published_numbers_are_found_before_a_run():
    axes = {"net": ["cyc", "hed"], "lr": [1, 2e-4]}

    def told(table, rows):
        found = published_problems(Published(table, rows), axes, ["tuned"])
        return [(problem.path, problem.message.split(".")[0]) for problem in found]

    row = next(iter(load_table("iccv23").rows))
    assert told("iccv23", {row: {"net": "hed", "lr": "2e-4"}}) == []
    assert told("iccv24", {}) == [(("table",), "unknown published table 'iccv24'")]
    assert told("iccv23", {"x": {"net": "cycle", "lr": 1}}) == [
        (("rows", "x"), "unknown published row 'x'"),
        (("rows", "x", "net"), "unknown net 'cycle'"),
    ]
    assert told("iccv23", {row: {"net": "hed", "seed": 0}}) == [
        (("rows", row, "seed"), "unknown axis 'seed'"),
        (("rows", row), "tell the value of lr: a mean over several is no setting"),
    ]


@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_links_every_cell_and_nothing_is_cut_off(tmp_path, width):
    folder = tmp_path / "sweeps" / "lr"
    known = []
    for cell in [*cells(THREE), *cells({10: [0.1, None]})]:
        page, log = tmp_path / "a b" / f"{cell.name}.html", folder / "logs" / f"{cell.name}.log"
        known.append(CellResult(cell.name, cell.axes, cell.state, cell.scores, page, log))
    write_results(known, folder, title="mdir sweep all quickstart.yml sweep.yml")
    seen = look_at(folder / "index.html", width)
    assert [seen["broken"], seen["cut"], seen["console"]] == [[], [], []] and seen["images"] == 1
    text = (folder / "index.html").read_text()
    assert text.count('<a href="../../a%20b/lr-') == text.count('<a href="logs/lr-') == 11
    assert '.html">lr-10_seed-1</a></td><td>failed</td>' in text
    write_results(cells(THREE), folder)
    assert "<td>lr-1_seed-0</td><td>done</td><td></td>" in (folder / "index.html").read_text()


def test_the_same_cells_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_results(cells(THREE), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 7
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
