"""An index gets inverted lists, and they get the images that were added since.

Each file is written whole and then told to the catalogue, so a build that is killed goes on from
the last one: the trained quantizer, then the rows part by part.
"""

from pathlib import Path

import numpy as np

from cirtorch.search import tuning
from cirtorch.search.ivfpq import FEWEST, Lists, encoded, split, train, written
from cirtorch.search.shards import SelectedRows

_ROWS_IN_A_PART = 1 << 20
_TAIL, _TAIL_SHARE = 10_000, 0.05  # rows behind the lists that every search goes through


def quantize(index, recall: float, code_bytes: int, tell=print) -> None:
    """Make the inverted lists of an index, or bring them up to date.

    With too few images for a quantizer it stays an index that is searched exactly.

    Args:
        index: :class:`~cirtorch.search.index.Index`.
        recall: at 10, that a sample which the quantizer has not seen is to reach.
        code_bytes: of a row in the lists.
        tell: called with a line for the user.
    """
    live, opened = index.live()
    catalogue, folder = index.catalogue, index.folder
    trained = catalogue.get("trained")
    if trained is None or trained["wished_bytes"] != code_bytes:
        training, sample = split(live)
        if len(training) < FEWEST:
            tell(
                f"index: {len(live)} images are too few to train a quantizer ({FEWEST} besides "
                "those that recall is measured on); they are searched exactly"
            )
            _put(catalogue, details={"searched": "exactly, too few images for a quantizer"})
            return
        tell(f"index: training a quantizer on {len(training)} of {len(live)} images")
        faiss_index = train(opened.rows, training, code_bytes, len(live))
        trained = written(folder, "ivfpq-trained.faiss", faiss_index)
        trained |= {"wished_bytes": code_bytes, "sample": sample.tolist()}
        _put(catalogue, trained=trained, encoded=[], effort=None)
    _extend(index, opened.rows, trained, tell)
    _tune(index, recall, tell)
    kept = {told["file"] for told in [trained, *catalogue.get("encoded")]}
    for path in Path(folder).glob("ivfpq-*"):
        if path.name not in kept:
            path.unlink()


def _extend(index, rows, trained, tell):
    """Rows that are in no list yet go there, if they are many."""
    catalogue, folder = index.catalogue, index.folder
    parts, count = catalogue.get("encoded"), len(rows)
    start = sum(part["rows"] for part in parts)
    few = max(_TAIL, _TAIL_SHARE * start) if catalogue.get("effort") else 0
    while count - start > few:
        end = min(start + _ROWS_IN_A_PART, count)
        tell(f"index: quantising, {end} of {count} images")
        part = encoded(folder, trained, SelectedRows(rows, np.arange(start, end)), start)
        told = written(folder, f"ivfpq-{start:09d}.faiss", part)
        parts.append(told | {"rows": end - start})
        _put(catalogue, encoded=parts, effort=None)
        start, few = end, 0


def _tune(index, recall, tell):
    told, parts = index.catalogue.get("effort"), index.catalogue.get("encoded")
    if told and told["target"] == recall:
        return
    live, opened = index.live()
    trained = index.catalogue.get("trained")
    sample = np.intersect1d(trained.pop("sample"), live)
    lists = Lists(index.folder, trained, parts)
    live = live[live < lists.rows]
    effort = tuning.choose(lists, opened.rows, opened.longest, sample, live, recall, index.device)
    tell(
        f"index: recall at {tuning.K} against exact search {effort.recall:.4f} on {len(sample)} "
        f"images held out: {effort.probes} of {lists.count} lists, {effort.candidates} candidates "
        "scored again exactly"
    )
    details = effort._asdict() | {"measured_on": len(sample), "lists": lists.count}
    details["bytes"] = sum(part["bytes"] for part in [trained, *parts])
    if effort.recall < recall:
        details["warning"] = (
            f"recall {recall} is not reached, {effort.recall:.4f} at most; more code_bytes or the "
            "engine exact reach it"
        )
        tell(f"warning: index: {details['warning']}")
    _put(index.catalogue, effort=effort._asdict() | {"target": recall}, details=details)


def _put(catalogue, **values):
    with catalogue.writing():
        catalogue.put(**values)
