"""The files that the published code of UnifiedProxy leaves of a training."""

import csv
import os
import sys
from pathlib import Path

from cirtorch.utils.general import get_root
from mdir.artifacts import produced, write_bytes
from mdir.data.image_files import as_seen
from mdir.data.table_files import csv_text
from mdir.errors import UserError
from mdir.learning.events.processor import Processor
from mdir.methods.proxy import TrainedEpoch
from mdir.networks.files import write_tensors
from mdir.paths import resolve_path
from mdir.registry import register
from mdir.scores.class_recall import EvaluatedFeatures


@register("processor", "proxy_files")
class ProxyFiles(Processor):
    """``PREFIX_statistics.csv``, and ``PREFIX_model.pth`` and ``PREFIX_data_base.pth`` of the best.

    The table has a row for each epoch (from 1) after which a ``class_recall`` was measured, of
    several the first one: ``train_loss``, ``train_accuracy`` and recalls by rank, these and the
    accuracy in percent. The others are written anew whenever the recall at the first rank is above
    all before: the state_dict of the model, and a dict of ``test_images`` (paths from the folder
    that holds the data set's, or from CIRTORCH_ROOT), ``test_labels``, ``test_features``,
    ``train_features`` (as they were during the epoch), ``train_labels`` and ``train_proxies``;
    ``upright``, where it is true, says that images were turned as their EXIF says.

    Every file appears whole or not at all; a run that goes on continues its table, and an epoch
    that comes again replaces its row.

    Args:
        directory: relative to CIRTORCH_ROOT.
        prefix: ``DATA_BACKBONE_LOSS_DIM`` in the published project.
    """

    def __init__(self, folder, *, directory: str, prefix: str):
        self.paths = {
            name: Path(resolve_path(directory), f"{prefix}_{name}")
            for name in ("statistics.csv", "model.pth", "data_base.pth")
        }
        self.table: list[dict] | None = None
        self.trained: TrainedEpoch | None = None
        self.tested: EvaluatedFeatures | None = None

    def result(self, result):
        if isinstance(result, TrainedEpoch):
            self.trained, self.tested = result, None
        elif isinstance(result, EvaluatedFeatures) and self.tested is None:
            self.tested = result

    def epoch_closed(self, epoch, rows, metrics):
        if self.table is None:
            self.table = self._earlier(epoch) if epoch else []
        trained, tested = self.trained, self.tested
        self.trained = self.tested = None
        if trained is not None and tested is not None:
            self._write(trained, tested, self.table)

    def _write(self, trained, tested, table):
        row = {"epoch": trained.epoch + 1, "train_loss": trained.loss}
        row["train_accuracy"] = _percent(trained.accuracy)
        row |= {_column(rank): _percent(one) for rank, one in tested.recall.items()}
        first = _column(next(iter(tested.recall)))
        if all(row[first] > float(earlier[first]) for earlier in table):
            write_tensors(self.paths["model.pth"], trained.model.state_dict())
            write_tensors(self.paths["data_base.pth"], _data_base(trained, tested))
        table.append(row)
        text = csv_text([row, *([line[key] for key in row] for line in table)])
        write_bytes(self.paths["statistics.csv"], text.encode())

    def _earlier(self, epoch):
        """The rows of a run that goes on after so many epochs."""
        path, rows = self.paths["statistics.csv"], []
        if path.exists():
            try:
                with path.open(newline="") as file:
                    rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]
            except (KeyError, ValueError, TypeError, csv.Error) as error:
                raise UserError(
                    f"{path}: is not the table of this training any more ({error!r}); put it back, "
                    "or move it elsewhere to go on without its rows"
                ) from error
        if not rows:
            message = (
                f"{path}: has no row of epochs 1 to {epoch}; if recalls were measured then, the "
                "best one is told without them"
            )
            print(message, file=sys.stderr)
        return rows

    def close(self):
        for path in self.paths.values():
            if path.exists():
                produced(path)
            else:
                message = "is not there; it is written while a training with a class_recall goes on"
                print(f"{path}: {message}", file=sys.stderr)


def _column(rank):
    return f"test_recall@{rank}"


def _percent(share):
    return round(100 * share, 4)


def _data_base(trained, tested):
    dataset = tested.dataset
    return {
        "test_images": list(getattr(dataset, "names", None) or map(_name, dataset.files)),
        "test_labels": [int(label) for label in dataset.identities],
        "test_features": tested.features,
        "train_features": trained.features,
        "train_labels": trained.labels.tolist(),
        "train_proxies": trained.model.proxies,
        **as_seen(dataset),
    }


def _name(path):
    """A path from the root, where it lies below."""
    path, root = os.path.abspath(path), os.path.abspath(get_root())
    return os.path.relpath(path, root) if path.startswith(root + os.sep) else path
