"""Losses, scores and weights out of ``events.jsonl``, as plots."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdir.metric_names import scalar_kind
from mdir.report.figures import COLOUR, INK, panels, save_svg, set_title
from mdir.report.pictures import spread

MOMENTS = 8  # histograms of weights in one plot
PANELS = 6  # parameters of one network in one picture


@dataclass
class Series:
    """One metric over a run: values of single iterations and the mean of each epoch.

    ``iterations`` and ``epochs`` are lists of (position in epochs, value).
    """

    iterations: list = field(default_factory=list)
    epochs: list = field(default_factory=list)


def read_events(path: Path) -> list[dict]:
    """The rows of an events file; a last line that was cut short is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def read_series(rows: list[dict], kinds=("loss", "score")) -> dict[str, dict[str, Series]]:
    """``{key: {name: series}}`` of scalar rows, in the order in which they were logged."""
    found = {}
    for row in rows:
        if scalar_kind(row) not in kinds or row["epoch"] is None:
            continue
        for name, values in row["data"].items():
            series = found.setdefault(row["key"], {}).setdefault(name, Series())
            _add(series, row, values)
    return found


def _add(series, row, values):
    several = isinstance(values, list)
    numbers = np.array(values if several else [values], dtype=float)
    if several and len(numbers) > 1:
        places = row["epoch"] + np.arange(1, len(numbers) + 1) / len(numbers)
        series.iterations += zip(places.tolist(), numbers.tolist(), strict=True)
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers):
        series.epochs.append((row["epoch"] + 1, float(numbers.mean())))


def draw_series(series: dict[str, Series], path: Path) -> None:
    """Draw each series into a plot of its own, side by side in one SVG file."""
    figure, axes = panels(len(series), 2.0)
    for axis, (name, one) in zip(axes, series.items(), strict=True):
        set_title(axis, name.replace("_", " "))
        if one.iterations:
            x, y = zip(*one.iterations, strict=True)
            axis.plot(x, y, color=COLOUR, alpha=0.25, linewidth=0.6)
        if one.epochs:
            x, y = zip(*one.epochs, strict=True)
            axis.plot(x, y, color=COLOUR, linewidth=1.6, marker="o", markersize=2.5)
        counts = not one.iterations and all(value.is_integer() for _, value in one.epochs)
        axis.locator_params(axis="both" if counts else "x", integer=True)
        axis.ticklabel_format(axis="y", scilimits=(-3, 5))  # longer ones would be cut off
        axis.set_xlabel("epoch", color=INK, fontsize=7)
    save_svg(figure, path)


def draw_weights(rows: list[dict], path: Path) -> None:
    """Draw the distributions of weights over time; the newest lies lowest and in front.

    Of a network with many parameters some are shown, the first and the last among them. Moments
    at which weights were not finite are left out.

    Args:
        rows: events of one key of dtype ``weight/...``, in order of time.
    """
    names = list(rows[0]["data"])
    names = [names[k] for k in spread(len(names), PANELS)]
    figure, axes = panels(len(names), 1.6)
    for axis, name in zip(axes, names, strict=True):
        set_title(axis, name)
        moments = [m for row in rows for m in _moments(row["data"][name])][-MOMENTS:]
        for number, moment in enumerate(moments):
            counts = np.array(moment["counts"], float)
            edges = np.linspace(moment["low"], moment["high"], len(counts))
            height = counts / max(counts.max(), 1) * 1.6 + (len(moments) - number)
            shade = 0.25 + 0.75 * (number + 1) / len(moments)
            axis.fill_between(edges, len(moments) - number, height, color=COLOUR, alpha=shade * 0.6)
        axis.set_yticks([])
    save_svg(figure, path)


def _moments(value):
    """The histograms of a value that have a finite range; other ends are null in the file."""
    moments = value if isinstance(value, list) else [value]
    return [one for one in moments if np.isfinite(np.array([one["low"], one["high"]], float)).all()]
