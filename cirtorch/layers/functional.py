"""Pooling, normalization and losses as functions (published project: cnnimageretrieval).

Feature maps are ``[B, C, H, W]``; poolings give ``[B, C, 1, 1]``. Everything works in float32 and
float64 and keeps gradients.
"""

import torch

from cirtorch.layers.regions import region_grid


def mac(x):
    """Maximum over all locations, ``[B, C, 1, 1]`` (Tolias et al., ICLR 2016)."""
    return x.amax(dim=(-2, -1), keepdim=True)


def spoc(x):
    """Mean over all locations, ``[B, C, 1, 1]`` (Babenko and Lempitsky, ICCV 2015)."""
    return x.mean(dim=(-2, -1), keepdim=True)


def gem(x, p=3, eps=1e-6):
    """Generalized mean ``mean(max(x, eps)^p)^(1/p)`` (Radenović et al., TPAMI 2019).

    ``p``: number, tensor ``[1]``, or one exponent a channel broadcast as ``[C, 1, 1]``.
    """
    return x.clamp(min=eps).pow(p).mean(dim=(-2, -1), keepdim=True).pow(1.0 / p)


def rmac(x, L=3, eps=1e-6):
    """Sum of the L2-normalized maxima of regions at ``L`` levels (Tolias et al., ICLR 2016)."""
    maxima = region_maxima(x, L)
    return l2n(maxima.flatten(0, 1), eps).view_as(maxima).sum(dim=1)


def roipool(x, rpool, L=3, eps=1e-6):
    """Pool every region of the map with ``rpool``.

    Regions of one size are pooled in one call. Returns ``[B, R, C, 1, 1]``, the whole map first.
    """
    pooled = [rpool(x)[:, None]]
    for side, tops, lefts in region_grid(*x.shape[-2:], L):
        windows = torch.stack(
            [x[..., top : top + side, left : left + side] for top in tops for left in lefts], dim=1
        )
        pooled.append(rpool(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]))
    return torch.cat(pooled, dim=1)


def region_maxima(x, L=3):
    """Channel-wise maxima of all regions, ``[B, R, C, 1, 1]``."""
    return roipool(x, mac, L)


def l2n(x, eps=1e-6):
    """``x / (||x||_2 + eps)`` over dimension 1; zero vectors stay zero."""
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + eps)


def powerlaw(x, eps=1e-6):
    """``sign(x + eps) * sqrt(|x + eps|)``."""
    x = x + eps
    return x.abs().sqrt().mul(x.sign())


def geometric_median(x, iterations=3, intermediate_gradients=True):
    """Geometric median of the locations by Weiszfeld's algorithm, ``[B, C, 1, 1]``.

    ``intermediate_gradients`` False: the weights are constants for the gradient.
    """
    guide = x if intermediate_gradients else x.detach()
    weight = torch.ones_like(x[:, :1])
    for _ in range(iterations):
        center = _weighted_mean(guide, weight)
        weight = ((guide - center).pow(2).sum(dim=1, keepdim=True) + 1e-10).rsqrt()
    return _weighted_mean(x, weight)


def _weighted_mean(x, weight):
    return (x * weight).sum((-2, -1), keepdim=True) / weight.sum((-2, -1), keepdim=True)


def l2_attention(x, normalize_max=False):
    """Attention of every location, ``sqrt(sum_c x^2 + 1e-10)``: ``[B, 1, H, W]``.

    ``normalize_max``: divided by the largest of the image.
    """
    attention = (x.pow(2).sum(dim=1, keepdim=True) + 1e-10).sqrt()
    return attention / mac(attention) if normalize_max else attention


def contrastive_loss(x, label, margin=0.7, eps=1e-6):
    """Contrastive loss of tuples, summed (Hadsell et al., CVPR 2006).

    ``1/2 y d^2 + 1/2 (1 - y) max(margin - d, 0)^2`` with ``d = ||q - x + eps||`` over everything
    but the queries.

    Args:
        x: ``[D, N]``, tuple by tuple: query, positive, negatives.
        label: ``[N]``, or a list of parts of it: -1 query, 1 positive, 0 negative.

    Raises:
        ValueError: no query, or columns do not divide into tuples of equal length.
    """
    query, other, y = _tuples(x, label)
    distance = (query - other + eps).pow(2).sum(dim=0).sqrt()
    return (
        0.5 * y * distance.pow(2) + 0.5 * (1 - y) * (margin - distance).clamp(min=0).pow(2)
    ).sum()


def triplet_loss(x, label, margin=0.1):
    """``sum max(||q - p||^2 - ||q - n||^2 + margin, 0)`` over the negatives of each tuple.

    Arguments as for :func:`contrastive_loss`; every tuple holds exactly one positive.
    """
    query, other, y = _tuples(x, label)
    positives, negatives = y == 1, y == 0
    if bool((positives.sum(dim=1) != 1).any()):
        raise ValueError("triplet loss: every tuple needs exactly one positive (label 1)")
    distance = (query - other).pow(2).sum(dim=0)
    gap = distance[positives][:, None] - distance + margin
    return gap.clamp(min=0)[negatives].sum()


def _tuples(x, label):
    """Queries ``[D, Q, 1]``, the others of their tuples ``[D, Q, S-1]`` and their labels."""
    label = (torch.cat(list(label)) if isinstance(label, (list, tuple)) else label).to(x.device)
    queries = int((label == -1).sum())
    if queries == 0 or x.shape[1] % queries or label.numel() != x.shape[1]:
        raise ValueError(
            f"tuples: {x.shape[1]} descriptors and {label.numel()} labels with {queries} queries "
            "(label -1) do not make tuples of equal length"
        )
    query = label.view(queries, -1) == -1
    if bool((query.sum(dim=1) != 1).any()):
        raise ValueError("tuples: every tuple holds exactly one query (label -1)")
    x = x.reshape(x.shape[0], *query.shape)
    rest = (queries, query.shape[1] - 1)
    y = label.view_as(query)[~query].view(rest).to(x.dtype)
    return x[:, query][:, :, None], x[:, ~query].view(x.shape[0], *rest), y
