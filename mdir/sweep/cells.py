"""The cells of a sweep: names, values of the axes, commands, and where each one's log is."""

import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cirtorch.utils.general import checkout
from mdir.scenario.program import CHECKOUT
from mdir.scenario.tree import Node
from mdir.sweep.definition import Axis, Choice, Sweep
from mdir.sweep.words import cell_name


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        name: ``seed-0_lr-0.1``; part of names of files, and ``${SWEEP_CELL}``.
        axes: the value of every axis by its label.
        layers: scenario, overlays and settings, as the command has them.
        command: the whole command, of an ordinary run.
        log: what it prints.
        settings: the words that the axes bring, by what stands in the sweep file.
    """

    name: str
    axes: dict[str, str | int | float]
    layers: list[str]
    command: list[str]
    log: Path
    settings: dict[str, Node] = field(default_factory=dict, repr=False)


def make_cells(sweep: Sweep, target: str, layers: list[str], folder: Path) -> list[Cell]:
    """All cells in the order of the axes, the last one fastest, without those left out.

    Args:
        target: that every cell performs.
        layers: scenario, overlays and settings that all cells share.
        folder: of the sweep, for the logs.
    """
    cells = []
    for chosen in itertools.product(*(axis.choices for axis in sweep.axes)):
        pairs = list(zip(sweep.axes, chosen, strict=True))
        if any(_is_excluded(rules, pairs) for rules in sweep.exclude):
            continue
        name = cell_name((axis.label, choice.name, axis.is_dotted) for axis, choice in pairs)
        words = [*layers, *(word for choice in chosen for word in choice.words)]
        settings = {
            word: node
            for choice in chosen
            for word, node in zip(choice.words, choice.nodes, strict=True)
        }
        cells.append(
            Cell(
                name,
                {axis.label: choice.value for axis, choice in pairs},
                words,
                [*program_words(), target, *words, "--cell", name],
                folder / "logs" / f"{name}.log",
                settings,
            )
        )
    return cells


def program_words() -> list[str]:
    """How a process of its own calls this program."""
    folder = checkout()
    return [sys.executable, str(folder / CHECKOUT) if folder else sys.argv[0]]


def _is_excluded(rules: dict[str, set], pairs: Iterable[tuple[Axis, Choice]]):
    return all(choice.name in rules[axis.label] for axis, choice in pairs if axis.label in rules)
