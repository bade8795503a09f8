"""CycleGAN.

Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks, ICCV 2017. Defaults are those of gandtr; the original authors' identity loss is one more
head of the criterion, their targets are parameters of its ``discriminator_loss``.
"""

import random

from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.losses.holders import CycleLoss
from mdir.methods.translation.gan import GanMethod, detached, each_of, frozen, half_of, joins
from mdir.methods.translation.image_pool import ImagePool
from mdir.registry import register


@register("method", "SupervisedCycleGanEpoch", "cyclegan")
class CycleGAN(GanMethod):
    """Two generators, X -> Y and Y -> X, that undo each other, and a discriminator for each.

    ``discriminator_X`` judges what ``generator_X`` makes, images of domain Y; likewise for
    ``_Y``. The criterion is a ``cycle_loss``; where the heads of ``loss_G_X`` and ``loss_G_Y``
    include ``identity``, generators are also asked to keep images of their target domain.

    Args:
        pool_size: translations that each discriminator looks back on; 0: none.
    """

    networks = ("generator_X", "generator_Y", "discriminator_X", "discriminator_Y")

    def __init__(self, network, optimizer, criterion, data=None, *, pool_size: int = 50):
        super().__init__(network, optimizer, criterion, data)
        if not isinstance(criterion, CycleLoss):
            raise UserError(f"CycleGAN needs a cycle_loss, got {type(criterion).__name__}")
        self.G_X, self.G_Y = network["generator_X"], network["generator_Y"]
        self.D_X, self.D_Y = network["discriminator_X"], network["discriminator_Y"]
        self.pools = {name: ImagePool(pool_size, random) for name in ("fake_Y", "fake_X")}

    def step(self, batch, part=WHOLE):
        real_X, real_Y = self.to_device(batch)
        fake_Y, same_Y = self._translate("X", self.G_X, real_X, real_Y)
        rec_X = self.G_Y(fake_Y)
        fake_X, same_X = self._translate("Y", self.G_Y, real_Y, real_X)
        rec_Y = self.G_X(fake_X)

        with frozen(self.D_X, self.D_Y):
            loss_GX = self._generator_loss(
                "X", self.G_X, self.D_X, real_X, rec_X, fake_Y, real_Y, same_Y
            )
            loss_GY = self._generator_loss(
                "Y", self.G_Y, self.D_Y, real_Y, rec_Y, fake_X, real_X, same_X
            )
            self.optimizer["generator_X"].zero_grad()
            self.optimizer["generator_Y"].zero_grad()
            self.minimise(loss_GX.total + loss_GY.total, part)
            self.optimizer["generator_X"].step()
            self.optimizer["generator_Y"].step()

        earlier_Y = self.pools["fake_Y"].query(fake_Y, part)
        loss_DX = self._discriminator_step("X", self.D_X, real_Y, earlier_Y, part)
        earlier_X = self.pools["fake_X"].query(fake_X, part)
        loss_DY = self._discriminator_step("Y", self.D_Y, real_X, earlier_X, part)

        images = {"real_X": real_X, "fake_Y": fake_Y, "rec_X": rec_X}
        self.remember(**images, real_Y=real_Y, fake_X=fake_X, rec_Y=rec_Y)
        losses = {"total": loss_GX.total + loss_GY.total + loss_DX + loss_DY}
        losses |= {f"netG_X_{name}": value for name, value in loss_GX}
        losses |= {f"netG_Y_{name}": value for name, value in loss_GY}
        return detached({**losses, "netD_X_total": loss_DX, "netD_Y_total": loss_DY})

    def _translate(self, side, generator, source, other):
        """The translation of ``source``, and of ``other`` where the loss needs it and they join."""
        heads = getattr(self.criterion, f"loss_G_{side}").losses
        if "identity" in heads and joins(generator, [source, other]):
            return each_of(generator, [source, other])
        return generator(source), None

    def _generator_loss(self, side, generator, discriminator, source, recovered, fake, other, same):
        criterion = getattr(self.criterion, f"loss_G_{side}")
        judged = discriminator(fake)
        real = getattr(self.criterion, f"loss_D_{side}").target(judged, True)
        outputs = {"adversarial": judged, "cycle": recovered}
        targets = {"adversarial": real, "cycle": source}
        if "identity" in criterion.losses:
            outputs["identity"] = generator(other) if same is None else same
            targets["identity"] = other
        return criterion(outputs, targets)

    def _discriminator_step(self, side, discriminator, real, fake, part):
        judge, optimizer = getattr(self.criterion, f"loss_D_{side}"), self.optimizer
        optimizer[f"discriminator_{side}"].zero_grad()
        # As published, the bare model judges here, while the generators' step goes through the
        # wrappers: a discriminator with any sees differently prepared images in the two steps.
        judged = getattr(discriminator.model, "forward_multi", discriminator.model)
        on_real, on_fake = each_of(discriminator, [real, fake], judged)
        loss = half_of(judge(on_real, True), judge(on_fake, False))
        self.minimise(loss, part)
        optimizer[f"discriminator_{side}"].step()
        return loss

    def state_dict(self):
        return {name: pool.state_dict() for name, pool in self.pools.items()}

    def load_state_dict(self, state):
        for name, pool in self.pools.items():
            pool.load_state_dict(state[name])
