"""Images read ahead by threads and gathered into batches of one size.

Padding would change what networks compute near the border, and pooling everywhere, so images are
never padded.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch

PIXELS_ON_GPU = 8 << 20
PIXELS_ON_CPU = 1 << 19
WAITING_BATCHES = 8


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


def one(image):
    """1: images are counted."""
    return 1


def area(image):
    """Pixels of an image ``[..., H, W]``."""
    return image.shape[-2] * image.shape[-1]


def same_size_batches(images, limit, weight=one):
    """Gather images of one size, in the order in which they come.

    What is read but not yet handed out is bounded in the unit of a batch, so that memory depends
    neither on the number of images nor on how many sizes they have. Beyond the bound the size
    that has waited longest goes as it is: rare sizes leave, frequent ones fill their batches.

    Args:
        images: iterable of anything with a shape ``[..., C, H, W]``; an item without a shape is
            handed out at once, alone.
        limit: sum of the weights of a batch (at least one image each); eight times as much waits.
        weight: of an image, the same for all of one size: :func:`one` or :func:`area`.

    Yields:
        positions (list of int) and the images at these positions (list).
    """
    groups, waiting = {}, 0
    for position, image in enumerate(images):
        if not hasattr(image, "shape"):
            yield [position], [image]
            continue
        size = tuple(image.shape[-3:])
        positions, same = groups.setdefault(size, ([], []))
        positions.append(position)
        same.append(image)
        waiting += weight(image)
        full = (len(same) + 1) * weight(image) > limit
        while full or waiting > WAITING_BATCHES * limit:
            batch = groups.pop(size if full else next(iter(groups)))
            waiting -= sum(map(weight, batch[1]))
            full = False
            yield batch
    while groups:
        yield groups.pop(next(iter(groups)))


def split_transform(transform):
    """Divide a transform between the threads that decode and the device of the network.

    ``Compose([ToTensor(), Normalize(mean, std)])``: pixels travel as uint8, a quarter of the
    bytes, and become floats on the device by the same arithmetic. Other transforms stay whole.

    Returns:
        transform of a PIL image, and a function of a batch on the device.
    """
    import torchvision.transforms as T  # late: takes as long as torch itself
    from torchvision.transforms.functional import pil_to_tensor

    steps = getattr(transform, "transforms", [])
    if [type(step) for step in steps] != [T.ToTensor, T.Normalize]:
        return transform, lambda batch: batch
    normalize = steps[1]
    return pil_to_tensor, lambda batch: normalize(batch.to(torch.float32).div(255))
