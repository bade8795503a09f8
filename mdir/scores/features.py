"""Features of images for comparing sets of them: what feeds the last layer of a classifier."""

from typing import Annotated

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from cirtorch.utils.general import sha256_hash
from cirtorch.utils.weight_files import load_state
from mdir.errors import UserError
from mdir.networks.files import read_weights
from mdir.paths import local_file
from mdir.registry import Check, unknown

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RANDOM_SEED = 0


def check_backbone(name: str) -> None:
    """ValueError unless torchvision has a classifier of that name."""
    listed = torchvision.models.list_models(module=torchvision.models)
    known = [model for model in listed if not model.startswith("squeezenet")]  # no linear layer
    if name not in known:
        raise ValueError(unknown("torchvision model", name, known))


Backbone = Annotated[str, Check(check_backbone)]


class FeatureNetwork:
    """A torchvision classifier without its last layer.

    Args:
        backbone: torchvision's name of the model.
        weights: path or URL of its state_dict; null: random weights, from a fixed seed.
        image_size: images are resized to squares of so many pixels (bicubic, antialiased).
        allow_random: random weights were asked for knowingly; features of theirs tell sets of
            images apart but mean nothing to a human eye.

    Raises:
        UserError: neither weights nor ``allow_random``.
        DataError: weights that cannot be read or do not fit.
    """

    def __init__(self, backbone: str, weights: str | None, image_size: int, allow_random: bool):
        if weights is None and not allow_random:
            raise UserError(
                f"no weights for the feature network {backbone}: give the path of its state_dict "
                "as 'weights' or, knowing what it means, 'allow_random_features: true'"
            )
        self.backbone, self.weights, self.image_size = backbone, weights, image_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            self.model = _build(backbone)
        if weights is not None:
            load_state(self.model, read_weights(weights), weights)
        _drop_last_layer(self.model)
        self.model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, device) -> torch.Tensor:
        """(B,3,H,W) in 0..1, first rounded to 8 bits -> features (B,D), float64 on the CPU."""
        self.model.to(device)
        images = (images.to(device) * 255).round() / 255
        size = (self.image_size, self.image_size)
        images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)
        mean, std = (images.new_tensor(v).view(-1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        features = self.model((images.clamp(0, 1) - mean) / std)
        return features.flatten(1).double().cpu()

    def facts(self) -> dict:
        """What has to be said beside a number that these features made."""
        weights = "random, fixed seed"
        if self.weights is not None:
            weights = f"{self.weights} (sha256 {sha256_hash(local_file(self.weights))})"
        return {
            "feature_network": f"torchvision {self.backbone}, input of its last layer",
            "feature_weights": weights,
            "resize": f"{self.image_size}x{self.image_size}, bicubic, antialiased",
            "format": "8-bit RGB in memory, no compression of the translations",
        }


def _build(backbone):
    # The Inception family was trained on another normalization, which it can take care of itself.
    options = {}
    if backbone in ("inception_v3", "googlenet"):
        options = {"transform_input": True, "init_weights": True}
    return torchvision.models.get_model(backbone, weights=None, **options)


def _drop_last_layer(model):
    name = [key for key, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, nn.Identity())
