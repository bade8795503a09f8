"""CUT and FastCUT.

Park, Efros, Zhang, Zhu: Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020.
Defaults are those of gandtr; parameters and weights reach the original authors' versions.
"""

import numpy as np
import torch

from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.losses.patchnce import MultilayerPatchNCELoss
from mdir.losses.value import LossValue
from mdir.methods.translation.gan import (
    OneSidedGan,
    detached,
    each_of,
    frozen,
    half_of,
    parts_of,
    total_of,
)
from mdir.registry import Problem, register


@register("method", "SupervisedCUTEpoch", "cut")
class CUT(OneSidedGan):
    """One generator whose patches should recall their own place in the source image.

    Heads: adversarial, nce (``multilayer_patchnce_loss``, with its own weight) and identity, of
    which only the weight counts: that of the same loss between real_Y and its "translation".
    Weight 0 leaves the identity out, and real_Y is not translated.

    Args:
        flip_equivariance: mirror the generator's input in half of the steps (FastCUT).
        fake_first: the discriminator sees translations before real images.
        scale_discriminator: the adversarial weight multiplies the discriminator's loss too.
    """

    networks = ("generator_X", "discriminator_Y", "featdown")
    heads = ("adversarial", "identity", "nce")

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        data=None,
        *,
        flip_equivariance: bool = False,
        fake_first: bool = False,
        scale_discriminator: bool = True,
    ):
        super().__init__(network, optimizer, criterion, data)
        self.nce = criterion.losses["nce"]
        if not isinstance(self.nce, MultilayerPatchNCELoss):
            raise UserError("CUT needs a multilayer_patchnce_loss as its head 'nce'")
        if not criterion.normalized and criterion.weights["nce"] != 1:
            raise UserError(
                "CUT: weights.nce has to be 1, PatchNCE is weighted by its own parameter 'weight'"
            )
        self.head = network["featdown"]
        self.identity_weight = criterion.weights["identity"] if self.nce.weight else 0
        self.flip_equivariance = flip_equivariance
        self.fake_first, self.scale_discriminator = fake_first, scale_discriminator

    @classmethod
    def check_criterion(cls, iteration, criterion):
        """The original authors' version, too, weighs once."""
        nce = criterion.get("nce")
        weight = nce.get("weight", 1) if isinstance(nce, dict) else 1
        is_gandtr = iteration.get("scale_discriminator", True)
        if is_gandtr and isinstance(weight, (int, float)) and weight not in (0, 1):
            message = (
                f"PatchNCE is multiplied by {weight:g} here and by its square in gandtr, where "
                "this scenario would train differently"
            )
            yield Problem(("nce", "weight"), message, warns=True)

    def step(self, batch, part=WHOLE):
        real_X, real_Y = self.to_device(batch)
        flip = self.flip_equivariance and np.random.random() < 0.5
        sources = [real_X, real_Y] if self.identity_weight else [real_X]
        translated, keys = self._translate(sources, flip)
        fake_Y = translated[0]
        on_real, on_fake = self.discriminator_step(
            real_Y,
            fake_Y,
            part,
            fake_first=self.fake_first,
            scaled=self.scale_discriminator,
        )

        with frozen(self.discriminator):
            gan = self.judge(self.discriminator(fake_Y), True)
            combined, identity = self._contrast(translated, sources, keys, flip, part)
            for name in ("generator_X", "featdown"):
                self.optimizer[name].zero_grad()
            self.minimise(total_of(gan) + combined.total, part)
            self.optimizer["generator_X"].step()
            if self.nce.weight:
                self.optimizer["featdown"].step()

        images = {"real_X": real_X, "real_Y": real_Y, "fake_Y": fake_Y}
        self.remember(**images, **({"idt_Y": translated[1]} if self.identity_weight else {}))
        return detached(
            {
                "total": total_of(gan) + combined.total + half_of(on_real, on_fake),
                "D_real": total_of(on_real),
                "D_fake": total_of(on_fake),
                "G_gan": total_of(gan),
                "G_nce": combined.total,
                "G_idt": identity.total,
                **parts_of("D_real", on_real),
                **parts_of("D_fake", on_fake),
                **parts_of("G_gan", gan),
                **parts_of("G_idt", identity),
                **parts_of("G_nce", combined),
            }
        )

    def _translate(self, sources, flip):
        """Translations of the sources in one pass, and the features that they are to recall.

        Where going on behind the tapped layers changes nothing of them and one image does not
        change another's features, that pass yields the features as well; else they are None.
        """
        batch = torch.cat(sources)
        sizes, layers = [len(source) for source in sources], self.nce.layers
        if self.nce.weight and not flip and self._one_pass_will_do():
            translated, features = self.generator(batch, layers=layers)
            features = [feature.detach().split(sizes) for feature in features]
            return translated.split(sizes), list(zip(*features, strict=True))
        translated = self.generator(batch.flip(3) if flip else batch)
        return translated.split(sizes), [None] * len(sources)

    def _one_pass_will_do(self):
        wrapped = len(self.generator.wrappers[self.generator.stage]) > 0
        pure = getattr(self.generator.model, "taps_are_pure", None)
        return not wrapped and pure is not None and pure(self.nce.layers)

    def _features(self, translated, sources, keys):
        """Of each batch of translations and of its sources, the features of the tapped layers."""
        taps = {"layers": self.nce.layers, "encode_only": True}
        if keys[0] is not None:
            return zip(each_of(self.generator, translated, **taps), keys, strict=True)
        features = []
        for image, source in zip(translated, sources, strict=True):
            queries = self.generator(image, **taps)
            with torch.no_grad():
                features.append((queries, self.generator(source, **taps)))
        return features

    def _patch_loss(self, queries, keys, images, flipped, part):
        """PatchNCE between the patches of so many translations and the same places of sources."""
        head, count = self.head.model, self.nce.num_patches
        if flipped:
            queries = [feature.flip(3) for feature in queries]
        # Not without gradients: mixed precision would then reuse these graphless casts of the
        # head's weights for the queries. The criterion detaches the keys.
        keys, places = head(keys, count)
        queries, _ = head(queries, count, places)
        return self.nce(queries, keys, part, part.size(images))

    def _contrast(self, translated, sources, keys, flipped, part):
        """The loss to minimise and the weighted identity term within it."""
        if not self.nce.weight:
            zero = translated[0].new_zeros(())
            nothing = LossValue(zero, {f"layer{layer}": zero for layer in self.nce.layers})
            return nothing, nothing
        features = self._features(translated, sources, keys)
        losses = [
            self._patch_loss(queries, own, len(source), flipped, part)
            for (queries, own), source in zip(features, sources, strict=True)
        ]
        if not self.identity_weight:
            return losses[0], 0 * losses[0].detach()
        identity = self.identity_weight * losses[1]
        return (losses[0] + identity) / 2, identity
