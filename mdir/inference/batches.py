"""Images of one size go through a network together, in the order in which they are loaded.

Padding would change what networks compute near the border (and GeM everywhere), so a batch holds
images of one size only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mdir.data.labelled import LabelledImage


@dataclass
class Bucket:
    """Positions in the dataset and the batch of their images (None: they are unreadable)."""

    indices: list[int]
    images: object


def same_size_batches(loader, batch_size: int) -> Iterator[Bucket]:
    """Regroup a loader's single images into batches of one size.

    Args:
        loader: gives batches of one in dataset order: a tensor, a labelled image, a list of those
            (rows of several images, kept to themselves) or ``{}`` for an unreadable one.
        batch_size: largest number of images in a batch; at most eight times as many wait for
            others of their size.
    """
    waiting: dict[tuple, list] = {}
    for index, images in enumerate(loader):
        if isinstance(images, dict):
            yield Bucket([index], None)
            continue
        if batch_size == 1 or not isinstance(images, (torch.Tensor, LabelledImage)):
            yield Bucket([index], images)
            continue
        bucket = waiting.setdefault(tuple(images.shape), [])
        bucket.append((index, images))
        crowded = sum(map(len, waiting.values())) >= 8 * batch_size
        if len(bucket) == batch_size:
            yield _join(waiting.pop(tuple(images.shape)))
        elif crowded:
            yield _join(waiting.pop(max(waiting, key=lambda shape: len(waiting[shape]))))
    for bucket in waiting.values():
        yield _join(bucket)


def _join(bucket):
    indices, images = zip(*bucket, strict=True)
    if not isinstance(images[0], LabelledImage):
        return Bucket(list(indices), torch.cat(images))
    parts = {
        key: [text for image in images for text in getattr(image, key)]
        for key in ("path", "name", "image_label")
    }
    return Bucket(list(indices), LabelledImage(torch.cat([i.tensor for i in images]), **parts))
