"""An image that knows where it comes from: a tensor with its path, name and label."""

import os
from dataclasses import dataclass, replace

import torch
from torch.utils.data._utils.collate import default_collate, default_collate_fn_map


@dataclass(eq=False)
class LabelledImage:
    """A CHW image or a BCHW batch together with what its loader knows about it.

    For one image, ``path``, ``name`` and ``image_label`` are texts; for a batch, lists of B texts.
    The label says what an image is used for, and wrappers decide by how it starts: ``anc``,
    ``pos`` or ``neg`` in a training tuple, ``-easy`` or ``-hard`` after it where anchors are drawn
    so; ``anc-mine``, ``neg-pool-mine``, ... while tuples are mined; the text of a scenario's
    column; empty in evaluations and for whitening.
    Torch functions take it like a tensor and give back a labelled image again; networks return
    plain tensors. The default collate function of data loaders stacks them.
    """

    tensor: torch.Tensor
    path: str | list[str] = ""
    name: str | list[str] = ""
    image_label: str | list[str] = ""

    @classmethod
    def of_file(cls, tensor, path: str, image_label: str = "") -> "LabelledImage":
        """Label an image by its file; the name is the file's own without its last suffix."""
        name = os.path.splitext(os.path.basename(path))[0]
        return cls(tensor, path, name, image_label)

    @property
    def shape(self):
        return self.tensor.shape

    @property
    def device(self):
        return self.tensor.device

    @property
    def dtype(self):
        return self.tensor.dtype

    def dim(self) -> int:
        return self.tensor.dim()

    def with_tensor(self, tensor) -> "LabelledImage":
        """The same labels around another tensor."""
        return replace(self, tensor=tensor)

    def to(self, *args, **kwargs) -> "LabelledImage":
        return self.with_tensor(self.tensor.to(*args, **kwargs))

    def pin_memory(self, device=None) -> "LabelledImage":
        return self.with_tensor(self.tensor.pin_memory())

    def unsqueeze_(self, dim: int) -> "LabelledImage":
        self.tensor.unsqueeze_(dim)
        return self

    def labels(self, index: int) -> tuple[str, str]:
        """Name and label of the image at a position of the batch."""
        return _at(self.name, index), _at(self.image_label, index)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        first = next(item for item in args if isinstance(item, cls))
        result = func(*map(tensor_of, args), **(kwargs or {}))
        return first.with_tensor(result) if isinstance(result, torch.Tensor) else result


def tensor_of(image):
    """The bare tensor of a labelled image; anything else comes back unchanged."""
    return image.tensor if isinstance(image, LabelledImage) else image


def _at(texts, index):
    return texts if isinstance(texts, str) else texts[index]


def _collate(batch, *, collate_fn_map=None):
    return LabelledImage(
        default_collate([image.tensor for image in batch]),
        [image.path for image in batch],
        [image.name for image in batch],
        [image.image_label for image in batch],
    )


default_collate_fn_map[LabelledImage] = _collate
