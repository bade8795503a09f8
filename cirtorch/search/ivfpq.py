"""Inverted lists of product-quantised rows by FAISS: a few candidates out of millions of rows.

Rows are rotated (OPQ), belong to the list of their nearest centroid (IVF), and are kept as some
bytes each (PQ): Jégou, Douze and Schmid, TPAMI 2011; Ge et al., CVPR 2013. The lists are
memory-mapped. A file is read only if its digest is that of when it was written: FAISS trusts what
it reads. Which candidates are the best is decided by the rows themselves, see
:mod:`cirtorch.search.index`.
"""

from pathlib import Path

import numpy as np

from cirtorch.search.shards import gather_rows, row_blocks
from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.files import atomic_write
from cirtorch.utils.general import sha256_hash

_CENTROIDS = 256  # of a byte
_ROWS_A_CENTROID, _MOST_ROWS_A_CENTROID = 39, 64  # fewer make FAISS warn
FEWEST = _ROWS_A_CENTROID * _CENTROIDS  # rows that a quantizer is trained on
_ROWS_AT_ONCE = 1 << 15
_SEED = 0


def load_faiss():
    """FAISS, or a DataError that says what to install."""
    try:
        import faiss
    except ImportError:
        raise DataError(
            "search: the engine 'ivfpq' needs the package faiss-cpu; the engine 'exact' needs "
            "nothing"
        ) from None
    return faiss


def split(ids):
    """Rows to train on and other rows to measure recall on, both int64 and ascending."""
    order = np.random.RandomState(_SEED).permutation(ids)
    held_out = min(1000, len(ids) // 20)
    most = max(_MOST_ROWS_A_CENTROID * _wished_lists(len(ids)), FEWEST)
    return np.sort(order[held_out : held_out + most]), np.sort(order[:held_out])


def _wished_lists(rows):
    """A power of two near four times the root."""
    return 2 ** round(np.log2(4 * np.sqrt(max(rows, 1))))


def train(rows, ids, code_bytes: int, count: int):
    """A trained FAISS index without rows.

    Args:
        rows: ``[N, D]``, see :func:`~cirtorch.search.shards.row_blocks`.
        ids: rows to train on, int64 ``[n]``.
        code_bytes: of a row; less where D is smaller.
        count: rows that it is for.
    """
    faiss = load_faiss()
    dimensions = rows.shape[1]
    code_bytes = 2 ** int(np.log2(min(code_bytes, dimensions)))
    rotated = -(-dimensions // code_bytes) * code_bytes
    most = 2 ** int(np.log2(len(ids) / _ROWS_A_CENTROID))
    lists = min(_wished_lists(count), most)
    index = faiss.index_factory(
        dimensions,
        f"OPQ{code_bytes}_{rotated},IVF{lists},PQ{code_bytes}x8",
        faiss.METRIC_INNER_PRODUCT,
    )
    ivf = faiss.downcast_index(faiss.extract_index_ivf(index))
    rotation = faiss.downcast_VectorTransform(index.chain.at(0))
    quantizer = ivf.pq.cp
    # The rotation and the bytes hardly gain from more, and would take most of the build.
    rotation.max_train_points = _MOST_ROWS_A_CENTROID * _CENTROIDS
    rotation.niter, rotation.niter_pq, rotation.niter_pq_0 = 4, 2, 6
    quantizer.max_points_per_centroid, quantizer.niter = _MOST_ROWS_A_CENTROID, 10
    ivf.cp.max_points_per_centroid = _MOST_ROWS_A_CENTROID
    index.train(gather_rows(rows, ids))
    return index


def encoded(folder, trained: dict, rows, first: int):
    """A copy of a trained index that holds rows ``[n, D]`` with the ids from ``first``."""
    index = read(folder, trained)
    for start, block in row_blocks(rows, _ROWS_AT_ONCE):
        ids = np.arange(first + start, first + start + len(block))
        index.add_with_ids(block.numpy(), ids)
    return index


def written(folder, name: str, index) -> dict:
    """Write a FAISS index: its ``file`` with ``bytes`` and ``sha256``."""
    faiss = load_faiss()
    with atomic_write(Path(folder) / name) as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
    return digest(folder, name)


def digest(folder, name: str) -> dict:
    """``file``, ``bytes`` and ``sha256`` of a file."""
    path = Path(folder) / name
    return {"file": name, "bytes": path.stat().st_size, "sha256": sha256_hash(path, length=None)}


def read(folder, told: dict, mapped=False):
    """A FAISS index as :func:`written` told of it; ``mapped``: its lists stay on the disk.

    Raises:
        DamagedFile: the file is gone, cut short or changed.
    """
    faiss, path = load_faiss(), Path(folder) / told["file"]
    if not path.is_file() or not digest(folder, told["file"]).items() <= told.items():
        raise DamagedFile(
            f"{path}: is gone or not what was written; remove the folder of the index and perform "
            "its step again"
        )
    flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if mapped else 0
    return faiss.read_index(str(path), flags)


class Lists:
    """Opened inverted lists that hold the rows with ids below ``rows``.

    Args:
        folder: of the files.
        trained: what :func:`written` told of the index without rows.
        parts: the same of those with rows, whose number is ``rows``.
    """

    def __init__(self, folder, trained: dict, parts: list[dict]):
        faiss = load_faiss()
        self.told, self.rows = (trained, parts), sum(part["rows"] for part in parts)
        self.index = read(folder, trained)
        self._parts = [read(folder, part, mapped=True) for part in parts]  # they own their lists
        vector = faiss.InvertedListsPtrVector()
        for part in self._parts:
            vector.push_back(faiss.extract_index_ivf(part).invlists)
        self._all = faiss.HStackInvertedLists(vector.size(), vector.data())
        ivf = faiss.extract_index_ivf(self.index)
        ivf.replace_invlists(self._all)
        self.index.ntotal = ivf.ntotal = self.rows
        self.count = ivf.nlist

    def candidates(self, queries, count: int, probes: int, allowed=None) -> np.ndarray:
        """Ids int64 ``[Q, count]`` of rows that may be the best, the most likely first; -1: none.

        Args:
            queries: float32 ``[Q, D]``. probes: lists that are looked at.
            allowed: ids int64 that may be found; None: all.
        """
        faiss = load_faiss()
        options = {"nprobe": min(probes, self.count)}
        if allowed is not None:
            mask = np.zeros(self.rows, bool)
            mask[allowed[allowed < self.rows]] = True
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        inner = faiss.SearchParametersIVF(**options)
        params = faiss.SearchParametersPreTransform(index_params=inner)
        # What pytorch-metric-learning imports of faiss puts a method without params in the place.
        search = getattr(self.index, "search_numpy", self.index.search)
        _, found = search(queries, count, params=params)
        return np.where(found < self.rows, found, -1)  # damaged lists make no row up
