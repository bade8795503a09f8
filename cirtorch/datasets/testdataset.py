"""Test sets: Oxford, Paris, their revisited versions, Tokyo 24/7 queries."""

import os
import sys
from itertools import chain

import numpy as np

from cirtorch.utils.errors import DataError
from cirtorch.utils.safe_pickle import load_pickle

_LISTS = ("ok", "easy", "hard", "junk")
DATASETS = ["oxford5k", "paris6k", "roxford5k", "rparis6k", "247tokyo1k"]


def configdataset(dataset, dir_main):
    """Read the ground truth of a test set.

    Args:
        dataset: a name of :data:`DATASETS`, in any case.
        dir_main: folder of all test sets, ``<root>/data/test``.

    Returns:
        dict with ``imlist``, ``qimlist`` (names without extension), ``gnd`` (a dict per query:
        ``bbx`` and lists of database indices), ``n``, ``nq``, ``dataset``, ``gnd_fname``, ``ext``,
        ``qext``, ``dir_data``, ``dir_images``, and ``im_fname(cfg, i)``, ``qim_fname(cfg, i)``.

    Raises:
        ValueError: unknown name.
        DataError: the ground truth is absent or not one.
    """
    dataset = dataset.lower()
    if dataset not in DATASETS:
        raise ValueError(f"Unknown dataset: {dataset}! Known are {', '.join(DATASETS)}")
    folder = os.path.join(dir_main, dataset)
    gnd_fname = os.path.join(folder, f"gnd_{dataset}.pkl")
    cfg = _ground_truth(gnd_fname)
    return {
        **cfg,
        "gnd_fname": gnd_fname,
        "ext": ".jpg",
        "qext": ".jpg",
        "dir_data": folder,
        "dir_images": os.path.join(folder, "jpg"),
        "n": len(cfg["imlist"]),
        "nq": len(cfg["qimlist"]),
        "im_fname": config_imname,
        "qim_fname": config_qimname,
        "dataset": dataset,
    }


def _ground_truth(path):
    if not os.path.exists(path):
        raise DataError(f"{path}: the ground truth is absent; cirtorch.utils.download fetches it")
    cfg = load_pickle(path)
    missing = {"imlist", "qimlist", "gnd"} - set(cfg if isinstance(cfg, dict) else ())
    if missing:
        raise DataError(f"{path}: not a ground truth, it lacks {', '.join(sorted(missing))}")
    if len(cfg["gnd"]) != len(cfg["qimlist"]):
        raise DataError(
            f"{path}: {len(cfg['qimlist'])} queries but ground truth for {len(cfg['gnd'])}"
        )
    require_unique(path, cfg["imlist"])
    require_each_once(path, cfg["imlist"], cfg["qimlist"], cfg["gnd"])
    return cfg


def require_unique(source, images) -> None:
    """DataError where the database of ``source`` names an image twice."""
    if twice := _repeated(images):
        raise DataError(f"{source}: names the database image {twice!r} twice")


def require_each_once(source, images, queries, gnd) -> None:
    """Refuse what is named twice, which would be counted twice or against itself.

    An image stands once in all lists of a query together. A query that is in the database, but in
    none of its lists, would be its own wrong answer: that is told.

    Args:
        source: of the ground truth, for messages.
        images: identifiers of the database. queries: those of the queries; one may come again.
        gnd: a dict per query; ``ok``, ``easy``, ``hard``, ``junk`` hold database indices.

    Raises:
        DataError: naming the image, and the number of the query from 1.
    """
    places, alone = {image: place for place, image in enumerate(images)}, []
    for number, (query, truth) in enumerate(zip(queries, gnd, strict=True), 1):
        lists = {key: np.ravel(truth[key]).tolist() for key in _LISTS if truth.get(key) is not None}
        named = list(chain.from_iterable(lists.values()))
        twice = _repeated(named)
        if twice is not None:
            keys = " and ".join(key for key, ids in lists.items() if twice in ids)
            name = images[int(twice)] if 0 <= twice < len(images) else twice
            raise DataError(
                f"{source}: query {number}, {query!r}, has the image {name!r} twice in {keys}; "
                "each image stands in one of its lists, once"
            )
        if places.get(query) not in (None, *named):
            alone.append(query)
    if alone:
        print(
            f"Warning: {source}: {len(alone)} of {len(queries)} queries are in the database, but "
            "in none of their lists, and count as wrong answers to themselves, such as "
            f"{alone[0]!r}",
            file=sys.stderr,
        )


def _repeated(items):
    """The first that comes twice; None: all differ."""
    seen = set()
    return next((item for item in items if item in seen or seen.add(item)), None)


def config_imname(cfg, i):
    """Path of database image ``i``."""
    return os.path.join(cfg["dir_images"], cfg["imlist"][i] + cfg["ext"])


def config_qimname(cfg, i):
    """Path of query image ``i``."""
    return os.path.join(cfg["dir_images"], cfg["qimlist"][i] + cfg["qext"])


def query_boxes(cfg):
    """Boxes of the queries, None where a query is the whole image; None if all are."""
    boxes = [query.get("bbx") for query in cfg["gnd"]]
    boxes = [None if box is None or len(box) == 0 else tuple(box) for box in boxes]
    return boxes if any(box is not None for box in boxes) else None
