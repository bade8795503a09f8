"""Whether a translation keeps the edges of its source."""

import time
from typing import Annotated, Literal

import torch
import torch.nn.functional as F

from mdir import registry
from mdir.registry import Section, register
from mdir.scores.result import ScoreResult
from mdir.scores.translations import (
    ImageSource,
    announce,
    choose_generator,
    to_unit_range,
    translate,
)

_LUMA = (0.299, 0.587, 0.114)


@register("score", "edge_consistency")
class EdgeConsistencyScore:
    """Edge maps of sources against those of their translations.

    ``correlation`` is Pearson's, over the pixels of an image (1: same edges up to contrast, which
    a night image may well lack; 0 where a map is constant). ``l1`` is the mean absolute
    difference, the number that HED-GAN minimises.

    Args:
        data: data section of the images to translate.
        detector: a network section (HED, RCF; its wrappers turn images as the generator takes
            them into its own) or ``gradient``, the luminance's gradient by Sobel filters, which
            needs no weights.
        names: text file of image names; null: all images of the folder.
        net_name: the member that translates; null: ``generator_X``, else ``generator``.
    """

    decisive = "score_avg:correlation"

    def __init__(
        self,
        *,
        data: Annotated[dict, Section("data")],
        detector: Annotated[dict, Section("network")] | Literal["gradient"],
        names: str | None = None,
        net_name: str | None = None,
    ):
        self.source, self.net_name = ImageSource(data, names), net_name
        self.section = detector
        self.detector = None
        if detector != "gradient":
            self.detector = registry.make("network", detector, "cpu").freeze()

    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        generator = choose_generator(network, self.net_name).eval()
        mean_std = self.source.section(generator)["mean_std"]
        if self.detector is not None:
            self.detector.to(network.device)
        values = {"correlation": [], "l1": []}
        for names, images in self.source.images(generator):
            images = images.to(network.device)
            before = self._edges(images, mean_std).flatten(1).double()
            after = self._edges(translate(generator, images, names), mean_std).flatten(1).double()
            values["correlation"] += correlation(before, after).tolist()
            values["l1"] += (before - after).abs().mean(1).tolist()
        averages = {name: sum(items) / len(items) for name, items in values.items()}
        protocol = {"detector": self.section, "images": len(self.source)}
        shown = ", ".join(f"{name} {value:.4f}" for name, value in averages.items())
        announce(f"edges: {shown}", protocol)
        return ScoreResult(averages, values, {"total_s": time.time() - begin}, protocol=protocol)

    @torch.no_grad()
    def _edges(self, images, mean_std):
        if self.detector is not None:
            return self.detector(images)
        return gradient_magnitude(to_unit_range(images, mean_std))


def correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation of the rows of two (B,N) tensors, 0 where a row is constant."""
    first, second = (rows - rows.mean(1, keepdim=True) for rows in (first, second))
    scale = first.norm(dim=1) * second.norm(dim=1)
    found = (first * second).sum(1) / scale
    return torch.where(scale > 0, found, torch.zeros_like(found))


def gradient_magnitude(images: torch.Tensor) -> torch.Tensor:
    """Length of the luminance's gradient: (B,3,H,W) in 0..1 -> (B,1,H,W)."""
    weights = images.new_tensor(_LUMA).view(1, 3, 1, 1)
    grey = F.pad((images * weights).sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = images.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).view(1, 1, 3, 3) / 8
    horizontal, vertical = F.conv2d(grey, across), F.conv2d(grey, across.transpose(2, 3))
    return (horizontal.square() + vertical.square()).sqrt()
