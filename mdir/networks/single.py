"""A network that is one model."""

from copy import deepcopy

import numpy as np
import torch

from cirtorch.datasets.same_size_batches import same_size_batches
from mdir.data.labelled import tensor_of
from mdir.errors import UserError
from mdir.networks.base import Network
from mdir.networks.wrappers.stack import build_wrappers


class SingleNetwork(Network):
    """One model with its wrappers and preprocessing.

    Args:
        model: the module; its ``meta`` says ``in_channels`` and ``out_channels``.
        network_params: ``{"model": as the scenario has it, "runtime": likewise}``.
        frozen: besides ``runtime.frozen``.
    """

    type = "SingleNetwork"

    def __init__(self, model, network_params, *, frozen=False, device="cpu"):
        runtime = network_params["runtime"]
        frozen = frozen or bool(runtime.get("frozen", False))
        meta = getattr(model, "meta", {})
        super().__init__(network_params, meta=meta, frozen=frozen, device=device)
        self.model = model.to(self.device)
        if "model" in runtime:
            self.model.runtime = runtime["model"]
        self.own_wrappers = build_wrappers(runtime.get("wrappers"), model)
        self.wrappers = self.own_wrappers
        self._apply_frozen()
        self._set_stage(self.stage)
        self.require_normalization(self.preprocessing.get("mean_std"))

    @property
    def preprocessing(self):
        told = super().preprocessing
        own = self.meta.get("preprocessing")
        return told if own is None else own | {k: v for k, v in told.items() if v is not None}

    def require_normalization(self, mean_std):
        own = self.meta.get("preprocessing", {}).get("mean_std")
        if own is not None and mean_std is not None and differ(mean_std, own):
            raise UserError(f"mean_std {mean_std}: {not_its_own(own)}")

    def _apply_frozen(self):
        if self.frozen:
            self.model.requires_grad_(False)

    def forward_batch(self, images, **params):
        if images is None:
            return None
        if isinstance(images, (list, tuple)):
            if getattr(self.model, "maps_images_apart", False) and _are_batches(images):
                return self._forward_buckets(images, **params)
            return [self.forward_batch(image, **params) for image in images]
        return self.model(tensor_of(images), **params)

    def _forward_buckets(self, images, **params):
        """A list through the model, images of one size together: the same columns, sooner."""
        outputs = [None] * len(images)
        for indices, batches in same_size_batches(images, len(images)):
            if batches == [None]:
                continue
            columns = self.model(torch.cat([tensor_of(batch) for batch in batches]), **params)
            parts = columns.split([len(tensor_of(batch)) for batch in batches], dim=1)
            for index, part in zip(indices, parts, strict=True):
                outputs[index] = part
        return outputs

    def _set_stage(self, stage):
        super()._set_stage(stage)
        self.model.train(self.stage == "train")
        return self

    def to(self, device):
        self.model.to(device)
        return super().to(device)

    def freeze(self, name=None):
        super().freeze(name)
        self._apply_frozen()
        return self

    def parameters(self, optimizer_opts=None, name=None):
        if name is not None or self.frozen:
            return [] if name is None else self[name].parameters(optimizer_opts)
        if optimizer_opts is not None and hasattr(self.model, "parameter_groups"):
            return list(self.model.parameter_groups(optimizer_opts))
        return list(self.model.parameters())

    def named_parameters(self):
        return self.model.named_parameters()

    def own_state(self):
        return {
            "type": self.type,
            "frozen": self.frozen,
            "network_params": deepcopy(self.network_params),
            "model_state": self.model.state_dict(),
        }

    def overlay_params(self, overlay):
        if not overlay:
            return self
        if set(overlay) != {"runtime"}:
            raise UserError(f"a network overlay holds just 'runtime', got {sorted(overlay)}")
        model, runtime = self.model, overlay["runtime"] or {}
        if "model" in runtime:
            model = model.copy_with_runtime(runtime["model"])
        return SingleNetworkLink(model, runtime, device=self.device)


class SingleNetworkLink(SingleNetwork):
    """Another runtime around the model of a network; always frozen, its file has no weights."""

    type = "SingleNetworkLink"

    def __init__(self, model, runtime, *, device="cpu"):
        super().__init__(model, {"runtime": deepcopy(runtime)}, frozen=True, device=device)

    @property
    def preprocessing(self):
        return self.runtime.get("data") or {}  # what it does not say is as the network says it

    def _apply_frozen(self):
        """The model belongs to a network that may be in training: leave it as it is."""

    def own_state(self):
        return {"type": self.type, "frozen": True, "network_params": deepcopy(self.network_params)}


def differ(mean_std, own) -> bool:
    """Whether two normalizations ``[[mean, ...], [std, ...]]`` are not the same."""
    pairs = [
        list(map(float, values)) for part in zip(mean_std, own, strict=True) for values in part
    ]
    return any(
        len(told) != len(mine) or not np.allclose(told, mine, atol=1e-4)
        for told, mine in zip(pairs[::2], pairs[1::2], strict=True)
    )


def not_its_own(own) -> str:
    """Why another normalization is refused."""
    return (
        f"the model takes images of the normalization {list(map(list, own))}. Leave mean_std out, "
        "which takes that; for weights of another one say mean_std in the model's section"
    )


def _are_batches(images):
    """Whether all items are ``[B, C, H, W]``, labelled or not, or None."""
    return all(image is None or getattr(tensor_of(image), "ndim", 0) == 4 for image in images)
