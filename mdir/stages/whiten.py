"""Step: extract the descriptors of a training set and learn a whitening of them."""

import json
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict

import numpy as np

from cirtorch.datasets.databases import load_database
from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite
from cirtorch.utils.safe_pickle import dump_pickle
from cirtorch.utils.whiten import pcawhitenlearn, whitenlearn
from mdir import distributed
from mdir.artifacts import changed_input, made_before, produced, used, write_bytes
from mdir.caches import without_caches
from mdir.data.image_lists import read_beside
from mdir.errors import UserError
from mdir.inference.fingerprint import files_fingerprint, network_fingerprint
from mdir.inference.outputs.naming import input_paths
from mdir.inference.run import (
    ForwardOptions,
    InputSections,
    OutputOptions,
    check_inference,
    run_inference,
    tell_inputs,
)
from mdir.learning.compute import default_device
from mdir.networks.factory import load_network
from mdir.networks.whitening import read_whitening
from mdir.paths import local_file, resolve_path
from mdir.registry import Problem, Section
from mdir.registry.ranges import at_least
from mdir.resources import Resources
from mdir.stages.step import step


class WhiteningOptions(TypedDict):
    """What is learned, from which images.

    Args:
        type: "lw": learned from matching pairs, "pca": from the images alone.
        dataset_pkl: pickle with ``cids``, ``qidxs``, ``pidxs``; a path or URL.
        directory: the result goes to its folder ``whitening``; null stores nothing.
        shrink: of "lw", see :func:`cirtorch.utils.whiten.whitenlearn`; 0, none, as published. Few
            pairs, or ones on which the network was trained, ask for some.
    """

    type: Literal["lw", "pca"]
    dataset_pkl: str
    directory: str | None
    shrink: NotRequired[Annotated[float, at_least(0)]]


def _check(params):
    yield from check_inference(params)
    whitening = params["whitening"]
    if isinstance(whitening, dict) and whitening.get("type") == "pca" and whitening.get("shrink"):
        yield Problem(("whitening", "shrink"), 'is of type "lw"; PCA whitening has none')


@step(check=_check)
def infer_and_learn_whitening(
    inputs,
    *,
    network: Annotated[dict, Section("network")],
    output: OutputOptions,
    data: InputSections,
    whitening: WhiteningOptions,
    forward: ForwardOptions | None = None,
):
    """Learn a whitening for a network.

    Args:
        network, output, data, forward: as in the step ``infer``; the images come from the list.
        whitening: see :class:`WhiteningOptions`.

    Returns:
        metadata of both parts and ``whitening_path``, then ``{"m": [D, 1], "P": [D, D]}``. A
        complete file that was made from the same network, images and settings is not made again.
    """
    with distributed.together():
        return _extract_and_learn(network, output, data, whitening, forward)


def _extract_and_learn(network, output, data, whitening, forward):
    model = load_network(network, default_device()).eval()
    path = _place(whitening)
    settings = {key: whitening[key] for key in ("type", "dataset_pkl")}
    shrink = whitening.get("shrink", 0)
    settings |= {"shrink": shrink} if shrink else {}
    origin = network_fingerprint(
        model, {"data": without_caches(data), "forward": forward, "whitening": settings}
    )
    if changed_input() is not None and path is not None and made_before(path):
        Path(path).unlink(missing_ok=True)  # learned from other images
    listed = whitening["dataset_pkl"], data["test"]
    if distributed.from_first(path is not None and _is_done(path, origin, *listed)):
        _tell(path, *listed)
        return {"status": "skipped", "whitening_path": path}
    source = local_file(whitening["dataset_pkl"])
    image_dir = resolve_path(data["test"]["dataset"].get("image_dir") or "")
    database, images = read_beside(partial(_read, source), source, image_dir)
    metadata, names, vectors = run_inference(model, output, data, [images], forward)
    require_finite(vectors, names, "whitening")
    rows = {name: row for row, name in enumerate(names)}  # the last row of a repeated image
    pairs = [[rows[images[i]] for i in database[key]] for key in ("qidxs", "pidxs")]
    learned, result = _learn(whitening["type"], vectors, pairs, shrink)
    if path is not None and distributed.is_first():
        _store(path, result, {"origin": origin, "learned_from": _learned_from(*listed)})
    metadata = {"infer": metadata, "learn_whitening": learned, "whitening_path": path}
    return metadata, result


def _read(source):
    used(source)
    database = load_database(source)
    return database, [cid2filename(cid, "") for cid in database["cids"]]


def _place(whitening):
    """The file to make (its folder is made now, while nothing is lost yet), or None."""
    if whitening["directory"] is None:
        return None
    source = os.path.basename(whitening["dataset_pkl"]).partition("-")[0]
    source = os.path.splitext(source)[0]
    folder = os.path.join(resolve_path(whitening["directory"]), "whitening")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, f"{whitening['type']}-{source}.pkl")


def _record_path(path):
    return os.path.splitext(path)[0] + ".json"


def _is_done(path, origin, source, section):
    """Whether a complete file of this network and these images is there.

    One without a record is trusted, and so is a record where the list is gone by now.
    """
    if not os.path.exists(path):
        return False
    try:
        read_whitening(path)
        with open(_record_path(path), encoding="utf-8") as file:
            record = json.load(file)
        if record.get("origin") != origin:
            return False
    except FileNotFoundError:
        return True
    except (DataError, ValueError):
        return False
    known = {record.get("learned_from"), _learned_from(source, section)} - {None}
    return len(known) < 2


def _learned_from(source, section):
    """A hash of a list and its images; None without the list."""
    source = _place_of_list(source)
    if source is None:
        return None
    images = input_paths(_read(source)[1], section)
    return files_fingerprint([source, *(path for paths in images for path in paths)])


def _place_of_list(source):
    """None where the list is not there any more."""
    with suppress(DataError):
        source = local_file(source)
    return source if os.path.exists(source) else None


def _store(path, result, record):
    """The record is there before what it tells of: a file without one would be trusted."""
    Path(path).unlink(missing_ok=True)
    write_bytes(_record_path(path), json.dumps(record).encode())
    write_bytes(path, dump_pickle(result))


def _tell(path, source, section):
    """What a file that is there was made from; one without a record is not the step's own."""
    if not os.path.exists(_record_path(path)):
        return
    produced(path)
    produced(_record_path(path))
    source = _place_of_list(source)
    if source is not None:
        tell_inputs(_read(source)[1], section)


def _learn(kind, vectors, pairs, shrink):
    """Metadata and ``{"m", "P"}`` from descriptors ``[N, D]`` and the rows of matching ones."""
    if vectors.size == 0:
        raise UserError("whitening: there are no descriptors to learn from")
    started, resources = time.time(), Resources()
    columns = np.asarray(vectors, dtype=np.float64).T
    if kind == "pca":
        total, (m, projection) = columns.shape[1], pcawhitenlearn(columns)
    else:
        total, (m, projection) = len(pairs[0]), whitenlearn(columns, *pairs, shrink)
    learned = {
        "stats": {"failed_times": 0, "vectors_used": 1.0, "vectors_total": total},
        "timings": {"whitening_learn": round(time.time() - started, 2)},
        "resource_usage": resources.usage(),
    }
    return learned, {"m": m, "P": projection}
