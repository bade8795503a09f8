"""Re-identification networks of SpCL and Cluster Contrast (Ge et al., 2020; Dai et al., 2022)."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from torch import nn

from cirtorch.downloads.known_files import known_weights
from cirtorch.layers.pooling import MAC, GeM, SPoC
from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_weights_root
from mdir import registry
from mdir.errors import UserError
from mdir.networks.architectures.parts.domain_norm import (
    BatchNormInGroups1d,
    BatchNormInGroups2d,
    Statistics,
    choose_statistics,
    convert_dsbn,
)
from mdir.networks.architectures.parts.resnet_ibn import LAYERS, resnet_ibn
from mdir.networks.architectures.parts.unit_rows import unit_rows
from mdir.networks.architectures.pretrained import load_pretrained
from mdir.registry import register
from mdir.registry.ranges import at_least, between, one_of

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
BACKBONES = (*RESNETS, *LAYERS)
_IBN_FILES = {
    "resnet_ibn50a": "resnet50_ibn_a.pth.tar",
    "resnet_ibn101a": "resnet101_ibn_a.pth.tar",
}


class MaxAndMean(nn.Module):
    """Maximum plus mean over all locations, ``[B, C, 1, 1]``."""

    def forward(self, x):
        return x.amax(dim=(-2, -1), keepdim=True) + x.mean(dim=(-2, -1), keepdim=True)


POOLINGS = {"avg": SPoC, "max": MAC, "gem": GeM, "avg+max": MaxAndMean}


def _check_head(params):
    if params.get("cut_at_pooling"):
        for key in ("features", "norm", "dropout", "num_classes"):
            if params.get(key):
                yield registry.Problem((key,), "has no effect with cut_at_pooling: true")


@register("architecture", "reid_resnet", check=_check_head)
class ReidResNet(nn.Module):
    """Images ``[B, 3, H, W]`` -> descriptors as columns ``[D, B]``; their total stride is 16.

    Outside of training they are the L2-normalised output of the last batch normalisation,
    ``feat_bn``. Keys of the weights are the published ones. The training batch of two domains is
    the source's images followed by as many of the target; ``runtime.model: {statistics: source}``
    describes images by the statistics of the source, the target's count otherwise.

    Args:
        backbone: a ResNet, ``ibn``: with instance normalisation (IBN-a).
        pooling: of the feature map.
        features: width of a linear layer before ``feat_bn``; 0: none.
        norm: L2-normalise in training, too; false: a ReLU where there is a linear layer.
        dropout: rate in training, after that.
        num_classes: width of a classifier whose output replaces the descriptors in training;
            0: none.
        cut_at_pooling: give the pooled vectors as they are.
        domains: 2: batch normalisation of their own for source and target.
        bn_groups: batch normalisation of as many equal parts of a training batch, of each domain's
            apart, as that many devices would have it.
        pretrained: true: ImageNet weights (torchvision's; those of an IBN-a are to lie in
            ``<root>/weights``); text: path or URL of a classifier's state_dict.
    """

    def __init__(
        self,
        *,
        backbone: Annotated[str, one_of("backbone", BACKBONES)] = "resnet50",
        pooling: Literal["avg", "max", "gem", "avg+max"] = "avg",
        features: Annotated[int, at_least(0)] = 0,
        norm: bool = True,
        dropout: Annotated[float, between(0, 1)] = 0.0,
        num_classes: Annotated[int, at_least(0)] = 0,
        cut_at_pooling: bool = False,
        domains: Literal[1, 2] = 1,
        bn_groups: Annotated[int, at_least(1)] = 1,
        pretrained: bool | str = True,
    ):
        super().__init__()
        resnet = _resnet(backbone, bn_groups)
        if pretrained:
            source = pretrained if isinstance(pretrained, str) else _imagenet_weights(backbone)
            load_pretrained(resnet, source, _without_module)
        _keep_size_in_layer4(resnet)
        width = resnet.fc.in_features
        layers = (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4)
        self.base = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool, *layers)
        self.gap = POOLINGS[pooling]()
        self.norm, self.cut_at_pooling, self.domains = norm, cut_at_pooling, domains
        self.feat = self.feat_bn = self.drop = self.classifier = None
        if not cut_at_pooling:
            width = self._make_head(width, features, dropout, num_classes, bn_groups)
            if features and not pretrained:
                nn.init.normal_(self.feat.weight, std=0.001)  # as published
        if domains == 2:
            convert_dsbn(self)
        self.meta = {"in_channels": 3, "out_channels": width}

    def _make_head(self, width, features, dropout, num_classes, bn_groups):
        if features:
            self.feat = nn.Linear(width, features)
            nn.init.kaiming_normal_(self.feat.weight, mode="fan_out")
            nn.init.zeros_(self.feat.bias)
            width = features
        self.feat_bn = BatchNormInGroups1d(width, bn_groups)
        self.feat_bn.bias.requires_grad_(False)
        if dropout:
            self.drop = nn.Dropout(dropout)
        if num_classes:
            self.classifier = nn.Linear(width, num_classes, bias=False)
            nn.init.normal_(self.classifier.weight, std=0.001)
        return width

    @property
    def maps_images_apart(self) -> bool:
        """Whether the descriptor of an image depends on no other image of its batch."""
        return not self.training

    def _set_runtime(self, options):
        problems = registry.check(RuntimeOptions, options or {})
        registry.refuse(registry.within(("runtime", "model"), problems))
        statistics = (options or {}).get("statistics", "target")
        if statistics == "source" and self.domains == 1:
            raise UserError(
                "runtime.model: a reid_resnet of one domain has one set of statistics, and so none "
                "of the source; 'statistics: source' is for domains: 2"
            )
        choose_statistics(self, statistics)

    runtime = property(fset=_set_runtime, doc="``{statistics: target or source}``, or null.")

    def copy_with_runtime(self, options: dict) -> "ReidResNet":
        """A network of the same weights under another runtime."""
        shared = {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())}
        other = deepcopy(self, shared)
        other.runtime = options
        return other

    def forward(self, images):
        x = self.gap(self.base(images)).flatten(1)
        return (x if self.cut_at_pooling else self._head(x)).T

    def _head(self, x):
        x = self.feat_bn(x if self.feat is None else self.feat(x))
        if not self.training:
            return unit_rows(x)
        if self.norm:
            x = unit_rows(x)
        elif self.feat is not None:
            x = x.relu()
        if self.drop is not None:
            x = self.drop(x)
        return x if self.classifier is None else self.classifier(x)


class RuntimeOptions(TypedDict, total=False):
    """What ``runtime.model`` may say.

    Args:
        statistics: whose count outside of training; of one domain there are no others.
    """

    statistics: Statistics


def _resnet(backbone, bn_groups):
    """A classifier of ImageNet, weights drawn at random."""
    norm = nn.BatchNorm2d if bn_groups == 1 else partial(BatchNormInGroups2d, groups=bn_groups)
    if backbone in LAYERS:
        return resnet_ibn(backbone, norm)
    from torchvision import models  # late: takes as long as torch itself

    return getattr(models, backbone)(weights=None, norm_layer=norm)


def _imagenet_weights(backbone):
    if backbone in RESNETS:
        from torchvision.models import get_model_weights

        return get_model_weights(backbone)["IMAGENET1K_V1"].url
    path = Path(get_weights_root(), _IBN_FILES[backbone])
    if not path.exists():
        files = [file for group in known_weights().values() for file in group]
        by_hand = next(file.by_hand for file in files if Path(file.to).name == path.name)
        raise DataError(
            f"{path}: is absent. {by_hand} Or name another file by 'pretrained', or begin at "
            "random with pretrained: false"
        )
    return str(path)


def _without_module(key):
    return key.removeprefix("module.")


def _keep_size_in_layer4(resnet):
    """Its first block strides in another convolution where it has two instead of three."""
    for module in resnet.layer4[0].modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
