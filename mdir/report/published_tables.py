"""Published results, from the data files in the folder ``published``."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from mdir.registry import unknown

FOLDER = Path(__file__).with_name("published")


@dataclass(frozen=True)
class Measure:
    """A column: ``metric`` is its name in the metadata of a validate step, ``set`` the test set.

    ``images``: how many the set has; None where that is not known to the last one.
    """

    name: str
    metric: str
    set: str
    images: int | None


@dataclass(frozen=True)
class PublishedTable:
    """``rows``: row name -> values in percent, one for each measure, None where left blank.

    ``remarks``: row name -> why its numbers are not to be trusted.
    """

    title: str
    source: str
    protocol: str
    measures: tuple[Measure, ...]
    rows: dict[str, list[float | None]]
    remarks: dict[str, str] = field(default_factory=dict)


def table_names() -> list[str]:
    """All tables, by the names of their files."""
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def load_table(name: str) -> PublishedTable:
    """Read a table.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in table_names():
        raise ValueError(unknown("published table", name, table_names()))
    return _read(name)


@functools.cache  # a scenario names one again and again, and all of it is checked
def _read(name):
    data = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    measures = tuple(Measure(**measure) for measure in data.pop("measures"))
    return PublishedTable(measures=measures, **data)
