"""Network output -> 8-bit images."""

import numpy as np


def to_pixels(output: np.ndarray, mean_std, stretch_by="meanstd") -> np.ndarray:
    """Turn an output into pixels.

    Args:
        output: ``[C, H, W]``; one channel makes a grey image, of more the first three are taken.
        mean_std: ``[[mean, ...], [std, ...]]`` of the data section.
        stretch_by: "meanstd" takes the normalization off; "none" leaves values in 0..1 as they
            are; "auto" spreads the image's own range over 0..1; a number s divides what
            "meanstd" gives by s and adds half a step, ``1 / (2 s)``.

    Returns:
        uint8 ``[H, W, 3]`` or ``[H, W]``; values are clipped and cut, not rounded, as published.
    """
    image = np.asarray(output, dtype=np.float64)[:3]
    image = image[0] if len(output) == 1 else image.transpose(1, 2, 0)
    if stretch_by == "auto":
        image = image - image.min()
        image = image / (image.max() or 1)
    elif stretch_by != "none":
        mean, std = (np.asarray(values, dtype=np.float64) for values in mean_std)
        grey = image.ndim == 2
        image = image * (std[0] if grey else std[:3]) + (mean[0] if grey else mean[:3])
        if stretch_by != "meanstd":
            image = image / stretch_by + 1 / (2 * stretch_by)
    return np.clip(255 * image, 0, 255).astype(np.uint8)
