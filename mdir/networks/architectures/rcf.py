"""RCF edge detector.

Liu et al.: Richer Convolutional Features for Edge Detection, CVPR 2017.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from cirtorch.layers.convolution import Conv2d
from mdir.networks.architectures.parts.sizes import require_side
from mdir.networks.architectures.pretrained import load_pretrained
from mdir.registry import register

STAGES = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512,) * 4)

# Per stage: size of the bilinear kernel, stride, and where the image starts in the result.
UPSAMPLING = {2: (4, 2, 1), 3: (8, 4, 2), 4: (16, 8, 4), 5: (16, 8, 0)}


@register("architecture", "rcf")
class RCF(nn.Module):
    """(B,3,H,W) -> edge map (B,1,H,W); sides of more than 8 pixels.

    Images are BGR, 0..255 minus the channel means (a matter of the wrappers).

    Args:
        pretrained: path or URL of a state_dict with the published keys.
    """

    def __init__(self, *, pretrained: str | None = None):
        super().__init__()
        names = [
            (stage, f"conv{stage}_{index}", channels, wider)
            for stage, widths in enumerate(STAGES, 1)
            for index, (channels, wider) in enumerate(pairwise(widths), 1)
        ]
        for stage, name, channels, wider in names:
            spread = 2 if stage == 5 else 1
            conv = Conv2d(channels, wider, 3, padding=spread, dilation=spread)
            self.add_module(name, conv)
        for _, name, _, wider in names:
            self.add_module(f"{name}_down", nn.Conv2d(wider, 21, 1))
        for stage in range(1, 6):
            self.add_module(f"score_dsn{stage}", nn.Conv2d(21, 1, 1))
        self.score_fuse = nn.Conv2d(5, 1, 1)
        for stage, (size, _, _) in UPSAMPLING.items():
            self.register_buffer(f"bilinear{stage}", _bilinear(size), persistent=False)
        self.meta = {"in_channels": 3, "out_channels": 1}
        if pretrained:
            load_pretrained(self, pretrained)

    def forward(
        self, x: torch.Tensor, no_sigmoid: bool = False, features=None, interpolate=None
    ) -> torch.Tensor:
        """Fused edge probabilities, or raw scores with ``no_sigmoid``.

        ``features`` and ``interpolate`` are taken for callers of the published network and have
        no effect.

        Raises:
            UserError: for an image with a side of less than 9 pixels.
        """
        require_side(x, 9, "RCF")
        height, width = x.shape[-2:]
        scores = []
        for stage, widths in enumerate(STAGES, 1):
            if stage > 1:
                x = F.max_pool2d(x, 2, stride=1 if stage == 5 else 2, ceil_mode=True)
            side = 0
            for index in range(1, len(widths)):
                x = F.relu(getattr(self, f"conv{stage}_{index}")(x), inplace=True)
                side = side + getattr(self, f"conv{stage}_{index}_down")(x)
            score = self._enlarge(stage, getattr(self, f"score_dsn{stage}")(side))
            scores.append(score[..., :height, :width])
        fused = self.score_fuse(torch.cat(scores, 1))
        return fused if no_sigmoid else torch.sigmoid(fused)

    def _enlarge(self, stage, score):
        if stage not in UPSAMPLING:
            return score
        _, stride, offset = UPSAMPLING[stage]
        score = F.conv_transpose2d(score, getattr(self, f"bilinear{stage}"), stride=stride)
        return score[..., offset:, offset:]


def _bilinear(size):
    factor = (size + 1) // 2
    center = factor - 0.5 if size % 2 == 0 else factor - 1.0
    row = 1 - (torch.arange(size) - center).abs() / factor
    return (row[:, None] * row[None, :])[None, None]
