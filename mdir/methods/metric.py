"""Learning from inputs with targets, tuples included (published project: SupervisedEpoch)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cirtorch.datasets.same_size_batches import area
from cirtorch.utils.nested import map_tensors
from mdir.data.labelled import LabelledImage, tensor_of
from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.losses.value import as_named
from mdir.methods.base import Dividing, Method
from mdir.registry import register

_JOINED_PIXELS = 7 * 362 * 272  # a published tuple of seven images: joined ones need no more memory


@register("method", "SupervisedEpoch", "supervised", "metric")
class SupervisedEpoch(Method):
    """Forward, loss, backward, step.

    Args:
        batch_average: the gradient is the mean over the items of a batch, otherwise their sum.
        fakebatch: forward and backward item by item (images of different sizes, whole tuples that
            fill the memory); the gradients are those of the batch. Tuples of small images go
            together, as many as have the pixels of one published tuple, where the loss is their
            sum and each image is described by itself.
    """

    def __init__(
        self, network, optimizer, criterion, data=None, *, batch_average: bool, fakebatch: bool
    ):
        super().__init__(network, optimizer, criterion, data)
        reduction = getattr(criterion, "reduction", None)
        if reduction not in ("mean", "sum"):
            raise UserError(
                "SupervisedEpoch needs a criterion whose reduction is mean or sum, "
                f"got {type(criterion).__name__} with reduction {reduction!r}"
            )
        self.batch_average = batch_average
        self.fakebatch = fakebatch
        self.dividing = Dividing(at_once=not fakebatch, reports_its_part=True)
        self._last = {}

    def step(self, batch, part=WHOLE):
        images, targets = batch[0], to_device(batch[1], self.device)
        self.optimizer.zero_grad()
        losses, size = {}, part.size(batch_size(images))
        for image, target in self._pieces(images, targets):
            output = self.network(image)
            loss = self._scaled(self.criterion(output, target), size, part)
            named = as_named(loss)
            named["total"].backward()
            for name, value in named.items():
                losses[name] = losses.get(name, 0) + value.detach()
        self.optimizer.step()
        self._last = {"input": image, "output": output, "target": target}
        divisor = 1 if self.batch_average else size
        return {name: value / divisor for name, value in losses.items()}

    def samples(self):
        return self._last

    def _pieces(self, images, targets):
        """What is forwarded at once: the batch or, of a fake one, its items."""
        if not self.fakebatch:
            return [(images, targets)]
        items = zip(_items(images), _items(targets), strict=True)
        return _join_tuples(items) if self._sums_over_tuples(images) else items

    def _sums_over_tuples(self, images):
        """Whether tuples may go together, as one list of images."""
        is_sum = getattr(self.criterion, "sums_over_tuples", False)
        tuples = isinstance(images, (list, tuple)) and isinstance(images[0], (list, tuple))
        return is_sum and tuples and self.network.gives_columns

    def _scaled(self, loss, size, part):
        is_mean = self.criterion.reduction == "mean"
        is_mean_of_batch = is_mean and not self.fakebatch
        loss = loss * (part.weight if is_mean_of_batch else float(part.counts))
        if self.batch_average and not is_mean:
            return loss / size
        if not self.batch_average and is_mean:
            return loss * size
        return loss


def batch_size(images) -> int:
    """How many items a batch holds: a (labelled) tensor's first dimension, a list's length."""
    return len(tensor_of(images))


def to_device(value, device):
    """Targets on a device: a tensor, or lists, tuples and mappings of tensors, without labels."""
    return map_tensors(lambda tensor: tensor_of(tensor).to(device, non_blocking=True), value)


def _items(batch):
    """The items of a batch, those of a tensor as batches of one."""
    if isinstance(batch, LabelledImage):
        labels = (batch.path, batch.name, batch.image_label)
        return [
            LabelledImage(tensor, *([texts[i]] for texts in labels))
            for i, tensor in enumerate(batch.tensor.split(1))
        ]
    return batch.split(1) if isinstance(batch, Tensor) else batch


def _join_tuples(items) -> Iterator[tuple[list, Tensor]]:
    """``(images, target)`` of tuples one after the other, up to a bound of pixels."""
    images, targets, pixels = [], [], 0
    for members, target in items:
        added = sum(area(tensor_of(member)) for member in members)
        unlike = targets and len(target) != len(targets[0])
        if unlike or (images and pixels + added > _JOINED_PIXELS):
            yield images, torch.cat(targets)
            images, targets, pixels = [], [], 0
        images, targets, pixels = [*images, *members], [*targets, target], pixels + added
    yield images, torch.cat(targets)
