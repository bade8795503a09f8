"""PatchNCE: a patch of the translation should recall its own place in the source image.

Park, Efros, Zhang, Zhu: Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.losses.value import LossValue
from mdir.networks.architectures.parts.taps import parse_layers
from mdir.registry import Check, Problem, register

# The similarity that stands in for a patch's own place among its negatives (published value).
MASKED_SIMILARITY = -10.0


def _check_sizes(section):
    for key in ("batch_dim_for_bmm", "num_patches", "temperature"):
        value = section.get(key)
        if isinstance(value, (int, float)) and value <= 0:
            yield Problem((key,), f"must be positive, got {value!r}")


@register("criterion", "multilayer_patchnce_loss", check=_check_sizes)
class MultilayerPatchNCELoss(nn.Module):
    """Mean over feature layers of the contrastive loss between patches.

    Args:
        batch_dim_for_bmm: into how many equal groups the patches of a batch are split; negatives
            come from the own group. 1: from all images; the batch size: from the same image.
        nce_layers: generator layers to tap, such as ``"4,8,12,16"``.
        num_patches: patches drawn from each layer of each image.
        temperature: divides the similarities.
        weight: multiplies the loss.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        batch_dim_for_bmm: int,
        nce_layers: Annotated[str, Check(parse_layers)],
        num_patches: int,
        temperature: float,
        weight: float = 1.0,
    ):
        super().__init__()
        self.groups, self.temperature, self.weight = batch_dim_for_bmm, temperature, weight
        self.layers, self.num_patches = parse_layers(nce_layers), num_patches

    def forward(
        self, queries: list[torch.Tensor], keys: list[torch.Tensor], part=WHOLE
    ) -> LossValue:
        """Loss of translated against source features, one (N, C) pair per layer.

        N = images * patches, image by image; N must be divisible by ``batch_dim_for_bmm``. Rows
        are expected to have unit length. No gradient reaches the keys.

        Of a divided batch the rows are those of the images in this ``part``, and so is the loss;
        negatives come from the whole batch all the same.
        """
        if not len(queries) == len(keys) == len(self.layers):
            raise UserError(
                f"PatchNCE of layers {self.layers} got {len(queries)} query and {len(keys)} key "
                "layers: nce_layers of the criterion and of the patch head must agree"
            )
        parts = {
            f"layer{layer}": (
                self.weight * part.cut(self.per_patch(part.join(query), part.join(key)))
            ).mean()
            for layer, query, key in zip(self.layers, queries, keys, strict=True)
        }
        return LossValue(sum(parts.values()) / len(parts), parts)

    def per_patch(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Unweighted loss of each patch, (N,): cross-entropy of its own place among all places."""
        if len(query) % self.groups:
            raise UserError(
                f"{len(query)} patches cannot be split into batch_dim_for_bmm={self.groups} equal "
                "groups"
            )
        query = query.unflatten(0, (self.groups, -1))
        key = key.detach().unflatten(0, (self.groups, -1))
        similarities = torch.bmm(query, key.transpose(1, 2))
        masked = similarities.new_full((*similarities.shape[:2], 1), MASKED_SIMILARITY)
        logits = torch.cat([similarities, masked], dim=2) / self.temperature
        own_place = torch.arange(query.shape[1], device=query.device).repeat(self.groups)
        return F.cross_entropy(logits.flatten(0, 1), own_place, reduction="none")
