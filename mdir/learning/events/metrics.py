"""One number for each epoch and metric, out of the rows of events, and which epoch is best.

Where a row holds values over iterations, a metric is their mean (losses and scores) or sum (times),
and its name says so (``mdir.metric_names``).
"""

from dataclasses import replace

import numpy as np

from mdir.metric_names import Metric, scalar_kind, suffix


class Metrics:
    """Metrics of the epochs so far."""

    def __init__(self):
        self._values = {}  # full name -> {epoch: value}
        self._kinds = {}  # full name -> loss, score or time
        self._full = {}  # metric -> full name, settled when it appears first
        self.epochs = 0

    def add_epoch(self, rows: dict[str, dict]) -> dict[str, float]:
        """Take the rows of the next epoch (see ``events``); returns its metrics by full name."""
        found = {}
        for key, row in rows.items():
            kind = scalar_kind(row)
            if kind is None:
                continue
            for name, values in row["data"].items():
                full = self._full_name(key, name, kind, isinstance(values, list))
                found[full] = summary(values, kind)
                self._kinds[full] = kind
                self._values.setdefault(full, {})[self.epochs] = found[full]
        self.epochs += 1
        return found

    def _full_name(self, key, name, kind, over_iterations):
        metric = replace(Metric.parse(key), name=name)
        end = suffix(kind) if over_iterations else ""
        return self._full.setdefault(metric, str(replace(metric, name=name + end)))

    def metadata(self) -> dict[str, list[float]]:
        """Losses and scores: full name -> values of the epochs in which they were measured."""
        return {
            name: list(values.values())
            for name, values in self._values.items()
            if self._kinds[name] in ("loss", "score")
        }

    def table(self) -> tuple[list[str], list[list]]:
        """Names of all metrics, and one row of values for each epoch (None where not measured)."""
        names = list(self._values)
        rows = [[self._values[name].get(e) for name in names] for e in range(self.epochs)]
        return names, rows

    def is_last_best(self, criterion: str | None, ties: bool = True) -> bool:
        """Whether the latest epoch was measured and is the best one so far.

        Args:
            criterion: ``KEY:NAME`` of the metric, or ``epoch``.
            ties: as good as an earlier one counts, too.
        """
        if criterion == "epoch":
            return True
        values, best = self._best(criterion)
        last = self.epochs - 1
        if last not in values or values[last] != best:
            return False
        return ties or list(values.values()).count(best) == 1

    def best_epoch(self, criterion: str | None, last_tie: bool = False) -> dict | None:
        """``index`` (from 0), ``metric_avg.3`` and ``key`` of the best epoch, if any.

        Args:
            last_tie: of several that are equally good the last one, not the first.
        """
        if criterion == "epoch" and self.epochs:
            last = self.epochs - 1
            return {"index": last, "metric_avg.3": float(last), "key": "epoch"}
        values, best = self._best(criterion)
        ties = [epoch for epoch, value in values.items() if value == best]
        if not ties:
            return None
        index = ties[-1 if last_tie else 0]
        return {"index": index, "metric_avg.3": best, "key": self._name_of(criterion)}

    def _name_of(self, criterion):
        return self._full.get(Metric.parse(criterion or ""))

    def _best(self, criterion):
        full = self._name_of(criterion)
        values = self._values.get(full, {})
        measured = [value for value in values.values() if not np.isnan(value)]
        if not measured:
            return {}, None
        return values, max(measured) if self._kinds[full] == "score" else min(measured)


def summary(values, kind: str) -> float:
    """The mean (the sum, for times) of values over iterations without NaNs; a number as it is."""
    if not isinstance(values, list):
        return float(values)
    array = np.asarray(values, dtype=np.float64)
    array = array[~np.isnan(array)]
    if kind == "time":
        return float(array.sum())
    return float(array.mean()) if len(array) else float("nan")
