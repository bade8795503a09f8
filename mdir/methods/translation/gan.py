"""What the adversarial methods share: frozen opponents, the discriminator's step, names."""

from contextlib import contextmanager

import torch

from mdir.data.labelled import tensor_of
from mdir.errors import UserError
from mdir.losses.discriminator import DiscriminatorLoss
from mdir.losses.multihead import MultiheadLoss
from mdir.losses.value import LossValue
from mdir.methods.base import Dividing, Method

_JOINED_IMAGES = 4  # more fill a device each by themselves; joined, 16 took a card longer


@contextmanager
def frozen(*networks):
    """No gradients for these networks' parameters inside the block; their inputs still get them."""
    parameters = [p for network in networks for p in network.model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def joins(network, batches) -> bool:
    """Whether batches (B,3,H,W) may go through a network as one, which changes nothing of them.

    It takes a model that says ``learns_images_apart``, no wrappers, and few images of one size.
    """
    apart = getattr(network.model, "learns_images_apart", None)
    wrapped = len(network.wrappers[network.stage]) > 0
    sizes = {batch.shape[1:] for batch in batches}
    fit = len(sizes) == 1 and sum(map(len, batches)) <= _JOINED_IMAGES
    return apart is not None and not wrapped and fit and apart()


def each_of(network, batches, call=None, **params) -> list:
    """A network's output for each of several batches, in one pass where they may be joined.

    ``call``: what is called in the network's place.
    """
    call = network if call is None else call
    if not joins(network, batches):
        return [call(batch, **params) for batch in batches]
    counts = [len(batch) for batch in batches]
    output = call(torch.cat(batches), **params)
    if isinstance(output, torch.Tensor):
        return list(output.split(counts))
    return [list(parts) for parts in zip(*(one.split(counts) for one in output), strict=True)]


def total_of(loss) -> torch.Tensor:
    """The number to minimise of a LossValue or a tensor."""
    return loss.total if isinstance(loss, LossValue) else loss


def half_of(on_real, on_fake) -> torch.Tensor:
    """The discriminator's loss: the mean of its losses on real images and on translations."""
    return (total_of(on_real) + total_of(on_fake)) / 2


def parts_of(prefix: str, loss) -> dict[str, torch.Tensor]:
    """``{prefix_part: value}``; empty for a loss without parts."""
    if not isinstance(loss, LossValue):
        return {}
    return {f"{prefix}_{name}": value for name, value in loss.parts.items()}


def detached(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a step returns: the numbers without their graphs, still on the device."""
    return {name: value.detach() for name, value in losses.items()}


class GanMethod(Method):
    """Base: a batch is ``(real_X, real_Y)``, two tensors (B,3,H,W); images are remembered.

    The items of one data section are such pairs, those of two are images of X and images of Y.
    """

    streams = (1, 2)

    def __init__(self, network, optimizer, criterion, data=None):
        super().__init__(network, optimizer, criterion, data)
        self._images = {}

    @property
    def dividing(self):
        """Losses of parts are averaged, which a sum over a batch does not allow."""
        for module in self.criterion.modules():
            if getattr(module, "reduction", "mean") != "mean":
                return Dividing(f"the reduction of its {type(module).__name__} is not mean")
        return Dividing()

    def to_device(self, batch):
        """The two images of a batch on the networks' device."""
        real_X, real_Y = batch
        return (tensor_of(real).to(self.device, non_blocking=True) for real in (real_X, real_Y))

    def remember(self, **images: torch.Tensor) -> None:
        """Keep the last image of the batch for :meth:`samples`."""
        self._images = {name: image[-1:].detach() for name, image in images.items()}

    def samples(self):
        return {name: image[0] for name, image in self._images.items()}


class OneSidedGan(GanMethod):
    """Base of the methods with one generator, X -> Y, and one discriminator that judges Y.

    The criterion is a ``multihead_loss`` of which the heads named
    in ``heads`` are called one by one with their weights; ``adversarial`` is a
    ``discriminator_loss``.
    """

    heads: tuple[str, ...] = ("adversarial",)

    def __init__(self, network, optimizer, criterion, data=None):
        super().__init__(network, optimizer, criterion, data)
        name = type(self).__name__
        given = list(criterion.losses) if isinstance(criterion, MultiheadLoss) else None
        if given is None or not set(self.heads) <= set(given):
            raise UserError(
                f"{name} needs a multihead_loss with the heads {', '.join(self.heads)}, got "
                f"{'the heads ' + ', '.join(given) if given else type(criterion).__name__}"
            )
        if not isinstance(criterion.losses["adversarial"], DiscriminatorLoss):
            raise UserError(f"{name} needs a discriminator_loss as its head 'adversarial'")
        self.generator = network["generator_X"]
        self.discriminator = network["discriminator_Y"]

    def judge(self, prediction, is_real: bool):
        """Weighted adversarial loss of a discriminator's output."""
        return self.weighted("adversarial", prediction, is_real)

    def weighted(self, head: str, output, target):
        """A head's loss times its weight."""
        return self.criterion.weights[head] * self.criterion.losses[head](output, target)

    def discriminator_step(self, real_Y, fake_Y, part, *, fake_first=False, scaled=True):
        """Step D; returns its losses on real images and on translations, not halved.

        Args:
            real_Y, fake_Y: (B,3,H,W); no gradient reaches the generator.
            part: of the batch, see :meth:`mdir.methods.base.Method.step`.
            fake_first: which pass comes first, of which only batch statistics take note.
            scaled: the adversarial weight counts.
        """
        judge = self.judge if scaled else self.criterion.losses["adversarial"]
        optimizer = self.optimizer["discriminator_Y"]
        optimizer.zero_grad()
        images = {True: real_Y, False: fake_Y.detach()}
        order = (False, True) if fake_first else (True, False)
        judged = each_of(self.discriminator, [images[kind] for kind in order])
        losses = {kind: judge(one, kind) for kind, one in zip(order, judged, strict=True)}
        self.minimise(half_of(losses[True], losses[False]), part)
        optimizer.step()
        return losses[True], losses[False]
