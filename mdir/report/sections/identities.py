"""Ranks of right answers (CMC), and maps of features by identity and by camera."""

from pathlib import Path

from mdir.report.figures import (
    INK,
    PALETTE,
    panels,
    save_svg,
    scatter_groups,
    set_title,
    without_ticks,
)
from mdir.report.page import PageSection, Picture

_CURVES = {"cmc": "", "cmc_reranked": " (re-ranked)"}


def identities_section(rankings: dict[str, dict], folder: Path) -> PageSection | None:
    """Curves and maps of all rankings by the score ``reid`` in one picture; None without any.

    Args:
        rankings: name -> what :func:`mdir.report.galleries.read_rankings` gives.
        folder: of the page; the picture goes to ``files/identities.svg``.
    """
    read = {name: one for name, one in rankings.items() if "cmc" in one}
    if not read:
        return None
    maps = {name: one["map"] for name, one in read.items() if one["map"]["points"] is not None}
    figure, axes = panels(1 + 2 * len(maps), 3.0, legends_outside=True)
    _draw_curves(axes[0], read)
    for place, (name, found) in enumerate(maps.items()):
        head = f"{name}: " if len(read) > 1 else ""
        _draw_map(axes[1 + 2 * place], f"{head}by identity", found, "identities")
        _draw_map(axes[2 + 2 * place], f"{head}by camera", found, "cameras")
    save_svg(figure, folder / "files" / "identities.svg")
    text = "Queries with a match among so many answers; t-SNE of features of some test identities."
    if len(maps) < len(read):
        flat = ", ".join(name for name in read if name not in maps)
        text += f" No map of {flat}: the features are all alike."
    return PageSection("Identities", text, plots=[Picture("files/identities.svg")])


def _draw_curves(axis, rankings):
    set_title(axis, "matched queries (CMC), %")
    curves = {
        name + ending: found[key]
        for name, found in rankings.items()
        for key, ending in _CURVES.items()
        if key in found
    }
    for number, (name, curve) in enumerate(curves.items()):
        percent, colour = [100 * value for value in curve], PALETTE[number % len(PALETTE)]
        axis.plot(range(1, len(curve) + 1), percent, color=colour, linewidth=1.6, label=name)
    axis.set_ylim(top=102)
    low, _ = axis.get_ylim()
    axis.set_yticks([tick for tick in axis.get_yticks() if low <= tick <= 100])
    axis.set_xlabel("rank", color=INK, fontsize=7)
    axis.set_xticks([1, *range(10, max(map(len, curves.values())) + 1, 10)])
    if len(curves) > 1:
        axis.legend(fontsize=7, labelcolor=INK, framealpha=0)


def _draw_map(axis, title, found, kind):
    set_title(axis, title)
    without_ticks(axis)
    groups = found[kind]
    scatter_groups(axis, found["points"], groups, {one: str(one) for one in sorted(set(groups))})
    look = {"fontsize": 6, "labelcolor": INK, "framealpha": 0, "handletextpad": 0}
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=6, **look)
