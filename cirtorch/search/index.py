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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cirtorch.search.catalogue import Catalogue
from cirtorch.search.exact import Search, longest_row, require_queries, rescored
from cirtorch.search.ivfpq import Lists
from cirtorch.search.payload import checked_payload, parse_filter
from cirtorch.search.shards import SelectedRows, ShardedRows, map_rows
from cirtorch.search.tuning import K
from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.fingerprints import differences, fingerprint

ENGINES = ("exact", "ivfpq", "qdrant")
_OWN = "added-{:09d}.f32"
_FORMAT = 1
_EXACT_BELOW = 10_000  # rows that are compared as fast as lists are looked at


@dataclass(frozen=True)
class About:
    """What an index is.

    ``network``: fingerprint of the network with its wrappers, whitening among them;
    ``preprocessing``: how images were read (``image_size``, ``transforms``, ``upright``; {}: not
    told); ``details``: of the engine, such as the recall that was reached.
    """

    engine: str
    network: str
    preprocessing: dict
    dimensions: int
    images: int
    details: dict


def open_index(folder, device="cpu"):
    """The index of a folder.

    Args:
        device: where the engine ``exact`` computes.

    Raises:
        DataError: there is none, its building was stopped, or a file of rows is gone or changed.
    """
    catalogue = Catalogue(folder)
    if not catalogue.get("finished"):
        raise DataError(f"{folder}: the building of this index was stopped; perform its step again")
    return Index(folder, catalogue, device)


class Index:
    """The engines ``exact`` and ``ivfpq``; for one that stands, see :func:`open_index`."""

    def __init__(self, folder, catalogue, device="cpu"):
        self.folder, self.catalogue, self.device = Path(folder), catalogue, device
        if catalogue.get("format") != _FORMAT:
            raise DataError(f"{folder}: is an index of another version; make it again")
        self._opened, self._lock = None, threading.Lock()

    @classmethod
    def create(cls, folder, *, network, preprocessing, dimensions, engine="exact", device="cpu"):
        """A new, empty index, or the one that was begun there with the same arguments.

        Raises:
            DataError: the folder holds an index of another network, preprocessing or dimensions.
        """
        catalogue = Catalogue(folder, create=True)
        with catalogue.writing():
            if catalogue.get("format") is None:
                catalogue.put(
                    format=_FORMAT,
                    engine=engine,
                    network=network,
                    preprocessing=preprocessing,
                    dimensions=dimensions,
                    finished=False,
                    longest=0.0,
                )
        index = cls(folder, catalogue, device)
        index.require(network, preprocessing, dimensions)
        return index

    def __len__(self):
        return self.catalogue.count()

    @property
    def about(self) -> About:
        get = self.catalogue.get
        return About(
            engine=get("engine"),
            network=get("network"),
            preprocessing=get("preprocessing"),
            dimensions=get("dimensions"),
            images=len(self),
            details=get("details", {}),
        )

    def require(self, network, preprocessing=None, dimensions=None):
        """Refuse descriptors that cannot be compared with those of the index.

        Args:
            network: fingerprint. preprocessing, dimensions: None: not compared.

        Raises:
            DataError: what differs.
        """
        about = self.about
        if network != about.network:
            raise DataError(
                f"{self.folder}: this index is of another network, or of the same with another "
                "whitening or other wrappers; its descriptors cannot be compared with these. Make "
                "another index, in a folder of its own, or take the network that made this one"
            )
        for key, value in (preprocessing or {}).items():
            if key in about.preprocessing and about.preprocessing[key] != value:
                raise DataError(
                    f"{self.folder}: the images of this index were read with {key} "
                    f"{about.preprocessing[key]!r}, these with {value!r}"
                )
        if dimensions not in (None, about.dimensions):
            raise DataError(
                f"{self.folder}: this index has descriptors of {about.dimensions} dimensions, "
                f"these have {dimensions}"
            )

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
        if not len(self):
            raise DataError(f"{self.folder}: this index is empty; nothing can be found in it")
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
        rows = np.ascontiguousarray(descriptors, dtype=np.float32)
        payloads = [checked_payload(payload) for payload in payloads]
        if rows.ndim != 2 or len(rows) != len(payloads):
            raise DataError(f"index: {len(payloads)} images for descriptors {list(rows.shape)}")
        self.require(self.catalogue.get("network"), dimensions=rows.shape[1])
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
        place = os.path.relpath(os.path.abspath(path), os.path.abspath(self.folder))
        seen = json.dumps(fingerprint(os.path.abspath(path)))
        with self.catalogue.writing():
            first = self.catalogue.rows()
            self._note_longest(rows)
            self.catalogue.put_images(first, map(checked_payload, payloads))
            self.catalogue.put_part(first, len(rows), place, source, seen)

    def added(self) -> int:
        """How many rows were added by ``add``, of removed images too."""
        return sum(part.rows for part in self.catalogue.parts() if part.fingerprint is None)

    def path_of(self, part) -> str:
        """The absolute path of a file of rows."""
        return os.path.abspath(self.folder / part.file)

    def remove(self, ids) -> int:
        """Take images out; how many of them were there. Their ids are not given again."""
        with self.catalogue.writing():
            return self.catalogue.remove(ids)

    def finish(self):
        """All images of the build are there: the index can be opened."""
        with self.catalogue.writing():
            self.catalogue.put(finished=True)

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
