"""Recall at ranks between two aligned domains (leftthomas/DaCo, leftthomas/OSSCo)."""

import torch
from torch import Tensor

from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite


def cross_domain_recall(vectors, domains, labels, ranks) -> dict[str, list[float]]:
    """Recall A->B, B->A and over both domains with the query itself left out.

    Similarity is the plain dot product; equal similarities go to the lower index. A query is a hit
    at r when one of its r nearest candidates has its label.

    Args:
        vectors: (N, D) float tensor.
        domains: (N,) long tensor of 0 (domain A) and 1 (domain B).
        labels: (N,) long tensor.
        ranks: whole numbers, in any order.

    Returns:
        ``{"ab": [...], "ba": [...], "cross": [...]}``: fractions in [0, 1], one a rank, by
        ascending rank.

    Raises:
        DataError: a rank is below 1 or above the number of candidates, a domain is empty, or a
            feature is not finite.
    """
    ranks = sorted(ranks)
    first, second = (int((domains == domain).sum()) for domain in (0, 1))
    check_ranks(ranks, first, second)
    found = direction_ranks(vectors, domains, labels)
    return {
        name: [hits(first, rank).mean().item() for rank in ranks] for name, first in found.items()
    }


def direction_ranks(vectors, domains, labels, reranking=None) -> dict[str, Tensor]:
    """Rank of each query's first right candidate, A->B, B->A and over both domains.

    Args:
        vectors, domains, labels: as of :func:`cross_domain_recall`.
        reranking: a :class:`mdir.scores.reranking.Reranking`; null: none.

    Returns:
        ``{"ab": [A], "ba": [B], "cross": [N]}``, long tensors as of :func:`counterpart_ranks`.

    Raises:
        DataError: a feature is not finite.
    """
    require_finite(vectors)
    first, second = (torch.nonzero(domains == domain).flatten() for domain in (0, 1))
    everything = torch.arange(len(vectors), device=vectors.device)
    directions = {"ab": (first, second), "ba": (second, first), "cross": (everything, everything)}
    return {
        name: counterpart_ranks(vectors, labels, *rows, reranking=reranking).cpu()
        for name, rows in directions.items()
    }


def hits(first: Tensor, rank: int) -> Tensor:
    """Which queries have their first right candidate among so many: float32, 0 or 1."""
    return ((first > 0) & (first <= rank)).float()


def check_ranks(ranks, first: int, second: int) -> None:
    """Raise a :class:`DataError` unless domains of these sizes have recalls at these ranks."""
    if not first or not second:
        raise DataError(f"recall needs images of two domains, got {first} and {second}")
    if not ranks or min(ranks) < 1 or max(ranks) > min(first, second):
        raise DataError(
            f"ranks {sorted(ranks)} must lie in 1..{min(first, second)} (the images of one domain)"
        )


def counterpart_ranks(
    vectors, labels, queries, candidates, block=1024, reranking=None
) -> torch.Tensor:
    """Rank of the first candidate with a query's label, the query itself left out.

    Args:
        vectors: (N, D) float tensor.
        labels: (N,) long tensor.
        queries, candidates: long tensors of row numbers.
        block: queries at once.
        reranking: a :class:`mdir.scores.reranking.Reranking`; null: none.

    Returns:
        long tensor, one per query: from 1; 0 where no candidate has the label.
    """
    own = torch.full((len(vectors),), -1, device=vectors.device)
    own[candidates] = torch.arange(len(candidates), device=vectors.device)
    own, rows, database = own[queries], vectors[queries], vectors[candidates]
    of_queries, of_candidates = labels[queries], labels[candidates]
    if reranking is not None:
        rows, database = reranking.expand(rows, database, own.cpu().numpy())
    ranks = []
    for part in torch.arange(len(queries)).split(block):
        similarities = rows[part] @ database.T
        itself = own[part, None] == torch.arange(len(candidates), device=own.device)
        right = (of_candidates == of_queries[part, None]) & ~itself
        similarities[itself] = float("-inf")
        of_right = similarities.masked_fill(~right, float("-inf"))
        first = of_right.argmax(dim=1, keepdim=True)  # of equals the first
        best = of_right.gather(1, first)
        earlier = torch.arange(len(candidates), device=vectors.device) < first
        before = (similarities > best) | ((similarities == best) & earlier)
        ranks.append((before.sum(dim=1) + 1) * right.any(dim=1))
    ranks = torch.cat(ranks)
    if reranking is not None and reranking.top:
        _, found, *_ = reranking.reordered(rows, database, reranking.top + 1, own.cpu().numpy())
        others = torch.from_numpy(found) != own[:, None]
        right = others & (of_candidates[found] == of_queries[:, None])
        place = right.int().argmax(dim=1, keepdim=True)
        among = others.cumsum(dim=1).gather(1, place)[:, 0]
        ranks = torch.where(right.any(dim=1), among, ranks)
    return ranks
