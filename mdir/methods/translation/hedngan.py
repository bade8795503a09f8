"""HED-N-GAN: as HED-GAN, with a detector that learns to see edges at night (RCF-N-GAN likewise).

Mohwald, Jenicek, Chum: Dark Side Augmentation: Generating Diverse Night Examples for Metric
Learning, ICCV 2023.
"""

import torch

from mdir.distributed import WHOLE
from mdir.methods.translation.gan import total_of
from mdir.methods.translation.hedgan import HEDGAN
from mdir.registry import register


@register("method", "SupervisedHEDNGANEpoch", "hedngan")
class HEDNGAN(HEDGAN):
    """A student detector learns to give on translations what its teacher gives on the originals.

    ``detector`` is the student, ``detector_frozen`` the teacher; both take ``no_sigmoid``. Heads:
    adversarial, edge, hed (student against teacher, on scores before the sigmoid).
    """

    networks = ("generator_X", "discriminator_Y", "detector", "detector_frozen")
    heads = ("adversarial", "edge", "hed")

    def step(self, batch, part=WHOLE):
        real_X, real_Y = self.to_device(batch)
        student, teacher = self.network["detector"], self.network["detector_frozen"]
        fake_Y = self.generator(real_X)
        judged = self.discriminator_step(real_Y, fake_Y, part)

        with torch.no_grad():
            taught = teacher(real_X, no_sigmoid=True)
        on_real, on_fake = self._student_step(student, real_X, fake_Y, taught, part)

        real_E = torch.sigmoid(taught)
        fake_E, gan, edge = self.generator_step(fake_Y, student, real_E, part)

        self.remember(real_X=real_X, real_Y=real_Y, fake_Y=fake_Y, real_E=real_E, fake_E=fake_E)
        return self.report(judged, gan, edge, E_real=on_real, E_fake=on_fake)

    def _student_step(self, student, real_X, fake_Y, taught, part):
        """Step the student; the teacher's word on the original holds for the translation too."""
        optimizer = self.optimizer["detector"]
        optimizer.zero_grad()
        on_real = self.weighted("hed", student(real_X, no_sigmoid=True), taught)
        on_fake = self.weighted("hed", student(fake_Y.detach(), no_sigmoid=True), taught)
        self.minimise(total_of(on_real) + total_of(on_fake), part)
        optimizer.step()
        return on_real, on_fake

    @torch.no_grad()
    def samples(self):
        """As the base's, with what the student sees in the original (``real_E_check``)."""
        images = super().samples()
        if images:
            images["real_E_check"] = self.network["detector"](images["real_X"][None])[0]
        return images
