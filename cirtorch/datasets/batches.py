"""Images read ahead by threads and gathered into batches of equal size.

Pooling over padding changes a descriptor, so images are never padded: each size has its own
bucket, and a bucket becomes a batch when it is full.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch
import torchvision.transforms as T
from torchvision.transforms.functional import pil_to_tensor

PIXELS_ON_GPU = 8 << 20
PIXELS_ON_CPU = 1 << 19
_WAITING = 4


def default_workers():
    """Threads that decode: one a core, eight at most. Decoding and resizing run in parallel."""
    return min(8, os.cpu_count() or 1)


def read_ahead(function, count, workers=None):
    """Yield ``function(0), ..., function(count - 1)`` in order, computed ahead by threads."""
    workers = workers or default_workers()
    with ThreadPoolExecutor(workers) as pool:
        pending = deque()
        try:
            for index in range(count):
                pending.append(pool.submit(function, index))
                if len(pending) > 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def equal_size_batches(tensors, pixels):
    """Gather numbered images into batches.

    Args:
        tensors: iterable of ``[C, H, W]``.
        pixels: area of a batch; at least one image each.

    Yields:
        positions (list of int) and ``[B, C, H, W]``. Four times ``pixels`` wait at most; then the
        largest bucket goes as it is.
    """
    buckets, waiting = {}, 0
    for position, tensor in enumerate(tensors):
        area = tensor.shape[-2] * tensor.shape[-1]
        bucket = buckets.setdefault((tuple(tensor.shape), tensor.dtype), [])
        bucket.append((position, tensor))
        waiting += area
        if (len(bucket) + 1) * area > pixels:
            full = (tuple(tensor.shape), tensor.dtype)
        elif waiting > _WAITING * pixels:
            full = max(buckets, key=lambda key: len(buckets[key]) * key[0][-1] * key[0][-2])
        else:
            continue
        batch = buckets.pop(full)
        waiting -= len(batch) * full[0][-1] * full[0][-2]
        yield _stacked(batch)
    for batch in buckets.values():
        yield _stacked(batch)


def _stacked(batch):
    positions, tensors = zip(*batch, strict=True)
    return list(positions), torch.stack(tensors)


def split_transform(transform):
    """Divide a transform between the threads that decode and the device of the network.

    ``Compose([ToTensor(), Normalize(mean, std)])``: pixels travel as uint8, a quarter of the
    bytes, and become floats on the device by the same arithmetic. Other transforms stay whole.

    Returns:
        transform of a PIL image, and a function of a batch on the device.
    """
    steps = getattr(transform, "transforms", [])
    if [type(step) for step in steps] != [T.ToTensor, T.Normalize]:
        return transform, lambda batch: batch
    normalize = steps[1]
    return pil_to_tensor, lambda batch: normalize(batch.to(torch.float32).div(255))
