"""Pooling layers ``[B, C, H, W] -> [B, C, 1, 1]`` (published project: cnnimageretrieval)."""

import torch
from torch import nn

import cirtorch.layers.functional as LF
from cirtorch.layers.normalization import L2N


class MAC(nn.Module):
    """Maximum over all locations."""

    def forward(self, x):
        return LF.mac(x)

    def __repr__(self):
        return f"{type(self).__name__}()"


class SPoC(nn.Module):
    """Mean over all locations."""

    def forward(self, x):
        return LF.spoc(x)

    def __repr__(self):
        return f"{type(self).__name__}()"


class GeM(nn.Module):
    """Generalized mean with one learned exponent ``p`` ``[1]``."""

    def __init__(self, p=3, eps=1e-6):
        super().__init__()
        self.p = nn.Parameter(torch.ones(1) * p)
        self.eps = eps

    def forward(self, x):
        return LF.gem(x, p=self.p, eps=self.eps)

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p.item():.4f}, eps={self.eps})"


class GeMmp(nn.Module):
    """Generalized mean with one learned exponent a channel, ``p`` ``[mp]``."""

    def __init__(self, p=3, mp=1, eps=1e-6):
        super().__init__()
        self.p = nn.Parameter(torch.ones(mp) * p)
        self.mp = mp
        self.eps = eps

    def forward(self, x):
        return LF.gem(x, p=self.p[:, None, None], eps=self.eps)

    def __repr__(self):
        return f"{type(self).__name__}(p=[{self.mp}], eps={self.eps})"


class RMAC(nn.Module):
    """Sum of normalized maxima of regions."""

    def __init__(self, L=3, eps=1e-6):
        super().__init__()
        self.L = L
        self.eps = eps

    def forward(self, x):
        return LF.rmac(x, L=self.L, eps=self.eps)

    def __repr__(self):
        return f"{type(self).__name__}(L={self.L})"


class Rpool(nn.Module):
    """Regional pooling: an inner pool per region, normalized, whitened, summed, normalized.

    ``rpool``: the inner pool. ``whiten``: None or a layer ``[N, C] -> [N, C']`` applied to every
    region's vector, normalized again after it.
    """

    def __init__(self, rpool, whiten=None, L=3, eps=1e-6):
        super().__init__()
        self.rpool = rpool
        self.L = L
        self.whiten = whiten
        self.norm = L2N()
        self.eps = eps

    def forward(self, x, aggregate=True):
        """``[B, C', 1, 1]``, or the vectors of all regions ``[B, R, C', 1, 1]``."""
        regions = LF.roipool(x, self.rpool, self.L, self.eps)
        vectors = self.norm(regions.flatten(0, 1))
        if self.whiten is not None:
            vectors = self.norm(self.whiten(vectors.flatten(1)))[:, :, None, None]
        vectors = vectors.unflatten(0, regions.shape[:2])
        return self.norm(vectors.sum(dim=1)) if aggregate else vectors

    def __repr__(self):
        return f"{super().__repr__()}(L={self.L})"


class GeometricMedianWeiszfeld(nn.Module):
    """Geometric median of the locations, found by Weiszfeld's iterations."""

    def __init__(self, iterations, intermediate_gradients):
        super().__init__()
        self.iterations = iterations
        self.intermediate_gradients = intermediate_gradients

    def forward(self, x):
        return LF.geometric_median(x, self.iterations, self.intermediate_gradients)

    def extra_repr(self):
        return f"iterations={self.iterations}"
