"""Pictures of many kinds, and readers that keep what was decoded of them."""

import os
import random

import numpy as np
import torch
from PIL import Image

from mdir.data.decoded_cache import CachedCompose, DecodedCache
from mdir.data.image_files import open_through
from mdir.data.transforms.parse import parse_transforms

MEAN_STD = ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
SIZES = [(40, 30), (31, 47), (9, 8), (1, 50)]


def noise(size, seed=0, dtype=np.uint8, channels=3):
    shape = (size[1], size[0], channels) if channels else size[::-1]
    return np.random.RandomState(seed).randint(0, np.iinfo(dtype).max + 1, shape, dtype)


def paint(folder):
    """Pictures of many kinds and sizes; returns their paths."""
    folder.mkdir(parents=True)
    for number, size in enumerate(SIZES):
        name = folder / f"{number}"
        Image.fromarray(noise(size, number)).save(f"{name}.jpg")
        Image.fromarray(noise(size, number)).save(f"{name}.png")
        Image.fromarray(noise(size, number, channels=0)).save(f"{name}-grey.jpg")
        Image.fromarray(noise(size, number, np.uint16, channels=0)).save(f"{name}-16.png")
        Image.fromarray(noise(size, number, channels=4)).save(f"{name}-clear.png")
        Image.fromarray(noise(size, number)).convert("P").save(f"{name}-palette.gif")
        Image.fromarray(noise(size, number)).convert("CMYK").save(f"{name}-cmyk.tif")
        np.save(f"{name}.npy", noise(size, number))
    return sorted(map(str, folder.iterdir()))


def cached(text, gib=1, mean_std=MEAN_STD):
    return CachedCompose(parse_transforms(text, mean_std).transforms, DecodedCache(gib))


def outcome(transform, *reading):
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    try:
        result = transform(open_through(transform, *reading))
    except Exception as error:
        return type(error), str(error)
    if isinstance(result, Image.Image):
        return result.mode, result.size, result.tobytes()
    strides = result.stride() if isinstance(result, torch.Tensor) else result.strides
    strides = [step for step, size in zip(strides, result.shape, strict=True) if size > 1]
    return type(result), str(result.dtype), tuple(result.shape), strides, bytes(np.asarray(result))


def names_of(paths):
    return ([os.path.basename(path) for path in paths if not path.endswith(".npy")],)


def listed(**options):
    data = {"name": "ImageList", "image_dir": "pictures"}
    return {"dataset": data, "transforms": "resize_to:16 | totensor", **options}
