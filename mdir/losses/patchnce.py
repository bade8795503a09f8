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
        batch_dim_for_bmm: into how many equal groups the images of a batch are split; negatives
            come from the own group. 1: from all images; the batch size: from the same image, of
            a smaller last batch, too.
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
        self,
        queries: list[torch.Tensor],
        keys: list[torch.Tensor],
        part=WHOLE,
        images: int | None = None,
    ) -> LossValue:
        """Loss of translated against source features, one (N, C) pair per layer.

        N = images * patches, image by image. Rows are expected to have unit length. No gradient
        reaches the keys.

        ``images`` of the whole batch must be divisible by ``batch_dim_for_bmm`` or be fewer; null:
        so many as there are times ``num_patches`` rows.

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
                self.weight * part.cut(self.per_patch(part.join(query), part.join(key), images))
            ).mean()
            for layer, query, key in zip(self.layers, queries, keys, strict=True)
        }
        return LossValue(sum(parts.values()) / len(parts), parts)

    def per_patch(
        self, query: torch.Tensor, key: torch.Tensor, images: int | None = None
    ) -> torch.Tensor:
        """Unweighted loss of each patch, (N,): cross-entropy of its own place among all places."""
        groups = self._groups(len(query), images)
        query = query.unflatten(0, (groups, -1))
        key = key.detach().unflatten(0, (groups, -1))
        similarities = torch.bmm(query, key.transpose(1, 2))
        masked = similarities.new_full((*similarities.shape[:2], 1), MASKED_SIMILARITY)
        logits = torch.cat([similarities, masked], dim=2) / self.temperature
        own_place = torch.arange(query.shape[1], device=query.device).repeat(groups)
        return F.cross_entropy(logits.flatten(0, 1), own_place, reduction="none")

    def _groups(self, rows, images):
        """A group holds whole images: of fewer images than groups, one each."""
        if images is None and rows % self.num_patches == 0:
            images = rows // self.num_patches
        whole = rows if images is None else images
        groups = min(self.groups, whole)
        if whole % groups:
            raise UserError(
                f"PatchNCE: a batch of {whole} {'patches' if images is None else 'images'} cannot "
                f"be split into batch_dim_for_bmm={self.groups} equal groups; let the data "
                "section's loader drop the last batch (drop_last: true) or choose another "
                "batch_size"
            )
        return groups
