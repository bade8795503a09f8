"""ResNets with instance normalisation beside batch normalisation (Pan et al., ECCV 2018), IBN-a."""

from collections.abc import Callable

import torch
from torch import nn

LAYERS = {"resnet_ibn50a": (3, 4, 6, 3), "resnet_ibn101a": (3, 4, 23, 3)}


class IBN(nn.Module):
    """``[B, C, H, W]``: the first C // 2 channels normalised per image, the others per batch.

    Args:
        channels: C.
        norm: makes the batch normalisation of so many channels.
    """

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.half = channels // 2
        self.IN = nn.InstanceNorm2d(self.half, affine=True)
        self.BN = norm(channels - self.half)

    def forward(self, x):
        first, rest = x.split([self.half, x.shape[1] - self.half], dim=1)
        return torch.cat([self.IN(first.contiguous()), self.BN(rest.contiguous())], dim=1)


def resnet_ibn(name: str, norm: Callable[[int], nn.Module]) -> nn.Module:
    """A ResNet of :data:`LAYERS` with ImageNet's classifier, weights drawn at random.

    The first normalisation of each block is an :class:`IBN`, but for the last layer's.
    """
    from torchvision.models.resnet import Bottleneck, ResNet  # late: takes as long as torch itself

    network = ResNet(Bottleneck, list(LAYERS[name]), norm_layer=norm)
    for block in (*network.layer1, *network.layer2, *network.layer3):
        block.bn1 = IBN(block.bn1.num_features, norm)
    return network
