"""The page of one training run, rewritten while it goes on."""

import json
import os
from pathlib import Path

from mdir.metric_names import NO_BATCH, Metric, heading
from mdir.report.curves import draw_series, draw_weights, read_events, read_series
from mdir.report.page import PageSection, Picture, Strip, write_page
from mdir.report.pictures import spread
from mdir.report.protocols import protocol_section
from mdir.report.tables import Table

GROUPS = ["Training", "Validation"]  # order of the published project
EPOCHS = 8  # so many are shown of a picture that belongs to no batch


def write_training_page(folder: str | os.PathLike, title: str) -> Path:
    """Write ``htmlreport/index.html`` into a run's ``epochs`` folder from its ``events.jsonl``.

    It shows losses and scores (every iteration faint, epoch means on top) and the conditions under
    which scores hold, times, pictures (of a training step the newest, of a validation a row over
    the epochs) and the distributions of weights.

    Returns:
        The path of the page.
    """
    folder = Path(folder)
    page = folder / "htmlreport" / "index.html"
    rows = read_events(folder / "events.jsonl")
    sections = [*_curves(rows, page.parent), _protocols(rows, folder), _times(rows)]
    sections += [_pictures(rows, folder, page.parent), _weights(rows, page.parent)]
    sections = [section for section in sections if section is not None]
    write_page(page, title, sections)
    return page


def _curves(rows, folder):
    sections = {}
    for key, series in read_series(rows).items():
        head = _group(key)
        section = sections.setdefault(head, PageSection(head))
        name = f"{key.replace('/', '_')}.svg"
        draw_series(series, folder / name)
        section.plots.append(Picture(name, heading(key)))
    order = {name: place for place, name in enumerate(GROUPS)}
    return sorted(sections.values(), key=lambda section: order.get(section.title, len(order)))


def _group(key):
    metric = Metric.parse(key)
    if (metric.label, metric.stage) == ("train", "learning"):
        return GROUPS[0]
    return GROUPS[1] if metric.stage or metric.label == "val" else key.rpartition("/")[0]


def _times(rows):
    series = read_series(rows, kinds=("time",))
    lines = []
    for key, names in series.items():
        for name, one in names.items():
            mean = one.epochs[-1][1] if one.epochs else float("nan")
            what = name.removesuffix("_s").replace("_", " ")
            lines.append([f"{heading(key)}: {what}", f"{mean:.3f}"])
    if not lines:
        return None
    table = Table(
        ["", "s"], lines, ["Mean of one iteration, or the single value, of the last epoch."]
    )
    return PageSection("Times", table=table)


def _protocols(rows, folder):
    paths = {
        Metric.parse(row["key"]).label.replace("_", " "): blob["path"]
        for row in rows
        if row["dtype"] == "blob" and row["key"].endswith("/protocol")
        for blob in _blobs(row).get("protocol", [])
    }
    read = {key: json.loads((folder / path).read_text("utf-8")) for key, path in paths.items()}
    return protocol_section(read)


def _pictures(rows, folder, here):
    by_key = {}
    for row in rows:
        if row["dtype"] == "blob":
            by_key.setdefault(row["key"], []).append(row)
    strips = []
    for key, found in by_key.items():
        series = found[-1].get("relative_iteration") == [NO_BATCH]
        chosen = [found[k] for k in spread(len(found), EPOCHS)] if series else found[-1:]
        moment = "" if series else _moment(found[-1])
        pictures = [
            Picture(os.path.relpath(folder / blob["path"], here), _moment(row) if series else name)
            for row in chosen
            for name, blobs in _blobs(row).items()
            for blob in blobs
            if blob["dtype"].startswith("image")
        ]
        if pictures:
            strips.append(Strip(", ".join(filter(None, (heading(key), moment))), pictures))
    return PageSection("Pictures", strips=strips) if strips else None


def _blobs(row):
    """``{name: [blob]}`` of those that were written."""
    blobs = {name: blob if isinstance(blob, list) else [blob] for name, blob in row["data"].items()}
    return {name: [one for one in found if one["path"]] for name, found in blobs.items()}


def _moment(row):
    return "" if row["epoch"] is None else f"epoch {row['epoch'] + 1}"


def _weights(rows, folder):
    by_key = {}
    for row in rows:
        if row["dtype"].startswith("weight"):
            by_key.setdefault(row["key"], []).append(row)
    section = PageSection("Weights", "Distributions over time, the newest lowest.")
    for key, found in by_key.items():
        name = f"{key.replace('/', '_')}.svg"
        draw_weights(found, folder / name)
        section.plots.append(Picture(name, heading(key)))
    return section if section.plots else None
