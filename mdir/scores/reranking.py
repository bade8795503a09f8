"""Re-rankings that a score or the step ``search`` can name: ``rerank: {NAME: PARAMETERS}``.

They apply in the order of their ``turn``, however a scenario writes them: the database is augmented
first, queries are expanded with it, and one of the others reorders the first images of each query.
What is only re-ordered keeps its set: the images behind the first ones stay where they are.

A component (kind ``reranking``) has ``turn`` and either ``expand(queries, database, own, device) ->
(queries, database)`` or ``top`` and ``order(query [D], rows [M, D]) -> places [M]``.
"""

from typing import Annotated, NamedTuple

import numpy as np
import torch

from cirtorch.search.exact import Search
from cirtorch.search.shards import gather_rows, row_blocks
from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.registry import Named, Problem, register, within
from mdir.registry.ranges import at_least, between
from mdir.scores.measures.expansion import augment_database, expand_queries
from mdir.scores.measures.rerank import reranked_blocks
from mdir.scores.measures.superglobal import superglobal

RerankSection = Annotated[dict, Named("reranking")]
_ROWS_AT_ONCE, _UNIT = 1 << 15, 1e-2
_DATABASE, _QUERIES, _ORDER = range(3)


class _Expansion:
    def __init__(
        self,
        *,
        k: Annotated[int, at_least(0)] = 10,
        alpha: Annotated[float, between(0, 100)] = 0.0,
    ):
        self.k, self.alpha = k, alpha


@register("reranking", "database_augmentation")
class DatabaseAugmentation(_Expansion):
    """Each image of the database is averaged with its neighbours there, before queries look it up.

    Args:
        k: neighbours; 0: none.
        alpha: they weigh their similarity to the power of alpha, negative ones nothing; 0: all
            weigh the same.
    """

    turn = _DATABASE

    def expand(self, queries, database, own, device):
        return queries, augment_database(database, self.k, self.alpha, device)


@register("reranking", "query_expansion")
class QueryExpansion(_Expansion):
    """Each query is averaged with the first images that it finds, and searches again.

    Where the query itself is an image of the database it does not count as one that it finds.

    Args:
        k: images; 0: none. With few right answers a query 3 to 10: a wrong first one is amplified.
        alpha: they weigh their similarity to the power of alpha, negative ones nothing; 0: all
            weigh the same (average query expansion).
    """

    turn = _QUERIES

    def expand(self, queries, database, own, device):
        return expand_queries(queries, database, self.k, self.alpha, own, device), database


@register("reranking", "superglobal")
class SuperGlobal:
    """The first images by descriptors that their neighbours refine.

    Args:
        top: images that are reordered.
        neighbours: of each of them among these.
        beta: weight of a neighbour's similarity.
    """

    turn = _ORDER

    def __init__(
        self,
        *,
        top: Annotated[int, at_least(1)] = 400,
        neighbours: Annotated[int, at_least(1)] = 9,
        beta: Annotated[float, between(0, 1)] = 0.15,
    ):
        self.top, self.neighbours, self.beta = top, neighbours, beta

    def order(self, query, rows):
        return superglobal(query, rows, self.neighbours, self.beta).order


@register("reranking", "k_reciprocal")
class KReciprocal:
    """The first images by k-reciprocal encodings among these and the query.

    Args:
        top: images that are reordered.
        k1: neighbours that make a set. k2: rows whose encodings are averaged.
        weight: of the distance itself.
        power: 2 squares the squared distances again, as published by SpCL; 1 does not.
    """

    turn = _ORDER

    def __init__(
        self,
        *,
        top: Annotated[int, at_least(1)] = 200,
        k1: Annotated[int, at_least(1)] = 20,
        k2: Annotated[int, at_least(1)] = 6,
        weight: Annotated[float, between(0, 1)] = 0.3,
        power: Annotated[float, between(0, 10)] = 2.0,
    ):
        self.top, self.options = top, {"k1": k1, "k2": k2, "weight": weight, "power": power}

    def order(self, query, rows):
        with np.errstate(divide="ignore", invalid="ignore"):  # equal rows keep their order
            (distances,) = np.concatenate(list(reranked_blocks(query[None], rows, **self.options)))
        return torch.from_numpy(np.argsort(distances, kind="stable"))


def check_rerank(section: dict):
    """Every :class:`Problem` of the parameter ``rerank`` of a score or step."""
    named = section.get("rerank")
    if isinstance(named, dict):
        yield from within(("rerank",), _problems(named))


def _problems(named):
    if not named:
        yield Problem((), f"names none of {', '.join(registry.names('reranking'))}; null: none")
    ordering = []
    for name, params in named.items():
        if registry.is_unresolved(name):
            continue
        try:
            component = registry.lookup("reranking", name)
        except registry.ComponentError as error:
            yield from within((name,), error.problems)
            continue
        yield from registry.check_parameters(component, _given(params), (name,), name)
        ordering += [name] if component.turn == _ORDER else []
    if len(ordering) > 1:
        yield Problem((ordering[1],), f"{ordering[0]} reorders the first images already; name one")


def _given(params):
    return {} if params is None else params


class Found(NamedTuple):
    """Images that queries find.

    ``scores`` float32 ``[Q, k]``: inner products, falling but for what was reordered; ``indices``
    int64 ``[Q, k]``, in their final order; ``queries``, ``database``: the descriptors compared.
    """

    scores: np.ndarray
    indices: np.ndarray
    queries: object
    database: object


class Reranking:
    """The re-rankings of a checked section, in their order; of an empty one: none.

    Attributes:
        parts: the components.
        told: their names and all parameters, for the protocol of a score.
        top: how many of the first images they reorder.
    """

    def __init__(self, section: dict):
        known = {name: registry.lookup("reranking", name) for name in section}
        ordered = sorted(known, key=lambda name: known[name].turn)
        self.parts = [registry.construct(known[name], _given(section[name])) for name in ordered]
        self.told = {name: _told(known[name], _given(section[name])) for name in ordered}
        self.top = max((part.top for part in self.parts if part.turn == _ORDER), default=0)

    def __str__(self):
        """Names and parameters in a line."""
        return " and ".join(
            " ".join([name, *(f"{key} {value:g}" for key, value in params.items())])
            for name, params in self.told.items()
        )

    def search(self, queries, database, count: int, own=None, engine="exact", device="cpu"):
        """What each query finds; for arguments see :meth:`expand`.

        Returns:
            :class:`Found` of at most ``count`` images.
        """
        queries, database = self.expand(queries, database, own, device)
        return self.reordered(queries, database, count, own, engine, device)

    def reordered(self, queries, database, count: int, own=None, engine="exact", device="cpu"):
        """As :meth:`search`, of descriptors that :meth:`expand` gave."""
        looked_at = max(count, self.top + (own is not None)) if self.top else count
        scores, found = Search(database, engine, device).search(queries, looked_at)
        order = self.order(queries, database, found, own, device)
        scores, found = (np.take_along_axis(one, order, 1)[:, :count] for one in (scores, found))
        return Found(scores, found, queries, database)

    def expand(self, queries, database, own=None, device="cpu"):
        """The descriptors that are to be compared.

        Args:
            queries: ``[Q, D]`` unit rows. database: ``[N, D]`` unit rows: array, memory map, tensor
                or :class:`~cirtorch.search.shards.ShardedRows`.
            own: int64 ``[Q]``, each query's row in the database, -1 where it has none; null: none
                has.
            device: where neighbours are searched.

        Returns:
            ``queries``, ``database``: as given, or float32 tensors on the CPU.

        Raises:
            DataError: rows that are not of length 1 (or 0), for which no re-ranking is defined.
        """
        if self.parts:
            for what, rows in (("query", queries), ("image", database)):
                _require_unit(what, rows)
        for part in self.parts:
            if part.turn != _ORDER:
                queries, database = part.expand(queries, database, own, device)
        return queries, database

    def order(self, queries, database, found, own=None, device="cpu") -> np.ndarray:
        """How the first images of each query are to be reordered.

        Args:
            queries, database: what :meth:`expand` gave.
            found: int64 ``[Q, K]``, rows of the database, the most similar first.
            own: as there; that row keeps its place.

        Returns:
            int64 ``[Q, K]``: which place's image comes to each place.
        """
        order = np.tile(np.arange(found.shape[1]), (len(found), 1))
        for part in self.parts:
            if part.turn == _ORDER:
                for start, block in row_blocks(queries, 1, device):
                    others = found[start] != (-1 if own is None else own[start])
                    slots = np.flatnonzero(others)[: part.top]
                    rows = torch.from_numpy(gather_rows(database, found[start, slots])).to(device)
                    order[start, slots] = slots[part.order(block[0], rows).cpu().numpy()]
        return order


def _told(component, params):
    defaults = {name: field.default for name, field in registry.schema(component)[0].items()}
    return defaults | registry.values(component, params)


def _require_unit(what, rows):
    for start, block in row_blocks(rows, _ROWS_AT_ONCE):
        lengths = block.norm(dim=1)
        wrong = ((lengths - 1).abs() > _UNIT) & (lengths != 0)
        if wrong.any():
            number = int(wrong.nonzero()[0])
            raise DataError(
                f"re-ranking: the descriptor of {what} {start + number} (from 0) has length "
                f"{float(lengths[number]):.3g}; it is defined for descriptors of length 1"
            )
