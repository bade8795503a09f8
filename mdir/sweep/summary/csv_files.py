"""The numbers of a sweep for other programs, unrounded."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mdir.artifacts import write_bytes
from mdir.data.table_files import csv_text
from mdir.sweep.summary.cell_result import CellResult
from mdir.sweep.summary.grid import Grid
from mdir.sweep.summary.statistics import Difference, of_settings

_SAMPLE = ["mean", "standard deviation", "n", "of"]


def write_csv_files(
    folder: Path, grid: Grid, cells: Sequence[CellResult], found: Iterable[Difference]
) -> None:
    """Write ``cells.csv``, ``scores.csv`` and ``differences.csv``."""
    axes = [*grid.fixed, *grid.axes, *grid.seeds]
    scores = list(dict.fromkeys(name for cell in cells for name in cell.scores))
    tables = {
        "cells": [
            ["cell", "state", *axes, *scores, "page", "log"],
            *(_cell(cell, axes, scores, folder) for cell in cells),
        ],
        "scores": [
            ["metric", "step", *grid.axes, *_SAMPLE],
            *(
                [metric, step, *setting, *_numbers(sample)]
                for metric, step in grid.columns
                for setting, sample in of_settings(grid, metric, step).items()
            ),
        ],
        "differences": [
            [
                "metric",
                "step",
                "axis",
                "from",
                "to",
                *grid.axes,
                *_SAMPLE,
                "low",
                "high",
                "verdict",
            ],
            *(_difference(one, grid) for one in found),
        ],
    }
    for name, rows in tables.items():
        write_bytes(folder / f"{name}.csv", csv_text(rows).encode())


def _cell(cell, axes, scores, folder):
    values = [cell.axes.get(name, "") for name in axes]
    numbers = [cell.scores.get(name, "") for name in scores]
    paths = [
        "" if path is None else os.path.relpath(path, folder) for path in (cell.page, cell.log)
    ]
    return [cell.name, cell.state, *values, *numbers, *paths]


def _numbers(sample):
    told = [sample.mean, sample.deviation]
    return [*("" if value is None else value for value in told), len(sample.values), sample.planned]


def _difference(one, grid):
    """The axis that differs has no value; of a mean over settings none has."""
    setting = one.setting or {}
    others = [setting.get(name, "") for name in grid.axes]
    ends = one.interval[1:3] if one.interval else ["", ""]
    kind = [one.metric, one.step or "", one.axis or "step", one.before, one.after]
    return [*kind, *others, *_numbers(one.sample), *ends, one.verdict]
