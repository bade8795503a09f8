"""How far translated images are, as a set, from real ones of the target domain."""

import time
from functools import partial
from typing import Annotated

import torch

from mdir.errors import gathered
from mdir.registry import Section, register
from mdir.registry.ranges import at_least
from mdir.scores.features import Backbone, FeatureNetwork
from mdir.scores.measures.set_distances import frechet_distance, kernel_distance
from mdir.scores.result import ScoreResult
from mdir.scores.translations import (
    ImageSource,
    announce,
    choose_generator,
    to_unit_range,
    translate,
)


@register("score", "fid")
class SetDistanceScore:
    """FID and KID between translations and real images; 0 is best.

    The numbers are comparable only under one ``protocol``: same feature network, weights, sizes of
    sets. ``negative_fid`` is there to decide which epoch is best, as larger is better for scores.

    Args:
        data: data section of the images to translate.
        target: data section of the real images.
        backbone: torchvision's name of the feature network.
        weights: path or URL of its state_dict; null only with ``allow_random_features``.
        names, target_names: text files of image names; null: all images of the folder.
        net_name: the member that translates; null: ``generator_X``, else ``generator``.
        image_size: square that the feature network sees, in pixels.
        kid_subsets, kid_subset_size: see
            :func:`mdir.scores.measures.set_distances.kernel_distance`.
        allow_random_features: see :class:`mdir.scores.features.FeatureNetwork`.
    """

    decisive = "score_avg:negative_fid"

    def __init__(
        self,
        *,
        data: Annotated[dict, Section("data")],
        target: Annotated[dict, Section("data")],
        backbone: Backbone,
        weights: str | None,
        names: str | None = None,
        target_names: str | None = None,
        net_name: str | None = None,
        image_size: Annotated[int, at_least(1)] = 299,
        kid_subsets: int = 100,
        kid_subset_size: int = 1000,
        allow_random_features: bool = False,
    ):
        self.source, self.target = gathered(
            [partial(ImageSource, data, names), partial(ImageSource, target, target_names)]
        )
        self.features = FeatureNetwork(backbone, weights, image_size, allow_random_features)
        self.net_name, self.subsets = net_name, (kid_subsets, kid_subset_size)
        self.real = None

    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        generator = choose_generator(network, self.net_name).eval()
        if self.real is None:
            self.real = self._extract(self.target, generator, lambda images, names: images)
        fake = self._extract(self.source, generator, partial(translate, generator))
        extracted = time.time()
        fid = frechet_distance(fake, self.real)
        kid, kid_std = kernel_distance(fake, self.real, *self.subsets)
        end = time.time()
        protocol = {
            **self.features.facts(),
            "translated_images": len(fake),
            "real_images": len(self.real),
            "kid": f"mean of {self.subsets[0]} subsets of at most {self.subsets[1]} images",
        }
        announce(f"FID {fid:.2f}, KID {kid:.5f} +- {kid_std:.5f}", protocol)
        return ScoreResult(
            averages={"fid": fid, "kid": kid, "kid_std": kid_std, "negative_fid": -fid},
            timings={"features": extracted - begin, "total_s": end - begin},
            protocol=protocol,
        )

    def _extract(self, source, generator, change):
        mean_std = source.section(generator)["mean_std"]
        features = [
            self.features(to_unit_range(change(images, names), mean_std), generator.device)
            for names, images in source.images(generator)
        ]
        return torch.cat(features)
