"""Test sets: Oxford, Paris, their revisited versions, Tokyo 24/7 queries."""

import os

from cirtorch.utils.errors import DataError
from cirtorch.utils.safe_pickle import load_pickle

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
    return cfg


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
