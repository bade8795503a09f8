"""How much of an approximate index a search must look at to reach a recall."""

from typing import NamedTuple

from cirtorch.search.exact import Search
from cirtorch.search.shards import SelectedRows, gather_rows

K = 10
_MOST = 128 * K  # candidates
_RESCORED = 40  # times the cost of looking at a code


class Effort(NamedTuple):
    """What a search looks at, and what it finds.

    ``probes``: lists; ``candidates``: rows that are scored exactly for the ten best; ``recall``:
    the part of the ten best of a sample that is found so.
    """

    probes: int
    candidates: int
    recall: float


def choose(lists, rows, longest: float, sample, live, target: float, device="cpu") -> Effort:
    """The cheapest effort that reaches a recall; where none does, that of the largest recall.

    Args:
        lists: :class:`~cirtorch.search.ivfpq.Lists`.
        rows: ``[N, D]``. longest: see :class:`~cirtorch.search.exact.Search`.
        sample: ids int64 of rows that are looked up; none finds itself.
        live: ids int64, ascending, of rows that can be found.
        target: recall at 10.
    """
    queries = gather_rows(rows, sample)
    search = Search(SelectedRows(rows, live), device=device, longest=longest)
    truth = _others(live[search.search(queries, K + 1)[1]], sample)[:, :K]
    tried, probes = [], 1
    while not tried or probes < 2 * lists.count:
        found = lists.candidates(queries, min(_MOST, lists.rows), probes, live)
        hits = (found[:, None, :] == truth[:, :, None]).any(axis=1) & (found != sample[:, None])
        recalls = hits.cumsum(axis=1).mean(axis=0) / truth.shape[1]
        tried += [Effort(probes, c, float(recalls[c - 1])) for c in _steps(found.shape[1])]
        reached = [effort for effort in tried if effort.recall >= target]
        cheapest = min(reached, key=lambda one: _cost(one, lists), default=None)
        if cheapest is not None and _cost(Effort(2 * probes, K, 1), lists) > _cost(cheapest, lists):
            return cheapest
        probes *= 2
    return cheapest or max(tried, key=lambda one: one.recall)


def _others(found, sample):
    """The rows found without the query's own."""
    own = found == sample[:, None]
    own[~own.any(axis=1), -1] = True  # a copy of it came before it: one too many is there
    return found[~own].reshape(len(found), -1)


def _steps(most):
    return [count for count in [K * 2**power for power in range(1, 8)] if count < most] + [most]


def _cost(effort, lists):
    return effort.probes / lists.count * lists.rows + _RESCORED * effort.candidates
