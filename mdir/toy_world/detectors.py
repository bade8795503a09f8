"""Weights for HED and RCF that make plain gradient detectors of them, for the toy world.

The published weights cannot be drawn, and random ones see no edges. These put a Sobel operator
into the first layers of the published architectures; all other weights are zero.
"""

import io

import torch

from mdir.networks.architectures.hed import HED
from mdir.networks.architectures.rcf import RCF

_LUMA_BGR = (0.114, 0.587, 0.299)
_ACROSS = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))

# A step of brightness by 1 has a response of 0.5 on either side; the detector is undecided at
# THRESHOLD. GAIN is how steep it is there.
THRESHOLD = 0.06
GAIN = 50.0

# Zero padding makes a false edge along the frame. A channel that is constant inside and less at
# the frame, where the padding eats into its sum, outweighs it.
_FRAME = 16.0

# Per architecture: class, the first two convolutions, further layers up to the fusion, and how
# far white is above black in its images.
_DETECTORS = {
    "hed_interpolation": (HED, ("vgg1.0", "vgg1.2"), ("score1", "fusion.0"), 1.0),
    "rcf": (RCF, ("conv1_1", "conv1_2"), ("conv1_2_down", "score_dsn1", "score_fuse"), 255.0),
}
NAMES = tuple(_DETECTORS)


def detector_weights(name: str) -> dict[str, torch.Tensor]:
    """State dict (float32) of a gradient detector for an architecture, one of ``NAMES``.

    Images are those that the published weights expect: BGR less a mean, white being 1 (HED) or
    255 (RCF) above black.
    Zero tensors share one element, so that the file is small; load them, do not write into them.
    """
    make, (first, second), further, white = _DETECTORS[name]
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in make().state_dict().items()}
    zero = torch.zeros(1)
    state = {key: zero.expand(shape) for key, shape in shapes.items()}

    def fresh(key):
        state[key] = torch.zeros(shapes[key])
        return state[key]

    # Channels 0 to 3: brightness rising to the right, to the left, downwards, upwards; 4: constant.
    across = torch.tensor(_ACROSS) / (8 * white)
    colours = torch.tensor(_LUMA_BGR).view(3, 1, 1)
    directions = torch.stack([across, -across, across.T, -across.T])
    fresh(f"{first}.weight")[:4] = directions[:, None] * colours
    fresh(f"{first}.bias")[4] = 1.0
    weight = fresh(f"{second}.weight")
    weight[0, :4, 1, 1] = 1.0
    weight[0, 4] = _FRAME
    fresh(f"{second}.bias")[0] = -9 * _FRAME
    for layer in further:
        fresh(f"{layer}.weight")[0, 0] = 1.0
    state[f"{further[-1]}.weight"] *= GAIN
    fresh(f"{further[-1]}.bias")[0] = -GAIN * THRESHOLD
    return state


def detector_file(name: str) -> bytes:
    """The content of a torch file with :func:`detector_weights`; always the same bytes."""
    buffer = io.BytesIO()
    torch.save(detector_weights(name), buffer)
    return buffer.getvalue()
