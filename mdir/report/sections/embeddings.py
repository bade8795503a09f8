"""Recall curves and maps of the features of two domains."""

import json
import re
from pathlib import Path

from mdir.errors import UserError
from mdir.report.figures import (
    INK,
    PALETTE,
    panels,
    save_svg,
    scatter_groups,
    set_title,
    without_ticks,
)
from mdir.report.tables import Table

_LINES = 60  # pairs joined in a map, so that it stays readable


def read_embeddings(paths: dict[str, Path]) -> dict[str, dict]:
    """``PREFIX_embedding.json`` of the step ``recall`` by name."""
    read = {}
    for name, path in paths.items():
        try:
            read[name] = json.loads(path.read_text(encoding="utf-8"))
            read[name]["points"], read[name]["recall"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"report: {path} is not an embedding file of step recall") from error
    return read


def recall_table(embeddings: dict[str, dict]) -> Table:
    """Recall at the first rank of the epoch that was chosen and of the last one, in percent."""
    titles, rows = _titles(embeddings), []
    columns = ["", "epoch"]
    for name, embedding in embeddings.items():
        for epoch, recalls in (("best", embedding["recall"]), ("last", embedding.get("last"))):
            first = _at_first_rank(recalls or {})
            if first:
                columns = ["", "epoch", *(f"{_title(key, titles)} R@{rank}" for key, rank in first)]
                rows.append([name, epoch, *(f"{100 * value:.1f}" for value in first.values())])
    return Table(columns, rows)


def _at_first_rank(recalls):
    """(direction, rank) -> recall, at the lowest rank."""
    split = {tuple(key.rsplit("@", 1)): value for key, value in recalls.items()}
    lowest = min((int(rank) for _, rank in split), default=None)
    return {key: value for key, value in split.items() if int(key[1]) == lowest}


def draw_recalls(embeddings: dict[str, dict], path: Path) -> None:
    """Recall over rank, a panel for each direction and a line for each method."""
    directions = {}
    for name, embedding in embeddings.items():
        for key, value in embedding["recall"].items():
            direction, _, rank = key.rpartition("@")
            directions.setdefault(direction, {}).setdefault(name, []).append((int(rank), value))
    figure, axes = panels(len(directions), 2.6)
    titles = _titles(embeddings)
    for axis, (direction, lines) in zip(axes, directions.items(), strict=True):
        set_title(axis, f"{_title(direction, titles)}: recall@rank")
        for number, (name, points) in enumerate(lines.items()):
            ranks, values = zip(*sorted(points), strict=True)
            colour = PALETTE[number % len(PALETTE)]
            percent = [100 * value for value in values]
            axis.plot(ranks, percent, color=colour, marker="o", markersize=3, label=name)
        axis.set_ylim(-2, 102)
        axis.set_xscale("log", base=2)
        axis.set_xticks(ranks, ranks)
    axes[0].legend(fontsize=7, labelcolor=INK, framealpha=0)
    save_svg(figure, path)


def _title(direction, titles):
    short = re.sub("^val_|_recall$", "", direction)
    return titles.get(short, short)


def _titles(embeddings):
    """Directions by the names of the domains, where all methods share them."""
    domains = {tuple(embedding["domains"]) for embedding in embeddings.values()}
    if len(domains) != 1:
        return {"ab": "A → B", "ba": "B → A", "cross": "A ↔ B"}
    ((a, b),) = domains
    return {"ab": f"{a} → {b}", "ba": f"{b} → {a}", "cross": f"{a} ↔ {b}"}


def draw_maps(embeddings: dict[str, dict], path: Path) -> bool:
    """The t-SNE of each method: a colour a domain, a thin line joins the images of an instance.

    Returns:
        whether there was any to draw.
    """
    drawn = {name: one for name, one in embeddings.items() if one["points"] is not None}
    if not drawn:
        return False
    figure, axes = panels(len(drawn), 3.0)
    for axis, (name, embedding) in zip(axes, drawn.items(), strict=True):
        set_title(axis, name)
        without_ticks(axis)
        for a, b in list(_pairs(embedding))[:_LINES]:
            axis.plot(*zip(a, b, strict=True), color=INK, alpha=0.35, linewidth=0.5, zorder=1)
        titles = dict(enumerate(embedding["domains"]))
        scatter_groups(axis, embedding["points"], embedding["domain_of"], titles)
    axes[0].legend(fontsize=7, labelcolor=INK, framealpha=0)
    save_svg(figure, path)
    return True


def _pairs(embedding):
    first = {}
    rows = zip(embedding["points"], embedding["domain_of"], embedding["labels"], strict=True)
    for point, domain, label in rows:
        if domain == 0:
            first[label] = point
        elif label in first:
            yield first[label], point
