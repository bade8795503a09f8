"""A static HTML page: one file, its pictures beside it, nothing from elsewhere."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import jinja2

from cirtorch.utils.files import atomic_write
from mdir.report.tables import Table


@dataclass
class Picture:
    """A picture with words under it.

    ``mark`` frames it: green if it is right, red if it is wrong, dashed if it does not count.
    """

    path: str
    caption: str = ""
    mark: Literal["right", "wrong", "junk"] | None = None


@dataclass
class Strip:
    """Pictures in a row under a heading: an input and its translation, a query and its answers."""

    title: str
    pictures: list[Picture]


class Fold(NamedTuple):
    """Text that is unfolded by its title, its lines kept."""

    title: str
    text: str


@dataclass
class PageSection:
    """A part of a page. What is empty is left out; ``plots`` are paths of wide pictures."""

    title: str
    text: str = ""
    table: Table | None = None
    plots: list[Picture] = field(default_factory=list)
    strips: list[Strip] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)


def write_page(path: Path, title: str, sections: list[PageSection], subtitle: str = "") -> None:
    """Write the page; paths of pictures are relative to it."""
    html = _template().render(title=title, subtitle=subtitle, sections=sections)
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.write(html)


@functools.cache
def _template():
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    return environment.get_template("page.html.j2")
