"""Features of patches for contrastive translation: CUT's network "F".

Park, Efros, Zhang, Zhu: Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020.
"""

from typing import Annotated, Literal

import numpy as np
import torch
from torch import nn

from mdir.errors import UserError
from mdir.networks.architectures.initializers import kaiming_p2p, normal_p2p, xavier_p2p
from mdir.networks.architectures.parts.taps import parse_layers
from mdir.networks.architectures.resnet_generator import ResnetGenerator
from mdir.registry import Check, register

_INITIALIZERS = {"normal": normal_p2p, "xavier": xavier_p2p, "kaiming": kaiming_p2p}


@register("architecture", "official_p2p_mlp")
class PatchSampler(nn.Module):
    """Draws places of feature maps and maps each feature to a unit vector by a two-layer MLP.

    The MLPs' input widths are those of the tapped layers, either given as ``channels`` or found
    from the generator's own parameters.

    Args:
        use_mlp: false: features are only normalized.
        init_type, init_gain: first weights, where the scenario names no initializer.
        input_nc: channels of the generator's input image.
        nc: length of the vectors.
        nce_layers: tapped layers of the generator, such as ``"0,4,8,12,16"``.
        channels: widths of the tapped maps; null: those of a residual generator with
            ``nce_layers``, ``ngf``, ``n_blocks`` and ``no_antialias``.
        ngf, n_blocks, no_antialias: the generator's.
    """

    def __init__(
        self,
        *,
        use_mlp: bool = True,
        init_type: Literal["normal", "xavier", "kaiming"] = "normal",
        init_gain: float = 0.02,
        input_nc: int = 3,
        nc: int = 256,
        nce_layers: Annotated[str, Check(parse_layers)] = "0,4,8,12,16",
        channels: list[int] | None = None,
        ngf: int = 64,
        n_blocks: int = 9,
        no_antialias: bool = True,
    ):
        super().__init__()
        if channels is None:
            channels = _tapped_channels(
                parse_layers(nce_layers),
                input_nc=input_nc,
                ngf=ngf,
                n_blocks=n_blocks,
                no_antialias=no_antialias,
            )
        self.channels, self.use_mlp = list(channels), use_mlp
        self.meta = {"in_channels": input_nc, "out_channels": nc}
        if use_mlp:
            for index, width in enumerate(self.channels):
                mlp = nn.Sequential(nn.Linear(width, nc), nn.ReLU(), nn.Linear(nc, nc))
                self.add_module(f"mlp_{index}", mlp)
            _INITIALIZERS[init_type](self, init_gain=init_gain)

    def forward(self, feats: list[torch.Tensor], num_patches: int = 64, patch_ids=None):
        """Features at random or given places.

        Args:
            feats: maps (B,C_i,H_i,W_i), one per tapped layer.
            num_patches: places of each map (fewer where it is smaller), the same for all images
                of the batch; 0: all places.
            patch_ids: places (row-major positions) of each map, as returned; null: drawn with
                numpy's global generator, one permutation a map.

        Returns:
            ``(vectors, places)``: per map (B*P,nc), image by image, and the P places; with
            ``num_patches`` 0 per map (B,nc,H,W) and an empty list.

        Raises:
            UserError: where the maps are not those that the head was made for.
        """
        self._check(feats)
        vectors, places = [], []
        for index, feat in enumerate(feats):
            rows = feat.flatten(2).transpose(1, 2)
            ids = []
            if num_patches > 0:
                ids = _draw(rows, num_patches) if patch_ids is None else patch_ids[index]
                ids = torch.as_tensor(ids, device=feat.device)
                rows = rows[:, ids].flatten(0, 1)
            if self.use_mlp:
                rows = getattr(self, f"mlp_{index}")(rows)
            rows = _unit(rows)
            if num_patches == 0:
                rows = rows.transpose(1, 2).unflatten(2, feat.shape[2:])
            vectors.append(rows)
            places.append(ids)
        return vectors, places

    def _check(self, feats):
        given = [feat.shape[1] for feat in feats]
        if given != self.channels:
            raise UserError(
                f"patch head was made for maps of {self.channels} channels and got {given}: its "
                "nce_layers, ngf, n_blocks and no_antialias must be those of the generator"
            )


def _tapped_channels(layers, *, input_nc, ngf, n_blocks, no_antialias):
    with torch.device("meta"):
        generator = ResnetGenerator(
            input_nc=input_nc,
            output_nc=input_nc,
            ngf=ngf,
            n_blocks=n_blocks,
            no_antialias=no_antialias,
            norm_layer="none",
        )
    widths = generator.layer_channels()
    if layers[-1] >= len(widths):
        raise UserError(
            f"nce_layers {layers}: the generator's layers are 0..{len(widths) - 1} "
            f"(n_blocks {n_blocks}, no_antialias {no_antialias})"
        )
    return [widths[layer] for layer in layers]


def _draw(rows, num_patches):
    return np.random.permutation(rows.shape[1])[: min(num_patches, rows.shape[1])]


def _unit(rows):
    """Rows divided by their norm; a vector of zeros stays one and has a zero gradient."""
    return rows / (torch.linalg.vector_norm(rows, dim=-1, keepdim=True) + 1e-7)
