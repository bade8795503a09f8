"""Networks made of networks: sets and sequences."""

from copy import deepcopy

import torch

from mdir.errors import UserError
from mdir.networks.base import Network
from mdir.networks.wrappers.stack import WrapperStack, splitp


class Container(Network):
    """What sets and sequences share: members with names that are unique over all levels."""

    def __init__(self, members, network_params, **given):
        super().__init__(network_params, members=members, **given)
        names = self.names()
        for name in names:
            if name == "net" or "/" in name or names.count(name) > 1:
                raise UserError(f"network name {name!r}: names are unique, not 'net', without '/'")

    def _overlaid(self, overlay, settings=()):
        """Members under their overlays; every member needs an entry, null keeps it."""
        expected, given = set(self.members), set(overlay) - set(settings)
        if expected != given:
            raise UserError(
                f"a network overlay needs one entry for each of {sorted(expected)} (null keeps "
                f"it as it is), got {sorted(given)}"
            )
        return {name: item.overlay_params(overlay[name]) for name, item in self.members.items()}


class NetworkSet(Container):
    """Networks side by side, sorted by name; methods take them by name, there is no output."""

    type = "NetworkSet"

    def __init__(self, members, *, frozen=False, device="cpu"):
        members = dict(sorted(members.items()))
        super().__init__(members, {"runtime": {}}, frozen=frozen, device=device)

    def own_state(self):
        return {
            "type": self.type,
            "frozen": self.frozen,
            "network_order": list(self.members),
            "network_hierarchy": self.hierarchy(),
        }

    def overlay_params(self, overlay):
        if not overlay:
            return self
        return NetworkSet(self._overlaid(overlay), frozen=True, device=self.device)


class SequentialNetwork(Container):
    """Two networks, the second fed by the first.

    Datasets take their preprocessing from the first. The wrappers of the last are lifted around
    the whole (``rearrange_wrappers``), so that those of an embedding see the images first and the
    descriptors last. A list of images is mapped image by image.

    Args:
        members: first and last by name, in order.
        rearrange_wrappers: false leaves the last network's wrappers to itself.
    """

    type = "SequentialNetwork"

    def __init__(self, members, *, rearrange_wrappers=True, frozen=False, device="cpu"):
        first, last = members.values()
        runtime = {"wrappers": "", "data": deepcopy(first.runtime.get("data", {}))}
        if rearrange_wrappers:
            runtime["wrappers"] = deepcopy(last.runtime.get("wrappers", ""))
        meta = {
            "in_channels": first.meta.get("in_channels"),
            "out_channels": last.meta.get("out_channels"),
        }
        super().__init__(members, {"runtime": runtime}, meta=meta, frozen=frozen, device=device)
        _require_fitting(members)
        last.require_normalization(_given_normalization(first))
        self.own_wrappers = self.wrappers
        if rearrange_wrappers:
            self.own_wrappers = self.wrappers = last.own_wrappers
            last.wrappers = dict.fromkeys(("train", "eval"), WrapperStack())
        self.rearrange_wrappers = rearrange_wrappers

    def __getattr__(self, name):
        if name.startswith("__") or "members" not in self.__dict__:
            raise AttributeError(name)
        return getattr(list(self.members.values())[-1], name)

    @property
    def preprocessing(self):
        return next(iter(self.members.values())).preprocessing

    def require_normalization(self, mean_std):
        next(iter(self.members.values())).require_normalization(mean_std)

    @property
    def model(self):
        """The module of the last network."""
        return list(self.members.values())[-1].model

    def forward_batch(self, images, **params):
        if images is None:
            return None
        if isinstance(images, (list, tuple)):
            return [self.forward_batch(image, **params) for image in images]
        return self._chain(images, **params)

    def _chain(self, images, **params):
        first, last = self.members.values()
        between = first(images)
        return _rejoined(images, last(between, **params))

    def own_state(self):
        return {
            "type": self.type,
            "frozen": self.frozen,
            "sequence": list(self.members),
            "network_hierarchy": self.hierarchy(),
        }

    def overlay_params(self, overlay):
        if not overlay:
            return self
        members = self._overlaid(overlay, ("sequence", "rearrange_wrappers"))
        if "sequence" in overlay:
            members = {name: members[name] for name in sequence_names(overlay["sequence"])}
        rearrange = overlay.get("rearrange_wrappers", self.rearrange_wrappers)
        return type(self)(members, rearrange_wrappers=rearrange, frozen=True, device=self.device)


class CirSequentialNetwork(SequentialNetwork):
    """As SequentialNetwork, handing a list of images to the first network as a whole."""

    type = "CirSequentialNetwork"

    def forward_batch(self, images, **params):
        return None if images is None else self._chain(images, **params)


def _rejoined(images, output):
    """Descriptors of a batch as one matrix, where its images went on one by one.

    That happens when the first network changes the size of some images of a batch only.
    """
    if not isinstance(output, list):
        return output
    if isinstance(images, (list, tuple)):
        return [_rejoined(*pair) for pair in zip(images, output, strict=True)]
    return torch.cat(output, dim=1) if all(item.dim() == 2 for item in output) else output


def _require_fitting(members):
    (first, source), (last, target) = members.items()
    given, expected = source.meta.get("out_channels"), target.meta.get("in_channels")
    if None not in (given, expected) and given != expected:
        raise UserError(
            f"networks do not fit: {first} gives {given} channels, {last} takes {expected}"
        )


def _given_normalization(first):
    """How images are normalized that come out of the first network: as it says, or as they came."""
    for wrapper in first.wrappers["eval"]:
        if hasattr(wrapper, "gives_mean_std"):
            return wrapper.gives_mean_std
    return first.preprocessing.get("mean_std")


def sequence_names(sequence: str) -> list[str]:
    """``"first, last"`` -> ``["first", "last"]``."""
    return [part.strip() for part in splitp(sequence)]
