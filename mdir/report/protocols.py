"""Under which conditions scores hold."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from mdir.artifacts import used
from mdir.errors import UserError
from mdir.metric_names import Metric
from mdir.report.page import PageSection
from mdir.report.scores import measured_in
from mdir.report.tables import Table


def of_labels(paths: Iterable[Path], labels: Collection[str] | None) -> list[Path]:
    """The files of these validations, sorted; null: all."""
    return sorted(path for path in paths if labels is None or path.stem in labels)


def read_protocols(folder: Path, labels: Collection[str] | None = None) -> dict[str, dict]:
    """Validation -> conditions of its score, from the ``rankings`` folder of a validate step.

    Args:
        labels: of these validations alone; null: of all in the folder.

    Raises:
        UserError: a file of it is something else.
    """
    protocols = {}
    for path in of_labels(folder.glob("*.json"), labels):
        used(path)
        try:
            protocols[path.stem] = dict(json.loads(path.read_text(encoding="utf-8"))["protocol"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a rankings file of a validate step") from error
    return protocols


def protocol_section(protocols: dict[str, dict]) -> PageSection | None:
    """A table of the conditions of each score; None without any.

    Args:
        protocols: name of a validation -> conditions by name, as its score gave them.
    """
    lines = [
        [f"{name}: {key.replace('_', ' ')}", condition_text(value)]
        for name, protocol in protocols.items()
        for key, value in protocol.items()
    ]
    if not lines:
        return None
    text = "Scores are comparable under the same conditions only."
    return PageSection("Conditions", text, Table(["score", "condition"], lines))


def conditions_section(protocols: dict[str, dict[str, dict]]) -> PageSection:
    """The conditions of a score table; rows measured alike stand in one line.

    Args:
        protocols: row of the table -> validation -> conditions.
    """
    alike = {}
    for row, found in protocols.items():
        for name, protocol in found.items():
            alike.setdefault((name.replace("_", " "), in_a_line(protocol)), []).append(row)
    lines = [[name, ", ".join(rows), words] for (name, words), rows in alike.items()]
    text = "Scores are comparable under the same conditions only."
    return PageSection(
        "Conditions", text, Table(["score", "rows", "conditions"], lines, words=True)
    )


def in_a_line(protocol: dict) -> str:
    """Conditions by name, to be read one behind the other."""
    return "; ".join(
        f"{key.replace('_', ' ')}: {condition_text(value)}" for key, value in protocol.items()
    )


def condition_text(value) -> str:
    """One condition, to be read."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {condition_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return " / ".join(map(condition_text, value))
    if isinstance(value, float):
        return f"{value:.3g}"
    return "none" if value is None else f"{value:,}" if type(value) is int else str(value)


def measure_table(metadata: dict, protocols: dict[str, dict]) -> Table:
    """Losses and scores of a validate step as they are, their conditions below.

    Args:
        metadata: of the step, ``{"eval": {metric: value}}``.
        protocols: validation -> conditions.
    """
    measured = measured_in(metadata, "report: measures")
    lines = [[Metric.parse(name).title(), f"{value:.5g}"] for name, value in measured.items()]
    table = Table(["", "value"], lines)
    for name, protocol in protocols.items():
        table.notes.append(f"{name} \N{EM DASH} {in_a_line(protocol)}.")
    return table
