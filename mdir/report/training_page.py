"""The page of one training run, rewritten while it goes on."""

import os
from pathlib import Path

from mdir.report.curves import draw_series, draw_weights, read_events, read_series
from mdir.report.page import Picture, Section, Strip, write_page
from mdir.report.tables import Table

GROUPS = (  # order of the published project
    (lambda key: key == "train/learning", "Training"),
    (lambda key: key.startswith("val/"), "Validation"),
    (lambda key: key.endswith(("/learning", "/validation")), "Validation"),
)


def write_training_page(folder: str | os.PathLike, title: str) -> Path:
    """Write ``htmlreport/index.html`` into a run's ``epochs`` folder from its ``events.jsonl``.

    It shows losses and scores (every iteration faint, epoch means on top), times, the newest
    pictures and the distributions of weights.

    Returns:
        The path of the page.
    """
    folder = Path(folder)
    page = folder / "htmlreport" / "index.html"
    rows = read_events(folder / "events.jsonl")
    sections = [*_curves(rows, page.parent), _times(rows), _pictures(rows, folder, page.parent)]
    sections.append(_weights(rows, page.parent))
    sections = [section for section in sections if section is not None]
    write_page(page, title, sections)
    return page


def _curves(rows, folder):
    sections = {}
    for key, series in read_series(rows).items():
        head = _group(key.rpartition("/")[0])
        section = sections.setdefault(head, Section(head))
        name = f"{key.replace('/', '_')}.svg"
        draw_series(series, folder / name)
        section.plots.append(Picture(name, key))
    order = {name: place for place, (_, name) in enumerate(GROUPS)}
    return sorted(sections.values(), key=lambda section: order.get(section.title, len(order)))


def _group(head):
    return next((name for test, name in GROUPS if test(head)), head)


def _times(rows):
    series = read_series(rows, kinds=("time",))
    lines = []
    for key, names in series.items():
        for name, one in names.items():
            mean = one.epochs[-1][1] if one.epochs else float("nan")
            lines.append([f"{key}: {name}", f"{mean:.3f}"])
    if not lines:
        return None
    table = Table(
        ["", "s"], lines, ["Mean of one iteration, or the single value, of the last epoch."]
    )
    return Section("Times", table=table)


def _pictures(rows, folder, here):
    newest = {}
    for row in rows:
        if row["dtype"] == "blob":
            newest[row["key"]] = row
    strips = []
    for key, row in newest.items():
        pictures = []
        for name, blob in row["data"].items():
            for one in blob if isinstance(blob, list) else [blob]:
                if one["path"] and one["dtype"].startswith("image"):
                    path = os.path.relpath(folder / one["path"], here)
                    pictures.append(Picture(path, name))
        moment = "" if row["epoch"] is None else f", epoch {row['epoch'] + 1}"
        if pictures:
            strips.append(Strip(f"{key}{moment}", pictures))
    return Section("Pictures", strips=strips) if strips else None


def _weights(rows, folder):
    by_key = {}
    for row in rows:
        if row["dtype"].startswith("weight"):
            by_key.setdefault(row["key"], []).append(row)
    section = Section("Weights", "Distributions over time, the newest lowest.")
    for key, found in by_key.items():
        name = f"{key.replace('/', '_')}.svg"
        draw_weights(found, folder / name)
        section.plots.append(Picture(name, key))
    return section if section.plots else None
