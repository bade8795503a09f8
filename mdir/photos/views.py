"""Crops and warps of photographs: training pairs that no label tells."""

import itertools
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

from cirtorch.utils.files import atomic_write
from mdir.data.image_files import open_image
from mdir.data.samplers import sample_seed, seeded


def write_views(
    paths: Sequence[str], directory: Path, transform: Callable, count: int, seed: int
) -> dict[str, list]:
    """Write ``count`` views of each photograph and pair those of one photograph.

    * ``IMAGE_VIEW.png``: views by numbers;
    * ``views.pkl``: the database of tuples (for CirTuples; only a ``train`` part). A cluster is one
      photograph, since nothing tells which others show its place.

    Args:
        transform: PIL image -> PIL image; its random numbers depend on ``seed`` and the numbers of
            photograph and view alone.

    Returns:
        The database: ``cids`` (absolute paths), ``cluster``, ``qidxs``, ``pidxs``.
    """
    cids = [
        str(_write(path, directory / f"{image:05d}_{view}.png", transform, (seed, view, image)))
        for image, path in enumerate(paths)
        for view in range(count)
    ]
    pairs = [
        (image * count + query, image * count + positive)
        for image in range(len(paths))
        for query, positive in itertools.permutations(range(count), 2)
    ]
    database = {
        "cids": cids,
        "cluster": [number // count for number in range(len(cids))],
        "qidxs": [query for query, _ in pairs],
        "pidxs": [positive for _, positive in pairs],
    }
    with atomic_write(directory / "views.pkl") as file:
        pickle.dump({"train": database}, file)
    return database


def _write(path, target, transform, numbers):
    with seeded(sample_seed(*numbers)):
        view = transform(open_image(path))
    with atomic_write(target) as file:
        view.save(file, "PNG")
    return target
