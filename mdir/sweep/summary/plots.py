"""Scores over the numeric axes of a sweep."""

import math
from pathlib import Path

import numpy as np

from mdir.report.figures import INK, PALETTE, panels, save_svg, set_title
from mdir.report.page import PageSection, Picture
from mdir.sweep.summary.grid import Grid
from mdir.sweep.summary.statistics import of_settings
from mdir.sweep.summary.tables import Column

PICTURES = 4  # of an axis, a line of each colour in each
LOGARITHMIC_FROM = 10  # between the largest and the smallest value


def plot_sections(grid: Grid, columns: dict[str, Column], folder: Path) -> list[PageSection]:
    """A section for each axis that is numeric throughout; its pictures lie under ``files``."""
    sections = []
    for number, (axis, labels) in enumerate(grid.axes.items()):
        numbers = _numbers(labels)
        if all(value is None for value in numbers):
            continue
        section = PageSection(f"Scores over {axis}")
        sections.append(section)
        if None in numbers:
            section.text = f"Not drawn: not all values of {axis} are numbers: {', '.join(labels)}."
            continue
        lines = series(grid, axis, dict(zip(labels, numbers, strict=True)))
        names = list(dict.fromkeys(name for of_metric in lines.values() for name in of_metric))
        section.text = "Means over the seeds; the band is a standard deviation, one run has none."
        most = PICTURES * len(PALETTE)
        if len(names) > most:
            section.text += f" Of {len(names)} lines {most} are drawn; all are in scores.csv."
        starts = range(0, min(len(names), most), len(PALETTE))
        for start in starts:
            path = f"files/axis_{number}_{start}.svg"
            _draw(lines, columns, axis, names[start : start + len(PALETTE)], folder / path)
            section.plots.append(Picture(path))
    return sections


def _numbers(labels):
    """The labels as finite numbers, None for others."""
    found = []
    for text in labels:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        found.append(value if math.isfinite(value) else None)
    return found


def series(grid: Grid, axis: str, numbers: dict[str, float]) -> dict[str, dict[str, np.ndarray]]:
    """Metric -> name of a line -> rows of x, mean and deviation, ``[n, 3]`` in the order of x."""
    place, found = list(grid.axes).index(axis), {}
    for metric, step in grid.columns:
        lines = found.setdefault(metric, {})
        for setting, sample in of_settings(grid, metric, step).items():
            others = [f"{n} {v}" for n, v in zip(grid.axes, setting, strict=True) if n != axis]
            name = ", ".join([*others, *([step] if len(grid.steps) > 1 else [])])
            if sample.values:
                deviation = math.nan if sample.deviation is None else sample.deviation
                point = (numbers[setting[place]], sample.mean, deviation)
                lines.setdefault(name, []).append(point)
    return {
        metric: {name: np.array(sorted(points)) for name, points in lines.items()}
        for metric, lines in found.items()
    }


def _draw(lines, columns, axis, names, path):
    figure, axes = panels(len(lines), 2.4, legends_outside=True)
    for panel, (metric, of_metric) in zip(axes, lines.items(), strict=True):
        set_title(panel, columns[metric].title)
        scale = 100 if columns[metric].in_percent else 1
        for colour, name in zip(PALETTE, names, strict=False):
            if name in of_metric:
                x, mean, deviation = of_metric[name].T * [[1], [scale], [scale]]
                look = {"color": colour, "linewidth": 1.4, "marker": "o", "markersize": 3}
                panel.plot(x, mean, label=name, **look)
                ends = mean - deviation, mean + deviation
                panel.fill_between(x, *ends, color=colour, alpha=0.18, linewidth=0)
        values = np.concatenate([points[:, 0] for points in of_metric.values()] or [[1.0]])
        if values.min() > 0 and values.max() / values.min() >= LOGARITHMIC_FROM:
            panel.set_xscale("log")
        panel.set_xlabel(axis, color=INK, fontsize=7)
    handles = {
        text: handle
        for panel in axes
        for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
        if text
    }
    if handles:
        look = {"fontsize": 7, "labelcolor": INK, "framealpha": 0}
        figure.set_figheight(figure.get_figheight() + 0.15 * len(handles) + 0.1)
        place = {"loc": "outside lower left", "ncols": 1 if max(map(len, handles)) > 60 else 2}
        figure.legend(handles.values(), handles, **place, **look)
    save_svg(figure, path)
