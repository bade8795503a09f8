"""Images out of what a training step saw and made."""

import torch

from mdir.data.labelled import tensor_of

MIN_SIZE = 20  # pixels; anything smaller is not an image
MAX_IMAGES = 8  # of one list


def image_blobs(value, mean_std=None) -> dict[str, dict]:
    """Blobs for the event rows: ``image0.rgb``, ``image1.rgb``, ``image0.chan1``, ...

    Args:
        value: ``[C, H, W]`` or ``[B, C, H, W]`` (the first item is taken), or a list of those;
            anything else gives nothing.
        mean_std: of the normalization to undo.
    """
    items = value if isinstance(value, (list, tuple)) else [value]
    found = {}
    for index, item in enumerate(items[:MAX_IMAGES]):
        for name, blob in _channels(tensor_of(item), mean_std).items():
            found[f"image{index}.{name}"] = blob
    return found


def _channels(image, mean_std):
    if not isinstance(image, torch.Tensor) or image.dim() not in (3, 4):
        return {}
    image = image.detach()[0] if image.dim() == 4 else image.detach()
    if min(image.shape[1:]) < MIN_SIZE or not image.is_floating_point():
        return {}
    mean, std = mean_std or ([0.0], [1.0])
    if len(image) >= 3 and len(mean) in (1, 3):
        shape = (-1, 1, 1)
        scale = torch.tensor(std, dtype=image.dtype, device=image.device).reshape(shape)
        shift = torch.tensor(mean, dtype=image.dtype, device=image.device).reshape(shape)
        return {"rgb": {"dtype": "image:rgb", "data": image[:3] * scale + shift}}
    if len(image) not in (1, 2):
        return {}
    factor, offset = (std[0], mean[0]) if len(mean) == 1 else (1.0, 0.0)
    return {
        f"chan{number}": {"dtype": "image:gray", "data": channel * factor + offset}
        for number, channel in enumerate(image, start=1)
    }
