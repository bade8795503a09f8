"""Exact search by inner product or Euclidean distance in databases of any size.

    index = Search(database)                       # or Search(database, engine="faiss")
    scores, indices = index.search(queries, k=100)

The database is read block by block and never held whole. Two engines find the candidates, torch
(CPU, GPU) and FAISS (CPU). Their roundings differ, so the candidates are scored again in
float64 and more of them are asked for while rounding could change the answer: both engines give the
same indices and scores, with equal scores in the order of the database.
"""

import numpy as np
import torch

from cirtorch.search.precision import full_precision
from cirtorch.search.shards import gather_rows, row_blocks
from cirtorch.utils.errors import DataError

ENGINES = ("exact", "faiss")
METRICS = ("inner_product", "l2")
_QUERIES_AT_ONCE = 256
_SPARE = 32


class NotFinite(DataError):
    """NaN or infinity in a descriptor: ``what`` ("row" of the database or "query"), ``number``."""

    def __init__(self, what, number):
        super().__init__(f"search: {what} {number} holds NaN or infinity")
        self.what, self.number = what, number


class Search:
    """An index over the rows of a database.

    Args:
        database: ``[N, D]`` float rows: array, memory map, tensor, or
            :class:`~cirtorch.search.shards.ShardedRows`.
        engine: ``exact`` (torch) or ``faiss``.
        device: where ``exact`` computes.
        rows_at_once: rows in memory at a time.
        metric: ``inner_product``, or ``l2``, where the score is the squared distance times -1.
        longest: no row is longer, and all are finite; None: the database is read to see to it.

    Raises:
        DataError: unknown engine or metric, FAISS not installed, or NaN or infinity in a row.
    """

    def __init__(
        self,
        database,
        engine="exact",
        device="cpu",
        rows_at_once=1 << 15,
        metric="inner_product",
        longest=None,
    ):
        for what, given, known in (("engine", engine, ENGINES), ("metric", metric, METRICS)):
            if given not in known:
                raise DataError(f"search: unknown {what} {given!r}; known are {', '.join(known)}")
        self.database, self.metric = database, metric
        self.device = device if engine == "exact" else "cpu"
        self.rows_at_once = rows_at_once
        self._best = _torch_kernel(metric) if engine == "exact" else _faiss_kernel(metric)
        self._longest = longest_row(database, rows_at_once) if longest is None else longest

    def __len__(self):
        return self.database.shape[0]

    def search(self, queries, k):
        """The ``k`` rows of the largest score with each query.

        Args:
            queries: ``[Q, D]`` rows as the database's. k: at most N are returned.

        Returns:
            scores float32 ``[Q, k]``, largest first, and row indices int64 ``[Q, k]``; among equal
            scores the lower index first.

        Raises:
            DataError: other dimensions than the database's, or NaN or infinity in a query.
        """
        require_queries(queries, self.database.shape[1])
        k = min(k, len(self))
        scores = np.zeros((len(queries), k), dtype=np.float32)
        indices = np.zeros((len(queries), k), dtype=np.int64)
        for start, block in row_blocks(queries, _QUERIES_AT_ONCE):
            part = slice(start, start + len(block))
            scores[part], indices[part] = self._search(block.numpy(), k)
        return scores, indices

    def _search(self, queries, k):
        scores = np.zeros((len(queries), k), dtype=np.float32)
        indices = np.zeros((len(queries), k), dtype=np.int64)
        open_rows, count = np.arange(len(queries)), min(len(self), 2 * k + _SPARE)
        while len(open_rows) and k:
            values, candidates = self._candidates(queries[open_rows], count)
            still_open = []
            for row, lowest, found in zip(open_rows, values[:, -1], candidates, strict=True):
                exact, found = rescored(self.database, queries[row], found, self.metric)
                scores[row], indices[row] = exact[:k], found[:k]
                if count < len(self) and exact[k - 1] <= lowest + self._error(queries[row]):
                    still_open.append(row)
            open_rows, count = np.array(still_open, dtype=np.int64), min(len(self), 4 * count)
        return scores, indices

    @full_precision()
    def _candidates(self, queries, count):
        """The ``count`` best by the engine's own arithmetic: scores and indices ``[Q, count]``."""
        queries = torch.from_numpy(queries).to(self.device)
        values = indices = None
        for start, block in row_blocks(self.database, self.rows_at_once, self.device):
            more, positions = self._best(queries, block, min(count, len(block)))
            positions = positions + start
            if values is not None:
                more = torch.cat([values, more], dim=1)
                positions = torch.cat([indices, positions], dim=1)
            values, order = more.topk(min(count, more.shape[1]), dim=1)
            indices = positions.gather(1, order)
        return values.cpu().numpy(), indices.cpu().numpy()

    def _error(self, query):
        """How far a float32 score may be from the exact one."""
        length = np.linalg.norm(query.astype(np.float64))
        size = length * self._longest
        if self.metric == "l2":
            size = (length + self._longest) ** 2
        return 4 * np.finfo(np.float32).eps * np.sqrt(len(query)) * size


def require_queries(queries, dimensions: int) -> None:
    """DataError: other queries than ``[Q, dimensions]``, or NaN or infinity in one."""
    if len(queries.shape) != 2 or queries.shape[1] != dimensions:
        raise DataError(
            f"search: queries of shape {list(queries.shape)} in a database of {dimensions} "
            f"dimensions; [Q, {dimensions}] expected"
        )
    for start, block in row_blocks(queries, _QUERIES_AT_ONCE):
        _lengths(block, start, "query")


def longest_row(database, rows_at_once=1 << 15) -> float:
    """The largest norm of a row; NotFinite where a row holds NaN or infinity."""
    blocks = row_blocks(database, rows_at_once)
    longest = [float(_lengths(block, start, "row").max()) for start, block in blocks]
    return max(longest, default=0.0)


def rescored(database, query, candidates, metric="inner_product"):
    """Candidates in their final order with float64 scores, the same sum for every row.

    Args:
        database: as of :class:`Search`. query: float array ``[D]``. candidates: int64 ``[n]``.

    Returns:
        scores ``[n]``, largest first, and the candidates so, of equal scores the lower one first.
    """
    candidates = np.sort(candidates)
    rows = gather_rows(database, candidates)
    rows, query = rows.astype(np.float64), query.astype(np.float64)
    parts = -np.square(rows - query) if metric == "l2" else rows * query
    exact = parts.sum(axis=1)
    order = np.argsort(-exact, kind="stable")
    return exact[order], candidates[order]


def _lengths(block, start, what):
    """Norms of the rows of a block; NotFinite where they have none."""
    lengths = block.norm(dim=1)
    broken = (~torch.isfinite(lengths)).nonzero()
    if len(broken):
        raise NotFinite(what, start + int(broken[0]))
    return lengths


def _torch_kernel(metric):
    def best(queries, block, count):
        scores = queries @ block.t()
        if metric == "l2":
            lengths = block.square().sum(dim=1)
            scores = 2 * scores - lengths - queries.square().sum(dim=1, keepdim=True)
        return scores.topk(count, dim=1)

    return best


def _faiss_kernel(metric):
    try:
        import faiss
    except ImportError:
        raise DataError(
            "search: the engine 'faiss' needs the package faiss-cpu; the engine 'exact' needs "
            "nothing"
        ) from None

    kind, sign = (faiss.METRIC_L2, -1) if metric == "l2" else (faiss.METRIC_INNER_PRODUCT, 1)

    def best(queries, block, count):
        values, indices = faiss.knn(queries.numpy(), block.numpy(), count, metric=kind)
        return sign * torch.from_numpy(values), torch.from_numpy(indices)

    return best
