"""An index on disk over the rows of many files: searched with filters, added to, removed from.

    index = open_index(folder)
    ids, scores = index.search(descriptors, k=10, where={"condition": {"not": "night"}})
    index.payload(ids[0])

The id of an image is its place in the order of adding; it is never given again. Rows of extractions
stay in their own files, which must not change; those that are added later lie in the folder.
"""

import json
import math
import os
import threading

import numpy as np

from cirtorch.search.catalogue import FILE, Catalogue
from cirtorch.search.exact import Search, longest_row, require_queries, rescored
from cirtorch.search.folder import IndexFolder
from cirtorch.search.ivfpq import Lists
from cirtorch.search.payload import checked_payload, parse_filter
from cirtorch.search.qdrant import QdrantIndex
from cirtorch.search.shards import SelectedRows, ShardedRows, map_rows
from cirtorch.search.tuning import K
from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.fingerprints import differences

_OWN = "added-{:09d}.f32"
_EXACT_BELOW = 10_000  # rows that are compared as fast as lists are looked at


def kind_of(engine: str):
    """The class of an engine: ``exact``, ``ivfpq`` or ``qdrant``."""
    return QdrantIndex if engine == "qdrant" else Index


def open_index(folder, device="cpu", finished=True):
    """The index of a folder.

    Args:
        device: where the engine ``exact`` computes.
        finished: False opens one whose building was stopped as well.

    Raises:
        DataError: there is none, its building was stopped, or a file of rows is gone or changed.
    """
    catalogue = Catalogue(folder)
    if finished and not catalogue.get("finished"):
        raise DataError(f"{folder}: the building of this index was stopped; perform its step again")
    return kind_of(catalogue.get("engine"))(folder, catalogue, device)


class Index(IndexFolder):
    """The engines ``exact`` and ``ivfpq``; for one that stands, see :func:`open_index`."""

    def __init__(self, folder, catalogue, device="cpu"):
        super().__init__(folder, catalogue, device)
        self._opened, self._lock = None, threading.Lock()

    def __len__(self):
        return self.catalogue.count()

    def search(self, descriptors, k: int, where: dict | None = None):
        """The images whose descriptors have the largest inner products with each query.

        Args:
            descriptors: float array ``[n, D]``.
            k: images for each; fewer where fewer meet the filter.
            where: filter, see :mod:`cirtorch.search.payload`.

        Returns:
            ids int64 and scores float32 ``[n, k]``, the largest score first, of equal ones the
            lower id.

        Raises:
            DataError: the index is empty, other dimensions, NaN or infinity in a query, or a filter
                of another form.
        """
        self.require_images()
        allowed = self.catalogue.allowed(parse_filter(where))
        opened = self._open()  # later, so that it has all rows that are allowed
        descriptors = np.ascontiguousarray(descriptors, dtype=np.float32)
        require_queries(descriptors, opened.rows.shape[1])
        k = min(k, len(allowed))
        if opened.lists is not None and len(allowed) > _EXACT_BELOW and k:
            return self._approximate(opened, descriptors, k, allowed)
        scores, found = self._exact(opened, allowed).search(descriptors, k)
        return allowed[found], scores

    def _exact(self, opened, allowed):
        everything = len(allowed) == len(opened.rows)
        rows = opened.rows if everything else SelectedRows(opened.rows, allowed)
        return Search(rows, device=self.device, longest=opened.longest)

    def _approximate(self, opened, queries, k, allowed):
        """As by ``_exact``, of candidates: those of the lists and the best of the rows behind."""
        lists, effort, share = opened.lists, opened.effort, len(allowed) / len(opened.rows)
        ids, scores = np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k), np.float32)
        candidates = lists.candidates(
            queries,
            min(math.ceil(effort["candidates"] * max(k / K, 1)), lists.rows),
            math.ceil(effort["probes"] / share),
            None if share == 1 else allowed,
        )
        behind = allowed[np.searchsorted(allowed, lists.rows) :]
        if len(behind):
            _, best = self._exact(opened, behind).search(queries, k)
            candidates = np.concatenate([candidates, behind[best]], axis=1)
        for number, (query, found) in enumerate(zip(queries, candidates, strict=True)):
            found = found[found >= 0]
            if len(found) < k:  # the lists that were looked at hold too few that are allowed
                best, found = self._exact(opened, allowed).search(query[None], k)
                ids[number], scores[number] = allowed[found[0]], best[0]
            else:
                best, found = rescored(opened.rows, query, found)
                ids[number], scores[number] = found[:k], best[:k]
        return ids, scores

    def live(self):
        """Ids int64, ascending, of the images that there are, and the opened files."""
        live = self.catalogue.allowed(())
        return live, self._open()

    def payload(self, ids) -> list[dict | None]:
        """``path``, ``condition``, ``place``, ``date``, ``latitude`` and ``longitude`` of images.

        Columns that are not told are None; so is the whole of an id that there is not.
        """
        return self.catalogue.payload(ids)

    def find(self, path: str) -> int | None:
        """The id of an image by its path."""
        return self.catalogue.find(path)

    def values(self, column: str) -> list:
        """What the images tell in a column, each value once, sorted; for a choice of filters."""
        return self.catalogue.values(column)

    def rows_of(self, ids) -> np.ndarray:
        """Descriptors ``[n, D]`` float32 of images, to search with them."""
        return self._open().rows.take(np.asarray(ids, dtype=np.int64))

    def add(self, descriptors, payloads: list[dict]) -> np.ndarray:
        """Add images; all of them or, where this raises, none.

        Args:
            descriptors: float array ``[n, D]``, of the network of the index (see ``require``).
            payloads: of each image, ``path`` at least.

        Returns:
            ids int64 ``[n]``.
        """
        rows, payloads = self.checked(descriptors, payloads)
        with self.catalogue.writing():
            first = self.catalogue.rows()
            if len(rows):
                self._note_longest(rows)
                self.catalogue.put_images(first, payloads)
                self._append(first, rows)
        return np.arange(first, first + len(rows))

    def add_file(self, path, source, payloads: list[dict]):
        """Add the rows of a ``.npy`` file, which stays where it is and must not change.

        Args:
            source: what the rows come from, such as the folder of an extraction.
        """
        rows = map_rows(path)
        self.require(self.catalogue.get("network"), dimensions=rows.shape[1])
        place, seen = self.told_of(path)
        with self.catalogue.writing():
            first = self.catalogue.rows()
            self._note_longest(rows)
            self.catalogue.put_images(first, map(checked_payload, payloads))
            self.catalogue.put_part(first, len(rows), place, source, seen)

    def remove(self, ids) -> int:
        """Take images out; how many of them were there. Their ids are not given again."""
        with self.catalogue.writing():
            return self.catalogue.remove(ids)

    def paths(self):
        """Yield ``(id, path)`` of all images in the order of ids."""
        return self.catalogue.paths()

    def close(self):
        """Close the files; what was opened is not used any more."""
        self.catalogue.close()

    def drop(self):
        """Remove the index. Files of rows that were only referred to stay."""
        self.close()
        for pattern in (FILE, "added-*.f32", "ivfpq-*.faiss"):
            for path in self.folder.glob(pattern):
                path.unlink()

    def _note_longest(self, rows):
        self.catalogue.put(longest=max(self.catalogue.get("longest"), longest_row(rows)))

    def _append(self, first, rows):
        """Write rows behind those of the last file, if it is one of ours.

        What a process left there that was killed before it said so is overwritten.
        """
        parts = self.catalogue.parts()
        start, count, name = first, 0, _OWN.format(first)
        if parts and parts[-1].fingerprint is None:
            start, count, name = parts[-1][:3]
        path = self.folder / name
        with open(path, "r+b" if path.exists() else "xb") as file:
            file.seek(count * rows.shape[1] * rows.itemsize)
            file.truncate()
            file.write(rows.tobytes())
            file.flush()
            os.fsync(file.fileno())
        self.catalogue.put_part(start, count + len(rows), name)

    def _open(self):
        """The files as they are now: opened again once anybody has changed the index."""
        with self._lock:
            version = self.catalogue.version()
            if self._opened is None or self._opened.version != version:
                self._opened = _Opened(self, version, self._opened)
            return self._opened


class _Opened:
    """The files of an index at one moment. ``before``: what was opened and checked, or None."""

    def __init__(self, index, version, before):
        get = index.catalogue.get
        self.version, self.longest = version, get("longest")
        known, self.arrays = before.arrays if before else {}, {}
        for part in index.catalogue.parts():
            key = part.first, part.rows
            if key in known:
                self.arrays[key] = known[key]
            else:
                self.arrays[key] = _map(index, part, get("dimensions"))
        empty = np.zeros((0, get("dimensions")), np.float32)
        self.rows = ShardedRows([*self.arrays.values()] or [empty])
        self.effort, self.lists = get("effort"), before and before.lists
        if self.effort is None:
            self.lists = None
        elif self.lists is None or self.lists.told != (get("trained"), get("encoded")):
            self.lists = Lists(index.folder, get("trained"), get("encoded"))


def _map(index, part, dimensions):
    """The rows of a part, memory-mapped, if its file is what the index was made of."""
    path = index.path_of(part)
    if part.fingerprint is None:
        size = part.rows * dimensions * np.dtype(np.float32).itemsize
        if not os.path.exists(path) or os.path.getsize(path) < size:
            raise DamagedFile(f"{path}: is gone or cut short; the index needs {size} bytes of it")
        return np.memmap(path, np.float32, "r", shape=(part.rows, dimensions))
    if changes := differences(path, json.loads(part.fingerprint)):
        raise DataError(
            f"{index.folder}: a file that this index was made of is not what it was "
            f"({changes[0]}); perform the steps extract and index again"
        )
    return map_rows(path)
