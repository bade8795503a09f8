"""SuperGlobal re-ranking with global descriptors alone (Shao et al., ICCV 2023)."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import embedding_bag

from cirtorch.search.precision import full_precision
from mdir.scores.measures.class_recall import largest


@dataclass(frozen=True)
class Refined:
    """How SuperGlobal orders the first M images of a query.

    Attributes:
        rows: ``[M, D]``, their refined descriptors, which are not normalised.
        first: ``[M]``, inner products of these with the query.
        first_order: long ``[M]``, places by falling ``first``.
        second: ``[M]``, the final scores of the places in ``first_order``.
        order: long ``[M]``, places by falling final score; of equals in the first order.
    """

    rows: Tensor
    first: Tensor
    first_order: Tensor
    second: Tensor
    order: Tensor


def superglobal(query: Tensor, rows: Tensor, neighbours: int = 9, beta: float = 0.15) -> Refined:
    """Refine descriptors by their neighbours, and the query by those that are then nearest.

    Sums are float64 and scores float32, so that images that are alike keep their order.

    Args:
        query: ``[D]``. rows: ``[M, D]`` unit rows of its first M images, the first ones first.
        neighbours: of each row among the M (K).
        beta: weight of a neighbour's similarity; one below 0 counts as 0.
    """
    neighbours = min(neighbours, len(rows) - 1)
    query, refined = query.double(), rows.double()
    if neighbours:
        near, weights = _neighbours(rows, neighbours, beta)
        sums = embedding_bag(near, refined, per_sample_weights=weights, mode="sum")
        refined = sums.add_(refined).div_(1 + weights.sum(dim=1, keepdim=True))
    first = refined @ query
    first_order = _falling(first)
    best = refined[first_order[: neighbours + 1]].amax(dim=0)
    second = ((first + refined @ best) / 2)[first_order]
    return Refined(refined, first, first_order, second, first_order[_falling(second)])


@full_precision()
def _neighbours(rows, count, beta):
    """Places ``[M, count]`` of each row's neighbours, and their weights in float64."""
    similar = rows @ rows.T
    near = largest(similar.clone().fill_diagonal_(float("-inf")), count)
    return near, beta * similar.gather(1, near).clamp(min=0).double()


def _falling(scores):
    return scores.float().argsort(descending=True, stable=True)
