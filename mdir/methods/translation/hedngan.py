"""HED-N-GAN: as HED-GAN, with a detector that learns to see edges at night (RCF-N-GAN likewise).

Mohwald, Jenicek, Chum: Dark Side Augmentation: Generating Diverse Night Examples for Metric
Learning, ICCV 2023.
"""

import torch

from mdir.methods.translation.gan import OneSidedGan, detached, frozen, half_of, parts_of, total_of
from mdir.registry import register


@register("method", "SupervisedHEDNGANEpoch", "hedngan")
class HEDNGAN(OneSidedGan):
    """A student detector learns to give on translations what its teacher gives on the originals.

    ``detector`` is the student, ``detector_frozen`` the teacher; both take ``no_sigmoid``. Heads:
    adversarial, edge, hed (student against teacher, on scores before the sigmoid).
    """

    networks = ("generator_X", "discriminator_Y", "detector", "detector_frozen")
    heads = ("adversarial", "edge", "hed")

    def step(self, batch):
        real_X, real_Y = self.to_device(batch)
        student, teacher = self.network["detector"], self.network["detector_frozen"]
        fake_Y = self.generator(real_X)
        on_real, on_fake = self.discriminator_step(real_Y, fake_Y)

        with torch.no_grad():
            taught = teacher(real_X, no_sigmoid=True)
        student_real, student_fake = self._student_step(student, real_X, fake_Y, taught)

        real_E = torch.sigmoid(taught)
        with frozen(self.discriminator, student):
            fake_E = student(fake_Y)
            gan = self.judge(self.discriminator(fake_Y), True)
            edge = self.weighted("edge", fake_E, real_E)
            self.optimizer["generator_X"].zero_grad()
            self.minimise(total_of(gan) + total_of(edge))
            self.optimizer["generator_X"].step()

        self.remember(real_X=real_X, real_Y=real_Y, fake_Y=fake_Y, real_E=real_E, fake_E=fake_E)
        return detached(
            {
                "total": total_of(gan) + total_of(edge) + half_of(on_real, on_fake),
                "D_real": total_of(on_real),
                "D_fake": total_of(on_fake),
                "G_gan": total_of(gan),
                "G_hed": total_of(edge),
                "E_real": total_of(student_real),
                "E_fake": total_of(student_fake),
                **parts_of("D_real", on_real),
                **parts_of("D_fake", on_fake),
                **parts_of("G_gan", gan),
            }
        )

    def _student_step(self, student, real_X, fake_Y, taught):
        """Step the student; the teacher's word on the original holds for the translation too."""
        optimizer = self.optimizer["detector"]
        optimizer.zero_grad()
        on_real = self.weighted("hed", student(real_X, no_sigmoid=True), taught)
        on_fake = self.weighted("hed", student(fake_Y.detach(), no_sigmoid=True), taught)
        self.minimise(total_of(on_real) + total_of(on_fake))
        optimizer.step()
        return on_real, on_fake

    @torch.no_grad()
    def samples(self):
        """As the base's, with what the student sees in the original (``real_E_check``)."""
        images = super().samples()
        if images:
            images["real_E_check"] = self.network["detector"](images["real_X"][None])[0]
        return images
