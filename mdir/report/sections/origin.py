"""Where the numbers of a page come from: what the journal knows of the steps behind them."""

import shlex

import yaml

from cirtorch.utils.general import htime
from mdir.report.page import Fold, PageSection
from mdir.report.tables import Table

_COLUMNS = ["step", "function", "started", "took", "seeds", "files read", "files written"]


def origin_sections(records: list[dict]) -> list[PageSection]:
    """How a page's numbers were made, and by which steps; [] without any.

    Args:
        records: of the journal, in the order of the steps.
    """
    if not records:
        return []
    facts = [
        [name, value, ", ".join(steps) if len(steps) < len(records) else "all"]
        for name, tell in _FACTS.items()
        for value, steps in _by_value(records, tell).items()
    ]
    steps = PageSection("Steps", table=Table(_COLUMNS, list(map(_line, records)), words=True))
    took = htime(sum(record.get("seconds", 0) for record in records))
    steps.text = f"As they last ran, {took} together; a step that was up to date was not run again."
    steps.folds = [
        Fold(f"{record['step']}: all parameters", _as_yaml(record["parameters"]))
        for record in records
        if record["parameters"]
    ]
    made = Table(["", "", "steps"], facts, words=True)
    return [PageSection("How it was made", table=made), steps]


def _by_value(records, tell):
    """Value -> names of the steps that have it."""
    found = {}
    for record in records:
        found.setdefault(tell(record) or "not recorded", []).append(record["step"])
    return found


def _versions(record):
    return ", ".join(f"{name} {version}" for name, version in record["versions"].items())


_FACTS = {
    "scenario": lambda record: f"{record['target']} of {' + '.join(record['layers'])}",
    "command": lambda record: shlex.join(record["command"]),
    "commit": lambda record: record.get("commit"),
    "versions": _versions,
    "machine": lambda record: record.get("machine"),
}


def _line(record):
    done = record["status"] == "done"
    took = f"{record['seconds']:,.1f} s" if done else f"not done: {record['status']}"
    files = [f"{sum(map(_count, record.get(key, {}).values())):,}" for key in ("inputs", "outputs")]
    function = record["function"].rpartition(".")[2]
    return [record["step"], function, record["started"], took, _seeds(record["seeds"]), *files]


def _seeds(seeds):
    """One number where all are alike, else each with its key."""
    if len(set(seeds.values())) == 1:
        return str(next(iter(seeds.values())))
    return ", ".join(f"{key}: {seed}" for key, seed in seeds.items())


def _count(seen):
    """Files in one fingerprint."""
    return len(seen["files"]) if "files" in seen else int(seen["kind"] == "file")


def _as_yaml(value):
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
