"""Recalls of fine-grained classes over ranks and epochs; maps of features with their proxies."""

from dataclasses import dataclass, field
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

_TEXT = (
    "Recall: images with one of their class among so many others. Average precisions below are "
    "those of MAP@R."
)
Point = list[float]


@dataclass
class ClassMap:
    """Features on a plane, and the proxies that they were trained with.

    Attributes:
        points, labels: of features. proxies, proxy_labels: of proxies.
    """

    points: list[Point]
    labels: list
    proxies: list[Point] = field(default_factory=list)
    proxy_labels: list = field(default_factory=list)


@dataclass
class ClassResults:
    """What is to be drawn of one training.

    Attributes:
        recall: at the ranks 1, 2, ..., 0 to 1.
        epochs: name of a recall -> epochs (from 1) and its values after them, in percent.
        maps: what is on a map -> the map; None: the features are all alike.
    """

    recall: list[float]
    epochs: dict[str, list[tuple[int, float]]]
    maps: dict[str, ClassMap | None]


def results_of_rankings(rankings: dict) -> ClassResults | None:
    """What rankings of the score ``class_recall`` tell, as far as their answers go; others: None.

    Args:
        rankings: what :func:`mdir.report.galleries.read_rankings` gives.
    """
    if "class_map" not in rankings:
        return None
    found = [[answer["right"] for answer in query["found"]] for query in rankings["queries"]]
    ranks = range(1, max(map(len, found), default=0) + 1)
    recall = [sum(any(right[:rank]) for right in found) / len(found) for rank in ranks]
    points, classes = rankings["class_map"]["points"], rankings["class_map"]["classes"]
    return ClassResults(recall, {}, {"test": points and ClassMap(points, classes)})


def classes_section(results: dict[str, ClassResults], folder: Path) -> PageSection:
    """Curves of all trainings in one picture, ``files/classes.svg``, and maps in another."""
    section = PageSection("Classes", _TEXT)
    figure, axes = panels(2, 2.6, legends_outside=True)
    _draw_ranks(axes[0], results)
    _draw_epochs(axes[1], results)
    save_svg(figure, folder / "files" / "classes.svg")
    section.plots.append(Picture("files/classes.svg"))
    heads = [name + ": " if len(results) > 1 else "" for name in results]
    maps = {
        head + title: one
        for head, found in zip(heads, results.values(), strict=True)
        for title, one in found.maps.items()
    }
    drawn = {title: one for title, one in maps.items() if one is not None}
    if len(drawn) < len(maps):
        flat = ", ".join(title for title in maps if title not in drawn)
        section.text += f" No map of {flat}: the features are all alike."
    if drawn:
        section.plots.append(Picture("files/class_maps.svg", _maps_text(drawn)))
        _draw_maps(drawn, folder / "files" / "class_maps.svg")
    return section


def _maps_text(maps):
    text = "t-SNE of features of some classes."
    if any(one.proxies for one in maps.values()):
        text += " Stars are the proxies of these classes, crosses those of others."
    if any(isinstance(label, int) for one in maps.values() for label in one.labels):
        text += " Classes are numbered in the order of their names as texts."
    return text


def _draw_ranks(axis, results):
    set_title(axis, "recall over ranks, %")
    for number, (name, found) in enumerate(results.items()):
        percent = [100 * value for value in found.recall]
        axis.plot(range(1, len(percent) + 1), percent, color=_colour(number), label=name)
    longest = max(len(found.recall) for found in results.values())
    ranks = [2**power for power in range(longest.bit_length())]
    axis.set_xscale("log", base=2)
    axis.set_xticks(ranks, ranks)
    axis.set_ylim(top=102)
    axis.set_xlabel("rank", color=INK, fontsize=7)
    if len(results) > 1:
        axis.legend(fontsize=7, labelcolor=INK, framealpha=0)


def _draw_epochs(axis, results):
    """All recalls of one training, or the first one of each."""
    lines = [
        (" ".join([name] * (len(results) > 1) + [recall]), values)
        for name, found in results.items()
        for recall, values in list(found.epochs.items())[: None if len(results) == 1 else 1]
    ]
    if not lines:
        axis.set_axis_off()
        return
    set_title(axis, "recall over epochs, %")
    for number, (label, values) in enumerate(lines):
        axis.plot(
            *zip(*values, strict=True),
            color=_colour(number),
            marker="o",
            markersize=2.5,
            label=label,
        )
    axis.locator_params(axis="x", integer=True)
    axis.set_xlabel("epoch", color=INK, fontsize=7)
    look = {"fontsize": 7, "labelcolor": INK, "framealpha": 0}
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), **look)


def _draw_maps(maps, path):
    figure, axes = panels(len(maps), 3.0, legends_outside=True)
    for axis, (title, one) in zip(axes, maps.items(), strict=True):
        set_title(axis, title)
        without_ticks(axis)
        shown = list(dict.fromkeys(one.labels))
        scatter_groups(axis, one.points, one.labels, {label: str(label) for label in shown})
        for point, label in zip(one.proxies, one.proxy_labels, strict=True):
            own = label in shown
            look = {"color": _colour(shown.index(label)) if own else INK}
            look |= {"marker": "*", "s": 90, "edgecolors": INK} if own else {"marker": "x", "s": 14}
            axis.scatter(*point, linewidths=0.7, zorder=3 if own else 1, **look)
        look = {"fontsize": 6, "labelcolor": INK, "framealpha": 0, "handletextpad": 0}
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=6, **look)
    save_svg(figure, path)


def _colour(number):
    return PALETTE[number % len(PALETTE)]
