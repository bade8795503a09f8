"""Recall at ranks between two aligned domains (leftthomas/DaCo, leftthomas/OSSCo)."""

import torch

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
    first, second = (torch.nonzero(domains == domain).flatten() for domain in (0, 1))
    check_ranks(ranks, len(first), len(second))
    require_finite(vectors)
    everything = torch.arange(len(vectors), device=vectors.device)
    return {
        "ab": _recall(vectors, labels, first, second, ranks),
        "ba": _recall(vectors, labels, second, first, ranks),
        "cross": _recall(vectors, labels, everything, everything, ranks),
    }


def check_ranks(ranks, first: int, second: int) -> None:
    """Raise a :class:`DataError` unless domains of these sizes have recalls at these ranks."""
    if not first or not second:
        raise DataError(f"recall needs images of two domains, got {first} and {second}")
    if not ranks or min(ranks) < 1 or max(ranks) > min(first, second):
        raise DataError(
            f"ranks {sorted(ranks)} must lie in 1..{min(first, second)} (the images of one domain)"
        )


def counterpart_ranks(vectors, labels, queries, candidates, block=1024) -> torch.Tensor:
    """Rank of the first candidate with a query's label, the query itself left out.

    Args:
        vectors: (N, D) float tensor.
        labels: (N,) long tensor.
        queries, candidates: long tensors of row numbers.
        block: queries at once.

    Returns:
        long tensor, one per query: from 1; 0 where no candidate has the label.
    """
    ranks = []
    for chunk in queries.split(block):
        similarities = vectors[chunk] @ vectors[candidates].T
        itself = chunk[:, None] == candidates[None, :]
        right = (labels[candidates] == labels[chunk][:, None]) & ~itself
        similarities[itself] = float("-inf")
        of_right = similarities.masked_fill(~right, float("-inf"))
        first = of_right.argmax(dim=1, keepdim=True)  # of equals the first
        best = of_right.gather(1, first)
        earlier = torch.arange(len(candidates), device=vectors.device) < first
        before = (similarities > best) | ((similarities == best) & earlier)
        ranks.append((before.sum(dim=1) + 1) * right.any(dim=1))
    return torch.cat(ranks)


def _recall(vectors, labels, queries, candidates, ranks):
    first = counterpart_ranks(vectors, labels, queries, candidates).cpu()
    return [((first > 0) & (first <= rank)).float().mean().item() for rank in ranks]
