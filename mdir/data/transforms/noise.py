"""Noise."""

import numpy as np

from mdir.data.transforms.base import Transform
from mdir.registry import register


@register("transform", "gaussian_noise")
class GaussianNoise(Transform):
    """Gaussian noise on the first image of the tuple, clipped to 0..1."""

    def __init__(self, *, sigma: float):
        if not sigma >= 0:
            raise ValueError(f"sigma {sigma} is negative")
        self.sigma = sigma

    def __call__(self, *images):
        noise = np.random.normal(0, self.sigma, images[0].shape)
        noisy = np.clip(images[0] + noise, 0, 1).astype(np.float32)
        return (noisy, *images[1:])
