"""Descriptors of one image at several scales, averaged.

Source: Radenović, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, 2018.
"""

import torch
import torch.nn.functional as F


def rescaled(images, scale):
    """Images ``[B, C, H, W]`` with sides ``int(side * scale)``, at least one pixel, bilinear."""
    if scale == 1:
        return images
    sides = [int(side * scale) for side in images.shape[-2:]]
    if min(sides) > 0:  # interpolates by the scale itself, not by the ratio of whole sides
        return F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    sides = [max(side, 1) for side in sides]
    return F.interpolate(images, size=sides, mode="bilinear", align_corners=False)


def average_scales(vectors, exponent=1):
    """Generalized mean of the descriptors of each scale, ``[D, ...]`` each, L2-normalized.

    A mean of zeros stays.
    """
    mean = torch.stack(vectors).pow(exponent).mean(dim=0).pow(1 / exponent)
    lengths = mean.norm(dim=0, keepdim=True)
    return mean / torch.where(lengths == 0, 1, lengths)


def scale_exponent(net, scales):
    """Exponent of the average: that of GeM where nothing follows the pooling, otherwise 1.

    Args:
        net: network with ``meta`` and, where that says ``gem``, the layer ``pool``.
    """
    meta = net.meta
    is_plain_gem = meta.get("pooling") == "gem" and not meta.get("regional")
    if len(scales) == 1 or not is_plain_gem or meta.get("whitening"):
        return 1
    return net.pool.p.item()
