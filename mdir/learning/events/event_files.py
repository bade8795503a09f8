"""The rows of a run beside its checkpoint: ``events.jsonl``, ``metrics.csv`` and ``blobs/``."""

import hashlib
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cirtorch.utils.files import atomic_write
from mdir.data.table_files import csv_text
from mdir.learning.events.metrics import summary
from mdir.metric_names import scalar_kind

EXTENSIONS = {"image:rgb": ".png", "image:gray": ".png", "text": ".txt"}
_LONGEST = 100  # characters of a name in that of a blob's file

MOST_ITERATIONS = 1000  # of one key and epoch; longer epochs are written as means of blocks


class EventFiles:
    """Writes into a run's ``epochs`` folder.

    ``events.jsonl`` has one line for each epoch and key: the row (see ``events``) with ``epoch``
    in front (from 0; null for what belongs to the run); numbers that JSON lacks are null.
    ``metrics.csv`` has one line for each epoch, from 1.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.events = self.folder / "events.jsonl"

    def append(self, epoch: int | None, rows: dict[str, dict]) -> None:
        """Add the rows of an epoch."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [_json({"epoch": epoch, **thinned(row)}) for row in rows.values()]
        try:
            with open(self.events, "a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # a full disk does not say which file
            raise type(error)(error.errno, error.strerror, str(self.events)) from error

    def keep_epochs(self, count: int) -> set[int]:
        """Drop lines of epochs from ``count`` on, and broken ones; returns the epochs kept.

        Lines of the run as a whole stay unless nothing else does.
        """
        if not self.events.exists():
            return set()
        kept, epochs = [], set()
        for line in self.events.read_text(encoding="utf-8").splitlines():
            epoch = _epoch_of(line)
            if epoch in range(count) or (epoch is None and count):
                kept.append(line + "\n")
                epochs.add(epoch)
        with atomic_write(self.events, "w", encoding="utf-8") as file:
            file.writelines(kept)
        return epochs

    def write_metrics(self, names: list[str], rows: list[list]) -> None:
        """Write ``metrics.csv`` anew."""
        with atomic_write(self.folder / "metrics.csv", "w", encoding="utf-8", newline="") as file:
            lines = [[epoch, *row] for epoch, row in enumerate(rows, start=1)]
            file.write(csv_text([["epoch", *names], *lines]))

    def write_blob(self, epoch, iteration, key: str, name: str, blob: dict) -> str:
        """Write an image (floats in 0..1, CHW or HW) or a text; returns its path in the folder."""
        within = "null" if iteration is None else iteration
        moment = "const" if epoch is None else f"{epoch}-{within}"
        stem = f"{key}-{_file_name(name)}-{moment}".replace("/", "_").replace(":", "_")
        path = f"blobs/{stem}{EXTENSIONS[blob['dtype']]}"
        with atomic_write(self.folder / path) as file:
            if blob["dtype"] == "text":
                file.write(str(blob["data"]).encode())
            else:
                Image.fromarray(_pixels(blob["data"])).save(file, format="PNG")
        return path


def thinned(row: dict, most: int = MOST_ITERATIONS) -> dict:
    """A scalar row of many iterations as means over blocks of them, told by their last iteration.

    NaNs are left out of the means. Files of long runs stay readable, metrics are taken before.
    """
    iterations = row["relative_iteration"]
    if scalar_kind(row) is None or not isinstance(iterations, list):
        return row
    block = math.ceil(len(iterations) / most)
    if block <= 1:
        return row
    starts = range(0, len(iterations), block)
    data = {
        name: [summary(values[start : start + block], "loss") for start in starts]
        for name, values in row["data"].items()
    }
    moments = {
        field: [row[field][start : start + block][-1] for start in starts]
        for field in ("relative_iteration", "timestamp")
    }
    return {**row, "data": data, **moments}


def _file_name(name):
    """A name as part of a file's; a digest keeps apart what shortening and replacing make equal."""
    plain = re.sub(r"[^\w ./+-]", "_", name, flags=re.ASCII)[:_LONGEST]
    if plain == name and "_" not in name:
        return name
    return f"{plain}~{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _pixels(image):
    array = torch.as_tensor(image).detach().float().cpu().numpy()
    if array.ndim == 3:
        array = array.transpose(1, 2, 0) if array.shape[0] == 3 else array[0]
    return np.clip(np.nan_to_num(array) * 255, 0, 255).astype(np.uint8)


def _json(value):
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, float):
        # twelve digits tell all float32 apart, and the milliseconds of a time
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value


def _epoch_of(line):
    """The epoch of a line; -1 where the line is cut short."""
    try:
        return json.loads(line)["epoch"]
    except (ValueError, KeyError, TypeError):
        return -1
