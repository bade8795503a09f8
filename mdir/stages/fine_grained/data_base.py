"""Databases of features that trainings of UnifiedProxy and ours leave: ``NAME_data_base.pth``."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite
from mdir.data.image_lists import listed
from mdir.errors import UserError
from mdir.losses.proxy_cosines import require_labels
from mdir.networks.files import read_weights
from mdir.paths import resolve_path


@dataclass
class Rows:
    """Features ``[N, D]`` float32, and the number of the class of each."""

    features: torch.Tensor
    labels: list[int]


@dataclass
class DataBase:
    """What a database holds.

    Attributes:
        images: names of the test images. test: what they look like.
        train: features of the images as they were trained on; None: it tells none.
        proxies: a unit row ``[C, D]`` for each class of the training; None likewise.
        upright: the images were turned as their EXIF says.
    """

    path: str
    images: list[str]
    test: Rows
    train: Rows | None
    proxies: torch.Tensor | None
    upright: bool


def read_data_base(path: str) -> DataBase:
    """The database of that path, by a scenario's rules.

    Raises:
        DataError: there is none, or it holds something else.
    """
    content = read_weights(path)
    try:
        images, test = list(content["test_images"]), _rows(content, "test")
        if not all(isinstance(name, str) for name in images):
            raise TypeError("names of images are texts")
        if len(images) != len(test.labels):
            raise TypeError(f"{len(images)} images, {len(test.labels)} labels")
        known = "train_features" in content
        train = _rows(content, "train") if known else None
        proxies = content["train_proxies"].float() if known else None
        widths = [one.shape[1:] for one in (train.features, proxies)] if known else []
        if any(width != test.features.shape[1:] for width in widths):
            raise TypeError("train_features and train_proxies are not as wide as test_features")
        if known and train.labels:
            require_labels(torch.tensor(train.labels), len(proxies))
    except (LookupError, TypeError, ValueError, AttributeError, UserError) as error:
        raise DataError(
            f"{path}: is no database of UnifiedProxy, a dict of test_images, test_labels and "
            f"test_features ({error})"
        ) from error
    require_finite(test.features, images, path)
    if known:
        require_finite(train.features, None, f"{path}, train_features")
        require_finite(proxies, None, f"{path}, train_proxies")
    return DataBase(path, images, test, train, proxies, content.get("upright") is True)


def _rows(content, split):
    features, labels = content[f"{split}_features"].float(), list(content[f"{split}_labels"])
    if features.dim() != 2 or len(features) != len(labels):
        raise TypeError(f"{len(labels)} {split}_labels, {split}_features {[*features.shape]}")
    return Rows(features, [int(label) for label in labels])


def local_place(name: str, data_path: str) -> Path | None:
    """The file of that name, else that of its longest end below ``data_path``, else None."""
    own, root = re.split(r"[/\\]", name), Path(resolve_path(data_path))
    ends = (root.joinpath(*own[first:]) for first in range(len(own)) if own[first])
    return next((path for path in (Path(resolve_path(name)), *ends) if path.is_file()), None)


def local_places(names: list[str], data_path: str) -> list[Path]:
    """As :func:`local_place`; UserError for names of no file."""
    places = [local_place(name, data_path) for name in names]
    absent = [name for name, place in zip(names, places, strict=True) if place is None]
    if absent:
        raise UserError(
            f"{len(absent)} images of the database are not there, neither under their names nor by "
            f"an end of them below {resolve_path(data_path)} (data_path):{listed(absent)}"
        )
    return places
