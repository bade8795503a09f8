"""Events for TensorBoard, in ``epochs/tensorboard``."""

import threading
from contextlib import contextmanager

import numpy as np
from PIL import Image

from mdir.learning.events.metrics import summary
from mdir.learning.events.processor import Processor
from mdir.metric_names import scalar_kind, suffix
from mdir.registry import register


@register("processor", "tensorboard")
class TensorBoard(Processor):
    """Scalars of each iteration (``KEY/NAME``) and epoch (``KEY/NAME_avg``), weights, images."""

    def __init__(self, folder):
        self.folder = folder
        self._writer = None

    def rows(self, epoch, rows):
        with self._named():
            for row in rows:
                iteration = row["relative_iteration"]
                if scalar_kind(row) and iteration is not None:
                    for name, value in row["data"].items():
                        step = epoch * row["epoch_size"] + iteration
                        self.writer.add_scalar(f"{row['key']}/{name}", value, step)

    def epoch_closed(self, epoch, rows, metrics):
        with self._named():
            self._write_epoch(epoch, rows)

    @contextmanager
    def _named(self):
        """A full disk does not say which file."""
        try:
            yield
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            place = str(self.folder / "tensorboard")
            raise OSError(error.errno, error.strerror, place) from error

    def _write_epoch(self, epoch, rows):
        for key, row in rows.items():
            kind = scalar_kind(row)
            for name, values in row["data"].items():
                tag = f"{key}/{name}"
                last = values[-1] if isinstance(values, list) else values
                if kind:
                    end = suffix(kind).partition(".")[0] if isinstance(values, list) else ""
                    self.writer.add_scalar(tag + end, summary(values, kind), epoch)
                elif row["dtype"].startswith("weight"):
                    self._add_histogram(tag, last, epoch)
                elif last["dtype"].startswith("image:"):
                    image = np.asarray(Image.open(self.folder / last["path"]))
                    axes = "HW" if image.ndim == 2 else "HWC"
                    self.writer.add_image(tag, image, epoch, dataformats=axes)
        self.writer.flush()

    def state_dict(self):
        if self._writer is not None:
            with self._named():
                self._writer.flush()  # rows so far do not come again
        return {}

    def close(self):
        if self._writer is not None:
            with self._named():
                self._writer.flush()  # closing does not tell what stopped the thread that writes
                self._writer.close()

    @property
    def writer(self):
        """Opened when the first row comes: importing TensorBoard takes a second."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            _hush_writers()
            self._writer = SummaryWriter(str(self.folder / "tensorboard"))
        return self._writer

    def _add_histogram(self, tag, hist, epoch):
        counts = np.asarray(hist["counts"])
        edges = np.linspace(hist["low"], hist["high"], len(counts) + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        self.writer.add_histogram_raw(
            tag,
            min=hist["low"],
            max=hist["high"],
            num=int(counts.sum()),
            sum=float((centres * counts).sum()),
            sum_squares=float((centres**2 * counts).sum()),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=epoch,
        )


def _hush_writers():
    """Threads of TensorBoard print what stops them; the next call of the writer raises the same."""
    others = threading.excepthook

    def hook(args):
        ours = type(args.thread).__module__.startswith("tensorboard.")
        if not (ours and isinstance(args.exc_value, OSError)):
            others(args)

    threading.excepthook = hook
