"""What every network of the toolkit can do, whatever it is made of."""

import torch

from cirtorch.utils.nested import map_tensors
from mdir.errors import UserError
from mdir.networks.wrappers.stack import WrapperStack


class Network:
    """A model, or several by name, with runtime wrappers and preprocessing: one saved unit.

    Attributes:
        type: name of the class in scenarios and checkpoints.
        network_params: what the checkpoint keeps besides weights; ``runtime`` is a part of it.
        meta: ``in_channels`` and ``out_channels`` of what it maps from and to.
        members: networks inside by name, ``{}`` for a single one; ``net[name]`` searches all
            levels.
        stage: "train" or "eval"; it selects the wrappers. A frozen network stays in "eval", gives
            no parameters to optimizers and lets gradients through to its input.
        device: where inputs are moved to.

    A subclass declares ``type``, ``forward_batch``, ``own_state`` and ``overlay_params``; how its
    file becomes a network again is a function in :mod:`mdir.networks.factory`.
    """

    type: str

    def __init__(self, network_params, *, members=None, meta=None, frozen=False, device="cpu"):
        self.network_params = network_params
        self.members = dict(members or {})
        self.meta = dict(meta or {})
        self.frozen = bool(frozen)
        self.device = torch.device(device)
        self.stage = "eval" if self.frozen else "train"
        self.wrappers = {"train": WrapperStack(), "eval": WrapperStack()}

    @property
    def runtime(self) -> dict:
        return self.network_params["runtime"]

    @property
    def preprocessing(self) -> dict:
        """How images are read (``transforms``, ``mean_std``), for those who do not say."""
        return self.runtime.get("data") or {}

    @property
    def gives_columns(self) -> bool:
        """Whether any list of images gives a matrix, whose columns know only their own image."""
        joins = any(getattr(each, "gives_columns", False) for each in self.wrappers[self.stage])
        met = wrappers_of(self)
        return joins and all(getattr(each, "maps_images_apart", False) for each in met)

    def require_normalization(self, mean_std) -> None:
        """Refuse images of another normalization than the model was made for, where it tells one.

        Args:
            mean_std: ``[[mean, ...], [std, ...]]``; null: nothing is said.
        """

    def forward(self, images, **params):
        """The network's output for images, through the wrappers of its stage.

        Args:
            images: ``[B, C, H, W]`` tensor, labelled image, None, or a list of those (any nesting
                that the wrappers flatten).
            params: handed to the model.
        """
        wrappers = self.wrappers[self.stage]
        is_far = self.device.type == "cuda"
        images = map_tensors(lambda image: image.to(self.device, non_blocking=is_far), images)
        images, states = wrappers.preprocess(images)
        return wrappers.postprocess(self.forward_batch(images, **params), states)

    __call__ = forward

    def forward_batch(self, images, **params):
        """The same without wrappers: a list is mapped item by item, None stays None."""
        raise UserError(f"a {self.type} has no output of its own; take one of {list(self.members)}")

    def __getitem__(self, name: str) -> "Network":
        if name in self.members:
            return self.members[name]
        for member in self.members.values():
            if name in member:
                return member[name]
        raise UserError(f"no network {name!r}; there are {', '.join(self.names()) or 'none'}")

    def __contains__(self, name: str) -> bool:
        return name in self.members or any(name in member for member in self.members.values())

    def names(self) -> list[str]:
        """Names of the networks inside, all levels, outer ones first."""
        return [n for name, member in self.members.items() for n in (name, *member.names())]

    def train(self) -> "Network":
        return self._set_stage("train")

    def eval(self) -> "Network":
        return self._set_stage("eval")

    def _set_stage(self, stage):
        for member in self.members.values():
            member._set_stage(stage)
        self.stage = "eval" if self.frozen else stage
        return self

    def to(self, device) -> "Network":
        self.device = torch.device(device)
        for member in self.members.values():
            member.to(device)
        return self

    def freeze(self, name: str | None = None) -> "Network":
        """Freeze the member of that name, or everything."""
        if name is not None:
            self[name].freeze()
            return self
        for member in self.members.values():
            member.freeze()
        self.frozen = True
        return self.eval()

    def parameters(self, optimizer_opts: dict | None = None, name: str | None = None) -> list:
        """What an optimizer is to train: a list of parameters or of parameter groups.

        Args:
            optimizer_opts: options of the optimizer (``lr``, ``weight_decay``, ...), from which a
                model may derive options of its groups.
            name: take that member only.
        """
        if name is not None:
            return self[name].parameters(optimizer_opts)
        groups = []
        for member in self.members.values():
            found = member.parameters(optimizer_opts)
            grouped = not found or isinstance(found[0], dict)
            groups += found if grouped else [{"params": found}]
        return groups

    def named_parameters(self):
        """``(member.parameter, tensor)`` of all levels, frozen networks included."""
        for name, member in self.members.items():
            for key, parameter in member.named_parameters():
                yield f"{name}.{key}", parameter

    def own_state(self) -> dict:
        """The dict of this network's own file, without its members."""
        raise TypeError(f"{type(self).__name__} does not say what its file holds")

    def state_dict(self) -> dict:
        """``{"net": own state, member: its state, ...}``, members of all levels by their names."""
        return {"net": self.own_state(), **{name: self[name].own_state() for name in self.names()}}

    def hierarchy(self) -> dict:
        return {name: member.names() for name, member in self.members.items()}

    def overlay_params(self, overlay: dict | None) -> "Network":
        """The same weights under another runtime, frozen; null or empty: the network itself."""
        if not overlay:
            return self
        raise UserError(f"a {self.type} takes no overlay, got {overlay!r}")


def models_of(network) -> list[torch.nn.Module]:
    """The modules of all single networks inside; what only stands before a network has none."""
    if not network.members:
        return [network.model] if hasattr(network, "model") else []
    return [model for member in network.members.values() for model in models_of(member)]


def wrappers_of(network, stage: str | None = None) -> list:
    """All wrappers that images meet on their way through a network.

    Args:
        stage: "train" or "eval"; null: the stage in which each network is.
    """
    members = network.members.values()
    inner = [wrapper for member in members for wrapper in wrappers_of(member, stage)]
    return [*network.wrappers[stage or network.stage], *inner]
