"""HED-GAN: translation that keeps the edges (RCF-GAN with the other detector).

Mohwald, Jenicek, Chum: Dark Side Augmentation: Generating Diverse Night Examples for Metric
Learning, ICCV 2023.
"""

import torch

from mdir.distributed import WHOLE
from mdir.methods.translation.gan import OneSidedGan, detached, frozen, half_of, parts_of, total_of
from mdir.registry import register


@register("method", "SupervisedHEDGANEpoch", "hedgan")
class HEDGAN(OneSidedGan):
    """An adversarial loss, and one between the edges of an image and of its translation.

    The detector is a frozen network that gives edge probabilities. Heads: adversarial, edge.
    """

    networks = ("generator_X", "discriminator_Y", "detector")
    heads = ("adversarial", "edge")

    def step(self, batch, part=WHOLE):
        real_X, real_Y = self.to_device(batch)
        fake_Y = self.generator(real_X)
        judged = self.discriminator_step(real_Y, fake_Y, part)

        detector = self.network["detector"]
        with torch.no_grad():
            real_E = detector(real_X)
        fake_E, gan, edge = self.generator_step(fake_Y, detector, real_E, part)

        self.remember(real_X=real_X, real_Y=real_Y, fake_Y=fake_Y, real_E=real_E, fake_E=fake_E)
        return self.report(judged, gan, edge)

    def generator_step(self, fake_Y, detector, real_E, part):
        """Step G by the discriminator and the edges; returns fake_E and the two losses."""
        with frozen(self.discriminator, detector):
            fake_E = detector(fake_Y)
            gan = self.judge(self.discriminator(fake_Y), True)
            edge = self.weighted("edge", fake_E, real_E)
            self.optimizer["generator_X"].zero_grad()
            self.minimise(total_of(gan) + total_of(edge), part)
            self.optimizer["generator_X"].step()
        return fake_E, gan, edge

    def report(self, judged, gan, edge, **further):
        """The losses of a step by name; ``judged`` are the discriminator's, as its step gives."""
        on_real, on_fake = judged
        return detached(
            {
                "total": total_of(gan) + total_of(edge) + half_of(on_real, on_fake),
                "D_real": total_of(on_real),
                "D_fake": total_of(on_fake),
                "G_gan": total_of(gan),
                "G_hed": total_of(edge),
                **{name: total_of(loss) for name, loss in further.items()},
                **parts_of("D_real", on_real),
                **parts_of("D_fake", on_fake),
                **parts_of("G_gan", gan),
            }
        )
