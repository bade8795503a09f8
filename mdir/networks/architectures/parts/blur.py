"""Resampling without aliasing.

Zhang: Making Convolutional Networks Shift-Invariant Again, ICML 2019; the form is that of
contrastive-unpaired-translation.
"""

import torch
import torch.nn.functional as F
from torch import nn


class BlurDownsample(nn.Module):
    """(B,C,H,W) -> (B,C,ceil(H/2),ceil(W/2)) through a [1,2,1] binomial filter."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", _kernel([1.0, 2.0, 1.0], channels))

    def forward(self, x):
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.filt, stride=2, groups=x.shape[1])


class BlurUpsample(nn.Module):
    """(B,C,H,W) -> (B,C,2H,2W) through a [1,3,3,1] binomial filter."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", 4 * _kernel([1.0, 3.0, 3.0, 1.0], channels))

    def forward(self, x):
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        y = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return y[..., 1:-1, 1:-1]


def _kernel(row, channels):
    row = torch.tensor(row)
    kernel = row[:, None] * row[None, :]
    return (kernel / kernel.sum()).repeat(channels, 1, 1, 1)
