"""Embeddings on any model of the package timm (Wightman: PyTorch Image Models)."""

import inspect
from typing import Annotated

import torch
from torch import nn

from cirtorch.networks.imageretrievalnet import ImageRetrievalNet
from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.errors import UserError
from mdir.networks.architectures.parts import timm_models
from mdir.networks.architectures.parts.sizes import resized
from mdir.networks.poolings import PoolingSection, check_pooling, make_pooling
from mdir.registry import Check, Problem, register
from mdir.registry.ranges import at_least

TRANSFORMS = "pil2np | totensor | normalize"
Size = tuple[Annotated[int, at_least(1)], Annotated[int, at_least(1)]]
Name = Annotated[str, Check(timm_models.check_name)]
TimmOptions = Annotated[dict, Check(timm_models.check_options)]


def check_mean_std(value) -> None:
    """ValueError unless it is three means and three standard deviations above 0."""
    if len(value) != 2 or any(len(part) != 3 for part in value):
        raise ValueError("expected [means, standard deviations], two lists of three")
    if any(not float(std) > 0 for std in value[1]):
        raise ValueError("a standard deviation is not above 0")


MeanStd = Annotated[list[list[float]], Check(check_mean_std)]


def check_timm(section):
    """What the model cannot do: layers and poolings it lacks, sizes, weights that do not fit."""
    pooling = section.get("pooling", "gem")
    found = list(registry.within(("pooling",), check_pooling(pooling)))
    yield from found
    name, options, size = section["name"], section.get("options", {}), section.get("input_size")
    if registry.holds_unresolved([name, options, size]):
        return
    try:
        timm_models.check_name(name)
        timm_models.check_options(options)
    except ValueError:
        return  # told of the parameters themselves
    try:
        plan = timm_models.plan(name, options, size)
    except ValueError as error:
        yield Problem(("options",) if options else ("name",), str(error))
        return
    yield from _check_layer(section.get("layer"), plan)
    if not found and not registry.holds_unresolved(pooling):
        yield from _check_pooling(pooling, name, plan)
    yield from _check_size(size, name, plan)
    source = section.get("pretrained")
    if isinstance(source, str) and (path := timm_models.local_weights(source)):
        try:
            with torch.device("meta"):
                bare = timm_models.create(name, plan.options)
            timm_models.fitting_state(bare, path)
        except DataError as error:
            yield Problem(("pretrained",), str(error))


def _check_layer(layer, plan):
    if layer is not None and not -plan.layers <= layer < plan.layers:
        yield Problem(("layer",), f"expected {-plan.layers} to {plan.layers - 1}, got {layer}")


def _check_pooling(pooling, name, plan):
    kind = pooling if isinstance(pooling, str) else pooling["type"]
    component = registry.lookup("pooling", kind)
    if getattr(component, "needs_class_token", False) and not plan.has_class_token:
        yield Problem(("pooling",), f"{kind} needs a class token, {name} has none")
    elif _takes_prefix(component) and not plan.prefix:
        yield Problem(("pooling",), f"{kind} needs tokens beside those of patches, {name} has none")


def _check_size(size, name, plan):
    if plan.fixed is None:
        if size is not None and any(s % unit for s, unit in zip(size, plan.patch, strict=True)):
            yield Problem(("input_size",), f"sides have to be multiples of {plan.patch[0]}")
    elif size is None or tuple(size) != plan.fixed:
        height, width = plan.fixed
        yield Problem(
            ("input_size",),
            f"{name} takes images of {height} x {width} pixels alone: say input_size: "
            f"[{height}, {width}], to which all are resized whatever their shape",
        )


def _takes_prefix(component):
    return "prefix" in inspect.signature(component.forward).parameters


@register("architecture", "timm", check=check_timm)
class TimmEmbedding(ImageRetrievalNet):
    """Images ``[B, 3, H, W]`` -> L2-normalized descriptors as columns ``[D, B]``.

    The sides of images for a transformer go to the nearest multiples of its patch; tokens that are
    no patches (class, registers) are left out of poolings over locations. Batch normalization and
    the rates of optimizers are as in ``cirnet``.

    Args:
        name: of the model, ``.TAG`` behind it names weights.
        pretrained: true: the weights that timm names; text: path or URL of a ``.pth``, ``.bin`` or
            ``.safetensors`` file; false: random.
        pooling: its name, or a mapping ``type`` with its parameters.
        options: of the model, as ``timm.create_model`` takes them.
        layer: which of the model's layers (blocks, stages) to pool; null: its output.
        projection: dimensions of a learned linear layer on the descriptor; 0: none.
        projection_bias: whether it has a bias.
        input_size: ``[height, width]`` that all images are resized to; null: they keep theirs.
        mean_std: normalization of images, ``[means, stds]``; null: that of the model's weights.
            Data sections need not say it, and may not say another.
    """

    def __init__(
        self,
        *,
        name: Name,
        pretrained: bool | str,
        pooling: PoolingSection = "gem",
        options: TimmOptions = {},  # noqa: B006 -- never changed
        layer: int | None = None,
        projection: Annotated[int, at_least(0)] = 0,
        projection_bias: bool = True,
        input_size: Size | None = None,
        mean_std: MeanStd | None = None,
    ):
        plan = timm_models.plan(name, options, input_size)
        model = timm_models.create(name, plan.options)
        if pretrained:
            timm_models.load_pretrained(model, pretrained, name)
        channels = plan.channels if layer is None else model.feature_info[layer]["num_chs"]
        pool, dimensions = make_pooling(pooling, channels), projection
        if not projection:
            dimensions = _pooled_size(pool, channels)
        linear = None
        if projection:
            linear = nn.Linear(_pooled_size(pool, channels), projection, bias=projection_bias)
        meta = {
            "architecture": name,
            "pooling": pooling if isinstance(pooling, str) else pooling["type"],
            "local_whitening": False,
            "regional": False,
            "whitening": bool(projection),
            "outputdim": dimensions,
            "in_channels": 3,
            "out_channels": dimensions,
        }
        meta["mean"], meta["std"] = mean_std or timm_models.mean_std_of(name)
        mean_std = [meta["mean"], meta["std"]]
        meta["preprocessing"] = {"transforms": TRANSFORMS, "mean_std": mean_std}
        super().__init__([], None, pool, linear, meta)
        self.features, self.plan = model, plan
        self.layer = layer if layer is None else layer % plan.layers
        self.input_size = plan.fixed or (tuple(input_size) if input_size else None)
        self._pools_prefix = _takes_prefix(type(pool))
        pads_by_size = any("Same" in type(layer).__name__ for layer in model.modules())
        self.depends_on_size = plan.patch != (1, 1) or self.input_size is not None or pads_by_size

    @staticmethod
    def mean_std_of(section) -> list | None:
        """The normalization of images for a model's section, found without building it."""
        return section.get("mean_std") or timm_models.mean_std_of(section["name"])

    def forward(self, x):
        features, prefix = self.feature_map(resized(x, self.input_size, self.plan.patch))
        pooled = self.pool(features, prefix) if self._pools_prefix else self.pool(features)
        vectors = self.norm(pooled.flatten(1))
        if self.whiten is not None:
            vectors = self.norm(self.whiten(vectors))
        return vectors.permute(1, 0)

    def feature_map(self, x):
        """``[B, C, h, w]`` and the tokens before those of patches ``[B, P, C]`` (None: a map)."""
        if self.layer is not None:
            return self._intermediate(x)
        features = self.features.forward_features(x)
        if not self.plan.is_sequence:
            last = getattr(self.features, "output_fmt", "NCHW") == "NHWC"
            return features.movedim(-1, 1) if last else features, None
        count, grid = self.plan.prefix, self.plan.grid
        if self.plan.patch != (1, 1):
            grid = [side // unit for side, unit in zip(x.shape[-2:], self.plan.patch, strict=True)]
        patches = features[:, count:].transpose(1, 2).unflatten(2, grid)
        return patches, features[:, :count]

    def _intermediate(self, x):
        given = {"output_fmt": "NCHW", "intermediates_only": True, "stop_early": True}
        if self.plan.is_sequence:
            given["norm"] = True  # of tokens, as behind the last block
        if self._pools_prefix:
            given["return_prefix_tokens"] = True
        (found,) = self.features.forward_intermediates(x, indices=[self.layer], **given)
        return found if self._pools_prefix else (found, None)


def _pooled_size(pool, channels):
    """Length of what a pooling makes of a map of so many channels."""
    given = [torch.zeros(1, channels, 8, 8)]
    if _takes_prefix(type(pool)):
        given.append(torch.zeros(1, 1, channels))
    with torch.no_grad():
        found = pool(*given)
    if not torch.is_tensor(found) or found.flatten(1).shape[0] != 1:
        raise UserError(f"the pooling {type(pool).__name__} gives no vector of an image")
    return found.flatten(1).shape[1]
