"""Positions in rankings by counting, without sorting the database or keeping its scores.

The position of an image is the number of images that come before it: those with a higher score,
and those with an equal score and a lower index. Counting them needs one block of the database and
of the queries at a time, so a million distractors cost time but no memory.
"""

import numpy as np
import torch

from cirtorch.search.precision import full_precision
from cirtorch.search.shards import row_blocks
from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite

ROWS_AT_ONCE = 1 << 15
_QUERIES_AT_ONCE = 128
_TILE = 64
_LISTS = ("ok", "easy", "hard", "junk")
_LAST = torch.iinfo(torch.int64).max


class RankPositions:
    """Where chosen database images stand in each query's ranking.

    ``of(i, ids)``: ascending 0-based positions in ranking ``i`` of those ``ids`` (database indices,
    repeats and unknown ones are skipped) that were counted.
    """

    def __init__(self, positions):
        self.positions = positions

    def of(self, i, ids):
        """Ascending positions ``[n]`` int64 of ``ids`` in ranking ``i``."""
        known = self.positions[i]
        found = [known[index] for index in set(np.asarray(ids).tolist()) if index in known]
        return np.array(sorted(found), dtype=np.int64)


@full_precision()
def count_ranks(
    database, qvecs, gnd, rows_at_once=ROWS_AT_ONCE, device="cpu", metric="inner_product"
):
    """Positions of all images that a ground truth names, for mean average precision.

    Equal to looking them up in ``argsort(-database @ qvecs, axis=0)`` with a stable sort.

    Args:
        database: ``[N, D]`` descriptors as rows: array, memory map, tensor or
            :class:`~cirtorch.search.shards.ShardedRows`. Columns ``vecs`` go in as ``vecs.T``.
        qvecs: ``[D, Q]`` descriptors of the queries.
        gnd: a dict per query; ``ok``, ``easy``, ``hard``, ``junk`` hold indices.
        rows_at_once: rows of the database scored together.
        device: where the scores are computed.
        metric: ``inner_product``, or ``l2``: rankings by ascending Euclidean distance.

    Returns:
        :class:`RankPositions`.

    Raises:
        DataError: NaN or infinity in a descriptor.
    """
    queries = torch.as_tensor(qvecs, dtype=torch.float32, device=device)
    require_finite(queries.T, what="ranking: queries")
    rows = min(rows_at_once, -(-database.shape[0] // _TILE) * _TILE)
    positions = []
    for start in range(0, queries.shape[1], _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        positions += _positions(database, queries[:, part], gnd[part], rows, metric)
    return RankPositions(positions)


def _positions(database, queries, gnd, rows, metric):
    """``{index: position}`` a query, of the images that its ground truth names."""
    device = queries.device
    wanted = _wanted(gnd, database.shape[0], device)
    keys = _keys_of_wanted(database, queries, wanted, rows, metric)
    sorted_keys, order = keys.sort(dim=1)
    width = keys.shape[1] + 1
    histogram = torch.zeros(len(gnd) * width, dtype=torch.int64, device=device)
    row = torch.arange(len(gnd), device=device)[:, None] * width
    for start, block in row_blocks(database, rows, device):
        _require_numbers(block, start)
        # An image comes before all chosen ones whose key is smaller than its own.
        scores = _scores(queries, block, rows, metric)
        beaten = torch.searchsorted(sorted_keys, _keys(scores, start))
        histogram += torch.bincount((beaten + row).flatten(), minlength=len(histogram))
    ahead = histogram.view(len(gnd), width).flip(1).cumsum(1).flip(1)[:, 1:]
    positions = torch.zeros_like(keys).scatter_(1, order, ahead)
    return [
        {index: position for index, position in zip(ids, places, strict=True) if index >= 0}
        for ids, places in zip(wanted.tolist(), positions.tolist(), strict=True)
    ]


def _require_numbers(block, start):
    broken = (~block.isfinite().all(dim=1)).nonzero()
    if len(broken):
        raise DataError(
            f"ranking: the descriptor of database image {start + int(broken[0])} (from 0) is NaN "
            "or infinite; nothing can be compared with it"
        )


def _wanted(gnd, count, device):
    """Indices ``[Q, R]`` of the images to place, filled up with -1."""
    lists = []
    for query in gnd:
        ids = [np.asarray(query[key], dtype=np.int64) for key in _LISTS if key in query]
        ids = np.unique(np.concatenate([*ids, np.zeros(0, np.int64)]))
        lists.append(ids[(ids >= 0) & (ids < count)])
    wanted = np.full((len(gnd), max(map(len, lists), default=0)), -1)
    for filled, ids in zip(wanted, lists, strict=True):
        filled[: len(ids)] = ids
    return torch.from_numpy(wanted).to(device)


def _scores(queries, block, shape, metric):
    """``[Q, rows]`` by a product of always the same shape: copies of a row get the same score."""
    rows = len(block)
    if rows < shape:
        block = torch.cat([block, block.new_zeros(shape - rows, block.shape[1])])
    scores = block @ queries
    if metric == "l2":
        scores = 2 * scores - block.square().sum(dim=1, keepdim=True)
    return scores[:rows].t().contiguous()


def _keys(scores, start):
    """``[Q, rows]`` int64 that grow from the last to the first place of the ranking.

    The score as an integer of the same order, then the inverted index: no two are equal.
    """
    bits = (scores + 0.0).view(torch.int32)
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    index = torch.arange(start, start + scores.shape[1], device=scores.device)
    return (ordered << 32) | (0xFFFFFFFF - index)


def _keys_of_wanted(database, queries, wanted, rows, metric):
    """Keys of the wanted images from the same products that the counting uses, ``[Q, R]``."""
    keys = torch.full_like(wanted, _LAST)
    starts = torch.unique(wanted[wanted >= 0] // rows) * rows
    for start in starts.tolist():
        _, block = next(row_blocks(database[start : start + rows], rows, keys.device))
        here = (wanted >= start) & (wanted < start + len(block))
        found = _keys(_scores(queries, block, rows, metric), start).gather(
            1, (wanted - start).clamp(0, len(block) - 1)
        )
        keys = torch.where(here, found, keys)
    return keys
