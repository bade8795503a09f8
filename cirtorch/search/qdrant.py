"""An index whose images lie in a Qdrant collection: on a server, or in this process.

The folder keeps what the index is and how far it was filled, no descriptors. A server is named by
its URL; its API key comes from the environment (``QDRANT_API_KEY``). Scores are the server's; of
equal ones the lower id comes first.
"""

import fcntl
import os
import threading
import uuid
from contextlib import contextmanager, nullcontext

import numpy as np

from cirtorch.search.catalogue import FILE
from cirtorch.search.exact import longest_row, require_queries
from cirtorch.search.folder import IndexFolder
from cirtorch.search.payload import checked_payload, parse_filter, require_column
from cirtorch.search.shards import map_rows
from cirtorch.utils.errors import DataError

_POINTS_AT_ONCE = 1000
_QUERIES_AT_ONCE = 64
_SPARE = 32  # beyond k, so that equal scores come in the order of ids
_KEY = "QDRANT_API_KEY"
_INDEXED = {
    "path": "keyword",
    "condition": "keyword",
    "place": "keyword",
    "date": "datetime",
    "latitude": "float",
    "longitude": "float",
}


class QdrantIndex(IndexFolder):
    """As :class:`cirtorch.search.index.Index`, of the engine ``qdrant``.

    ``url`` of the server and name of the ``collection`` are in the catalogue; without a URL the
    collection lies in the folder, open in one process at a time, for tries.
    """

    def __init__(self, folder, catalogue, device="cpu"):
        super().__init__(folder, catalogue, device)
        url = catalogue.get("url")
        self._client, self._models, self._failures = _connect(self.folder, url)
        # What Qdrant keeps in this process is not to be asked while it changes.
        self._turn = nullcontext() if url else threading.RLock()
        self._name = catalogue.get("collection")
        if self._name is None:
            self._name = f"mdir-{uuid.uuid4().hex}"
            self._put(collection=self._name, details={"collection": self._name})
        with self._told():
            if not self._client.collection_exists(self._name):
                self._make()

    def _make(self):
        if self.catalogue.rows():
            raise DataError(
                f"{self.folder}: its collection {self._name} is gone from Qdrant; remove the "
                "folder and make the index anew"
            )
        models = self._models
        vectors = models.VectorParams(
            size=self.catalogue.get("dimensions"), distance=models.Distance.DOT, on_disk=True
        )
        self._client.create_collection(self._name, vectors_config=vectors)
        if self.catalogue.get("url"):
            for column, kind in _INDEXED.items():
                self._client.create_payload_index(
                    self._name, column, models.PayloadSchemaType(kind)
                )

    def close(self):
        """Let another process have a collection that lies in the folder."""
        self._client.close()
        self.catalogue.close()

    def __len__(self):
        with self._told():
            there = self._filter(())
            return self._client.count(self._name, count_filter=there, exact=True).count

    def search(self, descriptors, k: int, where: dict | None = None):
        """See :meth:`cirtorch.search.index.Index.search`."""
        queries = np.ascontiguousarray(descriptors, dtype=np.float32)
        require_queries(queries, self.catalogue.get("dimensions"))
        self.require_images()
        chosen = self._filter(parse_filter(where))
        with self._told():
            there = self._client.count(self._name, count_filter=chosen, exact=True).count
            k = min(k, there)
            ids, scores = np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k), "f4")
            for start in range(0, len(queries) if k else 0, _QUERIES_AT_ONCE):
                part = slice(start, start + _QUERIES_AT_ONCE)
                for number, found in enumerate(self._found(queries[part], k, chosen), start):
                    ids[number], scores[number] = found
        return ids, scores

    def _found(self, queries, k, chosen):
        """Ids and scores ``[k]`` for each query."""
        for exact in (False, True):
            asked = [
                self._models.QueryRequest(
                    query=query.tolist(),
                    limit=k + _SPARE,
                    filter=chosen,
                    params=self._models.SearchParams(exact=True) if exact else None,
                )
                for query in queries
            ]
            answers = self._client.query_batch_points(self._name, asked)
            if all(len(answer.points) >= k for answer in answers):
                break
        else:
            raise DataError(f"{self.folder}: it changed while it was searched; search again")
        for answer in answers:
            best = sorted(answer.points, key=lambda point: (-point.score, point.id))[:k]
            yield [point.id for point in best], [point.score for point in best]

    def payload(self, ids) -> list[dict | None]:
        """See :meth:`cirtorch.search.index.Index.payload`."""
        with self._told():
            points = self._client.retrieve(self._name, [int(i) for i in ids], with_payload=True)
        known = {point.id: checked_payload(point.payload) for point in points}
        return [known.get(int(number)) for number in ids]

    def rows_of(self, ids) -> np.ndarray:
        """See :meth:`cirtorch.search.index.Index.rows_of`."""
        with self._told():
            points = self._client.retrieve(self._name, [int(i) for i in ids], with_vectors=True)
        known = {point.id: point.vector for point in points}
        return np.array([known[int(number)] for number in ids], dtype=np.float32)

    def find(self, path: str) -> int | None:
        """See :meth:`cirtorch.search.index.Index.find`."""
        return next((number for number, _ in self._scroll({"path": path})), None)

    def values(self, column: str) -> list:
        """See :meth:`cirtorch.search.index.Index.values`."""
        require_column(column)
        return sorted({told[column] for _, told in self._scroll(None) if told[column] is not None})

    def paths(self):
        """See :meth:`cirtorch.search.index.Index.paths`."""
        for number, told in self._scroll(None):
            yield number, told["path"]

    def _scroll(self, where):
        chosen, offset = self._filter(parse_filter(where)), None
        while True:
            with self._told():
                points, offset = self._client.scroll(
                    self._name, chosen, limit=_POINTS_AT_ONCE, offset=offset, with_payload=True
                )
            yield from ((point.id, checked_payload(point.payload)) for point in points)
            if offset is None:
                return

    def add(self, descriptors, payloads: list[dict]) -> np.ndarray:
        """See :meth:`cirtorch.search.index.Index.add`."""
        rows, payloads = self.checked(descriptors, payloads)
        first = self._upload(rows, payloads, None)
        return np.arange(first, first + len(rows))

    def add_file(self, path, source, payloads: list[dict]):
        """Send the rows of a ``.npy`` file; where that was stopped, go on from its last batch."""
        rows = map_rows(path)
        self.require(self.catalogue.get("network"), dimensions=rows.shape[1])
        longest_row(rows)
        self._upload(rows, [*map(checked_payload, payloads)], (*self.told_of(path), source))

    def _upload(self, rows, payloads, file):
        """Send rows by batches; the first id. ``file``: path, fingerprint and source, or None."""
        with self._alone():
            first, count = self.catalogue.rows(), len(rows)
            pending = {"file": file and file[:2], "first": first, "count": count, "sent": 0}
            before = self.catalogue.get("pending")
            if before and file and before["file"] == list(file[:2]):
                pending["sent"] = before["sent"]
            elif before:
                self._delete(range(before["first"], before["first"] + before["count"]))
            self._put(pending=pending)
            try:
                for start in range(pending["sent"], count, _POINTS_AT_ONCE):
                    part = slice(start, start + _POINTS_AT_ONCE)
                    self._send(first + start, rows[part], payloads[part])
                    self._put(pending=pending | {"sent": min(start + _POINTS_AT_ONCE, count)})
            except DataError:
                if file is None:
                    self._delete(range(first, first + count))
                    self._put(pending=None)
                raise
            with self.catalogue.writing():
                path, seen, source = file or ("", None, None)
                if count:
                    self.catalogue.put_part(first, count, path, source, seen)
                self.catalogue.put(pending=None)
        return first

    def _send(self, first, rows, payloads):
        self._require_new([payload["path"] for payload in payloads], first)
        points = self._models.Batch(
            ids=list(range(first, first + len(rows))),
            vectors=np.asarray(rows, np.float32).tolist(),
            payloads=[{k: v for k, v in told.items() if v is not None} for told in payloads],
        )
        with self._told():
            self._client.upsert(self._name, points, wait=True)

    def _require_new(self, paths, first):
        """Refuse paths that are there or come twice; those from ``first`` on are sent again."""
        for path in paths:
            try:
                path.encode()
            except UnicodeEncodeError:
                raise DataError(
                    f"index: Qdrant takes no path that is not UTF-8: {path!a}"
                ) from None
        match = self._models.FieldCondition(key="path", match=self._models.MatchAny(any=paths))
        with self._told():
            points, _ = self._client.scroll(
                self._name, self._models.Filter(must=[match]), limit=len(paths) + len(paths)
            )
        known = [point.payload["path"] for point in points if point.id < first]
        twice = (
            {path for path in paths if paths.count(path) > 1}
            if len(set(paths)) < len(paths)
            else ()
        )
        for path in [*known, *twice]:
            raise DataError(f"index: holds {path} already; remove it first to describe it anew")

    def remove(self, ids) -> int:
        """See :meth:`cirtorch.search.index.Index.remove`."""
        ids = sorted({int(number) for number in ids})
        there = [number for number, told in zip(ids, self.payload(ids), strict=True) if told]
        self._delete(there)
        return len(there)

    def _delete(self, ids):
        ids = list(ids)
        with self._told():
            for start in range(0, len(ids), _POINTS_AT_ONCE):
                chosen = self._models.PointIdsList(points=ids[start : start + _POINTS_AT_ONCE])
                self._client.delete(self._name, chosen, wait=True)

    def drop(self):
        """Remove the collection and what the folder says of it."""
        with self._told():
            self._client.delete_collection(self._name)
        self.close()
        (self.folder / FILE).unlink()

    def _put(self, **values):
        with self.catalogue.writing():
            self.catalogue.put(**values)

    def _filter(self, conditions):
        """A filter of Qdrant; what is being added, or was when that was stopped, is not there."""
        models, must, must_not = self._models, [], []
        if pending := self.catalogue.get("pending"):
            ids = range(pending["first"], pending["first"] + pending["count"])
            must_not.append(models.HasIdCondition(has_id=list(ids)))
        for column, kind, values in conditions:
            if kind == "range":
                form = models.DatetimeRange if column == "date" else models.Range
                ends = form(gte=values[0], lte=values[1])
                must.append(models.FieldCondition(key=column, range=ends))
            else:
                match = models.MatchAny(any=list(values))
                where = must if kind == "in" else must_not
                where.append(models.FieldCondition(key=column, match=match))
        return models.Filter(must=must or None, must_not=must_not or None)

    @contextmanager
    def _alone(self):
        """One process adds at a time; others wait."""
        with open(self.folder / "qdrant.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _told(self):
        try:
            with self._turn:
                yield
        except self._failures as error:
            url = self.catalogue.get("url") or self.folder
            code = getattr(error, "status_code", None)
            hint = f"; is {_KEY} set to its key?" if code in (401, 403) else ""
            told = " ".join(str(error).split())[:200]
            raise DataError(
                f"{url}: the Qdrant server did not answer as it should ({told}){hint}"
            ) from error


def _connect(folder, url):
    """A client, the models of requests, and the exceptions that tell of the server."""
    try:
        from qdrant_client import QdrantClient, models
        from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
        from qdrant_client.http import exceptions
    except ImportError:
        raise DataError(
            "search: the engine 'qdrant' needs the package qdrant-client (extra 'qdrant' of this "
            "project)"
        ) from None
    failures = (exceptions.ApiException, ResourceExhaustedResponse)
    try:
        if url is None:
            return QdrantClient(path=str(folder / "qdrant")), models, failures
        key = os.environ.get(_KEY)
        client = QdrantClient(url=url, api_key=key, check_compatibility=False, timeout=60)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{url or folder}: cannot be opened ({error})") from error
    return client, models, failures
