"""Descriptors of images as one array."""

import numpy as np

from mdir import distributed
from mdir.errors import UserError
from mdir.inference.outputs.base import Output
from mdir.registry import register


@register("output", "embedding")
class EmbeddingOutput(Output):
    """Collects descriptors; gives ``(names, float64 [N, D])``.

    Args:
        use_bbxs: the second column of the data holds boxes.
        image_labels: the last column holds labels.

    The row of an unreadable image is NaN.
    """

    def __init__(self, *, use_bbxs: bool = False, image_labels: bool = False):
        self.columns = 1 + use_bbxs + image_labels

    def prepare(self, columns, section):
        if len(columns) != self.columns:
            raise UserError(
                f"output embedding expects {self.columns} columns of data, got {len(columns)}"
            )
        self.names = list(columns[0])
        self.vectors = [None] * len(self.names)
        return columns, list(range(len(self.names)))

    def collect(self, index, image, output):
        if output is not None:
            self.vectors[index] = output.reshape(-1).double().cpu().numpy()

    def per_image(self, output, count):
        if count == 1:
            return [output]
        return list(output.t())

    def gather(self):
        for part in distributed.gather({i: v for i, v in enumerate(self.vectors) if v is not None}):
            for index, vector in part.items():
                self.vectors[index] = vector

    def result(self):
        if not self.names:
            return self.names, np.zeros((0, 0))
        found = [vector for vector in self.vectors if vector is not None]
        if not found:
            raise UserError(f"none of {len(self.names)} images can be read")
        missing = np.full(len(found[0]), np.nan)
        return self.names, np.stack([missing if v is None else v for v in self.vectors])
