"""Wrappers that send some images through a network and let the others pass by."""

import hashlib
import random
import re
from typing import Annotated

import torch

from mdir.data.labelled import LabelledImage, tensor_of
from mdir.errors import UserError
from mdir.registry import Check, register


class PassThrough:
    """Images that stay out become None for the network and are put back, untouched, after it.

    A batch is split into its images when they take different ways; it is a batch again
    afterwards, unless the network changed the size of some.
    """

    maps_images_apart = True

    def goes_through(self, image, index: int) -> bool:
        """Whether the image at a position of a batch enters the network."""
        raise TypeError(f"{type(self).__name__} does not decide")

    def preprocess(self, images):
        if isinstance(images, (list, tuple)):
            kept, states = zip(*map(self.preprocess, images), strict=True) if images else ((), ())
            return list(kept), list(states)
        if images is None:
            return None, None
        single = images.dim() < 4
        decisions = [self.goes_through(images, i) for i in range(1 if single else images.shape[0])]
        if all(decisions):
            return images, None
        if not any(decisions):
            return None, tensor_of(images)
        tensors = tensor_of(images).split(1)
        entering = [t if yes else None for t, yes in zip(tensors, decisions, strict=True)]
        return entering, _Mixed(tensors)

    def postprocess(self, output, state):
        if isinstance(state, _Mixed):
            images = [p if o is None else o for o, p in zip(output, state.tensors, strict=True)]
            equal = len({image.shape for image in images}) == 1
            return torch.cat(images) if equal else images
        if isinstance(state, list):
            pairs = zip(output, state, strict=True)
            return [self.postprocess(item, passed) for item, passed in pairs]
        return output if state is None else state


class _Mixed:
    """The images of a batch of which only some enter the network."""

    def __init__(self, tensors):
        self.tensors = tensors


def _check_regex(pattern):
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


def _check_fraction(fraction):
    if not 0 <= float(fraction) <= 1:
        raise ValueError(f"expected a number from 0 to 1, got {fraction}")


Fraction = Annotated[float, Check(_check_fraction)]


@register("wrapper", "random_pass_through")
class RandomPassThrough(PassThrough):
    """Each image enters with probability ``p``, drawn from Python's generator in list order."""

    takes_batches = False  # buckets of equal sizes would change the order of the draws

    def __init__(self, outputmodel, *, p: Fraction):
        self.p = p

    def goes_through(self, image, index):
        return random.random() < self.p


@register("wrapper", "cir_ratio_pass_through")
class CirRatioPassThrough(PassThrough):
    """A fixed fraction of the names with a fitting label enters, the same ones in every epoch.

    Args:
        ratio: fraction of the names.
        label_regex: has to match the start of the image's label.
    """

    def __init__(
        self, outputmodel, *, ratio: Fraction, label_regex: Annotated[str, Check(_check_regex)]
    ):
        self.ratio = ratio
        self.label = re.compile(label_regex)

    def goes_through(self, image, index):
        if not isinstance(image, LabelledImage):
            raise UserError(
                "cir_ratio_pass_through decides by image name and label, but the images carry "
                "none; use a dataset that gives them"
            )
        name, label = image.labels(index)
        return bool(self.label.match(label)) and name_fraction(name) < self.ratio


def name_fraction(name: str) -> float:
    """A number in [0, 1) that belongs to a name: last four hex digits of its MD5 / 65536."""
    return int(hashlib.md5(name.encode()).hexdigest()[-4:], 16) / 65536
