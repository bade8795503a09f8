"""The database of matching image pairs that embedding networks are fine-tuned on."""

import os
from dataclasses import dataclass
from functools import partial

from cirtorch.datasets.databases import load_database
from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_data_root
from mdir.artifacts import used, used_files
from mdir.data.image_lists import read_beside
from mdir.paths import local_file, resolve_path

_SHOWN = 5


@dataclass(frozen=True)
class TrainingDatabase:
    """Images and pairs of one split (published: retrieval-SfM).

    ``paths`` of the N images, ``cluster`` the 3-D model (or place) of each, ``qidxs``, ``pidxs``
    the image numbers of the pairs that show the same part of a model.
    """

    paths: list[str]
    cluster: list[int]
    qidxs: list[int]
    pidxs: list[int]


def default_pickle(dataset: str) -> str:
    """Where the pickle of a published data set lies; its images are in ``ims`` beside it.

    Raises:
        DataError: the name is not that of a retrieval-SfM data set.
    """
    if not dataset.startswith("retrieval-SfM"):
        raise DataError(
            f"dataset {dataset!r}: only retrieval-SfM-... has a place of its own; "
            "give the dataset_pkl of another one"
        )
    return os.path.join(get_data_root(), "train", dataset, f"{dataset}.pkl")


def load_training_database(
    dataset: str, split: str, dataset_pkl: str | None = None, image_dir: str | None = None
) -> TrainingDatabase:
    """Read a split and check that it is whole and that its images are there.

    Args:
        dataset: name, ``retrieval-SfM-...`` unless ``dataset_pkl`` is given.
        split: ``train`` or ``val``.
        dataset_pkl: pickle ``{split: {cids, cluster, qidxs, pidxs}}``, a path or URL.
        image_dir: folder of images laid out by cid, see
            :func:`cirtorch.datasets.datahelpers.cid2filename`; ``ims`` beside the pickle if null.

    Raises:
        DataError: a file is missing, or what is wrong with the database, naming the file.
    """
    path = local_file(dataset_pkl or default_pickle(dataset))
    used(path)
    folder = resolve_path(image_dir or os.path.join(os.path.dirname(path), "ims"))
    columns = read_beside(partial(load_database, path, split), path, folder)
    paths = [cid2filename(cid, folder) for cid in columns["cids"]]
    missing = [image for image in paths if not os.path.exists(image)]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(paths)} images of split {split!r} are missing: "
            + ", ".join(missing[:_SHOWN])
        )
    used_files(paths)
    return TrainingDatabase(paths, columns["cluster"], columns["qidxs"], columns["pidxs"])
