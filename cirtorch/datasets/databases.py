"""Pickles of images and matching pairs, which networks and whitenings are learned on."""

import os

import numpy as np

from cirtorch.utils.errors import DataError
from cirtorch.utils.safe_pickle import load_pickle


def load_database(path, split=None):
    """A training database, or a whitening list, checked.

    Args:
        path: pickle ``{split: columns}``, that of a whitening list with the columns alone.
        split: ``train`` or ``val``; None: a whitening list, which has no clusters.

    Returns:
        lists by name: ``cids`` of the N images, ``cluster`` of each, and the image numbers
        ``qidxs``, ``pidxs`` of the pairs.

    Raises:
        DataError: there is no such file, or what is wrong with it.
    """
    if not os.path.exists(path):
        raise DataError(f"{path}: there is no such database of image pairs")
    content, where = load_pickle(path), str(path)
    if split is not None:
        if not isinstance(content, dict) or split not in content:
            there = ", ".join(map(str, content)) if isinstance(content, dict) else "no mapping"
            raise DataError(f"{path}: has no split {split!r}; it holds {there}")
        content, where = content[split], f"{path}: split {split!r}"
    keys = ("cids", "qidxs", "pidxs") if split is None else ("cids", "cluster", "qidxs", "pidxs")
    missing = sorted(set(keys) - set(content if isinstance(content, dict) else ()))
    if missing:
        raise DataError(f"{where} has no {', '.join(missing)} (needed: {', '.join(keys)})")
    kinds = {key: str if key == "cids" else np.int64 for key in keys}
    try:
        columns = {key: np.ravel(content[key]).astype(kind).tolist() for key, kind in kinds.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: cids are texts, all others whole numbers ({error})") from None
    _check_columns(columns, where)
    return columns


def _check_columns(columns, where):
    images, pairs = len(columns["cids"]), len(columns["qidxs"])
    if not images or ("cluster" in columns and not pairs):
        raise DataError(f"{where} is empty: {images} images, {pairs} pairs")
    if len(columns.get("cluster", columns["cids"])) != images or len(columns["pidxs"]) != pairs:
        raise DataError(f"{where} has columns of different lengths")
    for key in ("qidxs", "pidxs"):
        outside = [index for index in columns[key] if not 0 <= index < images]
        if outside:
            raise DataError(f"{where}: {key} names image {outside[0]} of {images}")
