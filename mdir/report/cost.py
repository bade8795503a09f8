"""What descriptors cost, beside the scores that they gave."""

import json
from collections.abc import Collection
from pathlib import Path

from mdir.errors import UserError
from mdir.report.page import PageSection
from mdir.report.protocols import of_labels
from mdir.report.tables import Table

_TEXT = (
    "Of one image: the way of a batch to the device, through the network with its wrappers, and "
    "back; reading it from disk, the first batch of an evaluation and the search do not count. "
    "Descriptors are float32. These are times of one run on one machine, no scores."
)
_COLUMNS = ["", "score", "images/s", "ms", "bytes", "dimensions", "device"]


def cost_path(rankings: Path) -> Path:
    """``cost/LABEL.json`` beside the rankings file ``LABEL.json``."""
    return rankings.parent / "cost" / rankings.name


def read_costs(folder: Path, labels: Collection[str] | None = None) -> dict[str, dict]:
    """Validation -> what its descriptors cost, from the ``rankings`` folder of a validate step.

    Args:
        labels: of these validations alone; null: of all in the folder.

    Each mapping has ``dimensions``, ``bytes_per_image``, ``images`` (that count), ``device`` and
    either ``images_per_second`` and ``milliseconds_per_image`` or, in words, ``not_measured``.

    Raises:
        UserError: a file of it is something else.
    """
    costs = {}
    for path in of_labels((folder / "cost").glob("*.json"), labels):
        try:
            costs[path.stem] = json.loads(path.read_text(encoding="utf-8"))
            cost_text(costs[path.stem])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} does not tell what descriptors cost") from error
    return costs


def cost_text(cost: dict) -> str:
    """One of :func:`read_costs` in a line."""
    rate, spent = _times(cost)
    size = f"{cost['bytes_per_image']:,} bytes an image ({cost['dimensions']:,} dimensions)"
    if not spent:
        return f"{size}, time {rate}"
    return f"{rate} images/s, {spent} ms and {size} on {cost['device']}"


def cost_notes(costs: dict[str, dict]) -> list[str]:
    """Sentences to stand below a table of scores, of what :func:`read_costs` gives."""
    return [f"Cost of {name}: {cost_text(cost)}." for name, cost in costs.items()]


def cost_section(costs: dict[str, dict[str, dict]]) -> PageSection | None:
    """A table of what descriptors cost; None without any.

    Args:
        costs: row of the score table -> what :func:`read_costs` gives.
    """
    lines = [
        [row, name.replace("_", " "), *_times(cost), *_size(cost), cost["device"]]
        for row, found in costs.items()
        for name, cost in found.items()
    ]
    return PageSection("Cost", _TEXT, Table(_COLUMNS, lines)) if lines else None


def _times(cost):
    """Images a second and milliseconds an image, or why neither is known."""
    if "not_measured" in cost:
        return [f"not measured: {cost['not_measured']}", ""]
    return [f"{cost['images_per_second']:,.1f}", f"{cost['milliseconds_per_image']:.2f}"]


def _size(cost):
    return [f"{cost['bytes_per_image']:,}", f"{cost['dimensions']:,}"]
