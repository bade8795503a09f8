"""Everything that happens in a run, as rows: losses, scores, times, weights, images.

A row has ``epoch_size``, ``key`` (``train/learning/loss``), ``dtype`` (``scalar/loss``,
``scalar/score``, ``scalar/time``, ``weight/param``, ``blob``), ``data`` by name,
``relative_iteration`` and ``timestamp``; the latter three are single values, or lists over the
iterations of an epoch. Files and processors get rows in full; what a checkpoint carries is one
summary for each epoch, which gives the same metrics and can be read by the published project.
"""

import time

import torch

from mdir.learning.events.metrics import Metrics, summary
from mdir.learning.events.open_rows import pack, unpack
from mdir.metric_names import scalar_kind

PENDING_ROWS = 200


class Events:
    """Collects the rows of the current epoch and hands them on.

    Values may be tensors on a device: they are fetched together, when a processor wants to show
    something, when many are waiting, or at the end of the epoch, not one by one.

    Args:
        processors: see :mod:`mdir.learning.events.processor`.
        files: an ``EventFiles``, or None where nothing is written.
    """

    def __init__(self, processors=(), files=None):
        self.processors = list(processors)
        self.files = files
        self.metrics = Metrics()
        self.consts = {}
        self._summaries = []
        self._open = {}
        self._waiting = []
        self._names = {}

    @property
    def epochs(self) -> int:
        """How many epochs are closed."""
        return len(self._summaries)

    def begin(self, epochs: int) -> None:
        """Tell the processors how many epochs the run is to have in all."""
        for processor in self.processors:
            processor.begin(epochs)

    def register(self, epoch, relative_iteration, epoch_size, key: str, data: dict, dtype: str):
        """Take one row.

        Args:
            epoch: from 0; None for what belongs to the run as a whole.
            relative_iteration: from 0; None for what belongs to the epoch as a whole.
            data: name -> number, 0-dimensional tensor, list of numbers; a weight; for blobs
                ``{"dtype": "image:rgb" | "image:gray" | "text", "data": ...}``.
        """
        row = {
            "timestamp": time.time(),
            "relative_iteration": relative_iteration,
            "epoch_size": epoch_size,
            "key": key,
            "data": self._plain(epoch, relative_iteration, key, data, dtype),
            "dtype": dtype,
        }
        if epoch is None:
            self._register_const(row)
            return
        if epoch != self.epochs:
            raise ValueError(f"{key}: epoch {epoch} is logged while epoch {self.epochs} is open")
        self._check_names(row)
        self._waiting.append(row)
        if len(self._waiting) >= PENDING_ROWS or any(p.wants(row) for p in self.processors):
            self.flush()

    def flush(self) -> None:
        """Fetch the values that are still on a device and show them to the processors."""
        rows, self._waiting = self._waiting, []
        _fetch(rows)
        for row in rows:
            self._open.setdefault(row["key"], []).append(row)
        for processor in self.processors:
            processor.rows(self.epochs, rows)

    def hand_on(self, result) -> None:
        """Give the processors what a method has finished or a score keeps; None is nothing."""
        if result is not None:
            for processor in self.processors:
                processor.result(result)

    def values(self, key: str, name: str) -> list[float]:
        """The values of the open epoch so far, in the order of iterations."""
        self.flush()
        return [row["data"][name] for row in self._open.get(key, []) if name in row["data"]]

    def close_epoch(self) -> dict[str, float]:
        """End the epoch: write its rows, take its metrics (returned by full name)."""
        self.flush()
        rows = {key: _joined(parts) for key, parts in self._open.items()}
        self._open = {}
        found = self.metrics.add_epoch(rows)
        summaries = {key: _summarized(row) for key, row in _without_weights(rows).items()}
        self._summaries.append(summaries)
        if self.files is not None:
            self.files.append(self.epochs - 1, rows)
            self.files.write_metrics(*self.metrics.table())
        for processor in self.processors:
            processor.epoch_closed(self.epochs - 1, rows, found)
        return found

    def close(self) -> None:
        """End the run."""
        for processor in self.processors:
            processor.close()

    def state_dict(self, processors: dict, dataroot: str) -> dict:
        """What a checkpoint keeps, in the form of the published project."""
        params = {"processors": processors, "dataroot": dataroot}
        data = {"consts": self.consts, "data": list(self._summaries)}
        return {"name": "EventBroker", "params": params, **data}

    def load_state_dict(self, state: dict) -> None:
        """Continue after the epochs of a state; rows of later, unfinished epochs are dropped."""
        self.consts = _plain_tree(state["consts"])
        self._summaries, self.metrics = [], Metrics()
        kept = self._keep_epochs(len(state["data"]))
        for epoch, rows in enumerate(map(_without_weights, state["data"])):
            rows = _plain_tree(rows)
            self.metrics.add_epoch(rows)
            self._summaries.append({key: _summarized(row) for key, row in rows.items()})
            if self.files is not None and epoch not in kept:
                self.files.append(epoch, rows)
        if self.files is not None:
            self.files.write_metrics(*self.metrics.table())

    def open_state(self) -> dict:
        """What is known of the open epoch; rows so far and what processors made of them."""
        self.flush()
        states = {
            type(processor).__name__: processor.state_dict()
            for processor in self.processors
            if hasattr(processor, "state_dict")
        }
        rows = {key: pack(rows) for key, rows in self._open.items()}
        return {"rows": rows, "processors": states}

    def load_open(self, state: dict) -> None:
        """Continue in the middle of an epoch, from :meth:`open_state`."""
        self._open = {key: unpack(rows) for key, rows in state["rows"].items()}
        for processor in self.processors:
            stored = state["processors"].get(type(processor).__name__)
            if stored:
                processor.load_state_dict(stored)

    def start(self) -> None:
        """Begin a run from nothing: rows that a killed one left are dropped."""
        self._keep_epochs(0)

    def _keep_epochs(self, count):
        return self.files.keep_epochs(count) if self.files is not None else set()

    def _register_const(self, row):
        self.consts[row["key"]] = row
        if self.files is not None:
            self.files.append(None, {row["key"]: row})

    def _plain(self, epoch, iteration, key, data, dtype):
        if dtype.startswith("weight"):
            return {name: histogram(value) for name, value in data.items()}
        if dtype == "blob":
            return {name: self._stored(epoch, iteration, key, name, blob)
                    for name, blob in data.items()}  # fmt: skip
        return dict(data)

    def _stored(self, epoch, iteration, key, name, blob):
        path = None
        if self.files is not None:
            path = self.files.write_blob(epoch, iteration, key, name, blob)
        return {"dtype": blob["dtype"], "path": path}

    def _check_names(self, row):
        if scalar_kind(row):
            names = self._names.setdefault(row["key"], list(row["data"]))
            if sorted(names) != sorted(row["data"]):
                raise ValueError(
                    f"{row['key']}: the names logged have changed from {names} to "
                    f"{list(row['data'])}"
                )


def histogram(tensor: torch.Tensor, bins: int = 200) -> dict:
    """``{"low", "high", "counts"}`` of the values of a tensor in equal bins over its range."""
    values = tensor.detach().float().flatten()
    low, high = values.min().item(), values.max().item()
    if not (low < high and abs(low) < float("inf") and abs(high) < float("inf")):
        return {"low": low, "high": high, "counts": [len(values)]}
    counts = torch.histc(values, bins, low, high)
    return {"low": low, "high": high, "counts": [int(count) for count in counts.tolist()]}


def _fetch(rows):
    """Replace the tensors in scalar rows by numbers, with one transfer for each device."""
    places = [
        (row["data"], name, value)
        for row in rows
        if scalar_kind(row)
        for name, value in row["data"].items()
        if isinstance(value, torch.Tensor)
    ]
    for device in {value.device for _, _, value in places}:
        here = [place for place in places if place[2].device == device]
        numbers = torch.stack([value.detach().double().reshape(()) for _, _, value in here])
        for (data, name, _), number in zip(here, numbers.tolist(), strict=True):
            data[name] = number


def _joined(parts):
    """One row for an epoch: lists over the iterations, unless the row belongs to the epoch."""
    if parts[0]["relative_iteration"] is None:
        return parts[-1]
    row = dict(parts[0])
    row["data"] = {name: [part["data"][name] for part in parts if name in part["data"]]
                   for name in parts[0]["data"]}  # fmt: skip
    for field in ("relative_iteration", "timestamp"):
        row[field] = [part[field] for part in parts]
    return row


def _summarized(row):
    """A scalar row with one value for each name; other rows as they are."""
    kind = scalar_kind(row)
    if kind is None:
        return row
    data = {
        name: [summary(values, kind)] if isinstance(values, list) else values
        for name, values in row["data"].items()
    }
    moments = {
        field: row[field][-1:]
        for field in ("relative_iteration", "timestamp")
        if isinstance(row[field], list)
    }
    return {**row, "data": data, **moments}


def _without_weights(rows):
    """What a checkpoint carries: its networks hold the weights already."""
    return {key: row for key, row in rows.items() if not row["dtype"].startswith("weight")}


def _plain_tree(value):
    """Arrays and tensors of a state as lists."""
    if isinstance(value, dict):
        return {key: _plain_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_tree(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
