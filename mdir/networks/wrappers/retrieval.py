"""Wrappers of retrieval networks, whose output for B images is a matrix ``[D, B]``."""

from typing import Annotated

import torch

from cirtorch.layers.multiscale import average_scales, rescaled, scale_exponent
from cirtorch.utils.errors import DataError
from mdir.errors import UserError
from mdir.networks.whitening import read_whitening
from mdir.registry import Check, register

_ROOT = 2**0.5
_SCALES = {
    "ss": [1],
    "ms": [1, 1 / _ROOT, 1 / 2],
    "sms": [1, 1 / _ROOT, _ROOT],
    "sms5": [1, 1 / _ROOT, _ROOT, 1 / 2, 2],
}
_SCALES |= {"True": _SCALES["ms"], "False": _SCALES["ss"]}


def named_scales(scales) -> list[float]:
    """Scale factors from their name (``"ms"``, ``"ss"``, ..., True, False) or a list of them."""
    if isinstance(scales, (bool, str)):
        if str(scales) not in _SCALES:
            raise ValueError(f"unknown scales {scales!r}. Allowed: {', '.join(_SCALES)}, a list")
        return _SCALES[str(scales)]
    if not scales or not all(isinstance(s, (int, float)) and s > 0 for s in scales):
        raise ValueError(f"expected numbers above 0, got {scales!r}")
    return list(scales)


@register("wrapper", "cirmultiscale")
class CirMultiscale:
    """Describes images at several scales and averages the descriptors.

    ``v = (mean over scales of v_s^msp)^(1/msp)``, divided by its norm. ``msp`` is GeM's exponent
    for plain GeM networks and 1 otherwise. One image gives ``[D]``, a batch ``[D, B]``.

    Source: Radenović, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation.
    """

    def __init__(self, outputmodel, *, scales: Annotated[bool | str | list, Check(named_scales)]):
        self.scales = named_scales(scales)
        self.outputmodel = outputmodel

    def preprocess(self, images):
        if isinstance(images, (list, tuple)):
            return [scaled for image in images for scaled in self._pyramid(image)], True
        return self._pyramid(images), False

    def _pyramid(self, image):
        return [rescaled(image, scale) for scale in self.scales]

    def postprocess(self, output, is_list):
        count, exponent = len(self.scales), scale_exponent(self.outputmodel, self.scales)
        output = [_drop_single(vector) for vector in output]
        groups = [output[start : start + count] for start in range(0, len(output), count)]
        vectors = [average_scales(group, exponent) for group in groups]
        return vectors if is_list else vectors[0]


def _drop_single(vectors):
    """``[D, 1]`` -> ``[D]``; several columns stay."""
    return vectors[:, 0] if vectors.dim() == 2 and vectors.shape[1] == 1 else vectors


@register("wrapper", "cirwhiten")
class CirWhiten:
    """Whitens descriptors by a learned projection: ``P[:d] (v - m)``, L2-normalized.

    Args:
        whitening: file with ``m`` ``[D, 1]`` and ``P`` ``[D', D]``: a path or a URL, whose hash
            suffix is checked.
        dimensions: rows of P to use; null: all.

    Raises:
        DataError: when applied to descriptors of another length than D.
    """

    def __init__(self, outputmodel, *, whitening: str, dimensions: int | None = None):
        self.source = whitening
        m, projection = map(torch.from_numpy, read_whitening(whitening))
        rows = projection.shape[0]
        if dimensions is not None and not 0 < dimensions <= rows:
            raise UserError(f"cirwhiten: {dimensions} dimensions of {rows} in {whitening}")
        self.m, self.projection = m, projection[:dimensions]

    def preprocess(self, images):
        return images, None

    def postprocess(self, output, state):
        if output is None:
            return None
        if isinstance(output, (list, tuple)):
            return [self.postprocess(vector, state) for vector in output]
        columns = output if output.dim() == 2 else output[:, None]
        if len(columns) != len(self.m):
            raise DataError(
                f"{self.source}: whitens descriptors of {len(self.m)} dimensions, the network's "
                f"have {len(columns)}"
            )
        columns = self.projection.to(columns) @ (columns - self.m.to(columns))
        columns = columns / (columns.norm(dim=0, keepdim=True) + 1e-6)
        return _drop_single(columns)


class _Columns:
    """Turns a list of outputs into the matrix that tuple losses take."""

    gives_columns = maps_images_apart = True

    def __init__(self, outputmodel):
        self.dimensions = outputmodel.meta["out_channels"]

    def postprocess(self, output, state):
        if not isinstance(output, list):
            return output
        return torch.cat([item.reshape(self.dimensions, -1) for item in output], dim=1)


@register("wrapper", "fakebatch")
class FakeBatch(_Columns):
    """A list of images of any sizes gives one matrix ``[D, n]``."""

    def preprocess(self, images):
        return images, None


@register("wrapper", "cirfaketuplebatch")
class CirFakeTupleBatch(_Columns):
    """A list of tuples of images gives one matrix ``[D, n]``, tuple after tuple."""

    def preprocess(self, images):
        nested = isinstance(images, (list, tuple)) and images
        if not nested or not isinstance(images[0], (list, tuple)):
            return images, None
        if len({len(item) for item in images}) > 1:
            raise UserError(
                f"cirfaketuplebatch: tuples of different lengths {[len(i) for i in images]}"
            )
        return [image for item in images for image in item], None
