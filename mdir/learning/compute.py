"""How a run computes: device, precision, memory layout, compilation, threads."""

import os
from contextlib import nullcontext
from typing import Literal

import torch

from cirtorch.utils.nested import map_tensors
from mdir import distributed
from mdir.networks.architectures.parts.norms import exact_gradients
from mdir.networks.base import models_of


def default_device() -> torch.device:
    """The GPU, of several processes the one that is this one's, or else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if distributed.size() == 1:
        return torch.device("cuda")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


class Runtime:
    """Settings that change the speed of a run, not what is computed (up to rounding).

    Args:
        precision: ``bf16`` computes forward and backward passes of networks in bfloat16 where torch
            deems it safe; weights stay and losses are float32.
        channels_last: convolution weights in that memory layout.
        compile: compile the models with ``torch.compile``; of a model that repeats a block (its
            class names it in ``repeats``) the blocks, which are compiled once for all of them.
        threads: CPU threads of this process; null leaves torch's choice.
    """

    def __init__(
        self,
        *,
        precision: Literal["float32", "bf16"] = "float32",
        channels_last: bool = False,
        compile: bool = False,
        threads: int | None = None,
    ):
        self.precision, self.channels_last = precision, channels_last
        self.compile, self.threads = compile, threads

    def prepare(self, network) -> None:
        """Apply the settings to a network and this process."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        for model in models_of(network):
            exact_gradients(model)
            if self.channels_last:
                model.to(memory_format=torch.channels_last)
            if self.compile:
                for part in _compiled_apart(model):
                    part.compile()

    def keep_float32(self, criterion, device: torch.device) -> None:
        """Have a loss computed in float32, whatever the networks compute in."""
        if self.precision == "float32" or not isinstance(criterion, torch.nn.Module):
            return
        forward, kind = criterion.forward, torch.device(device).type

        def precise(*args, **kwargs):
            with torch.autocast(kind, enabled=False):
                return forward(*map_tensors(_float32, args), **map_tensors(_float32, kwargs))

        criterion.forward = precise

    def autocast(self, device: torch.device):
        """The context for forward and backward passes."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def _compiled_apart(model):
    """The blocks that a model repeats, or else the model."""
    block = getattr(model, "repeats", None)
    found = [] if block is None else [one for one in model.modules() if isinstance(one, block)]
    return found or [model]


def _float32(tensor):
    return tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor


def leaves(network, name: str = "net") -> dict:
    """The single networks inside by name; a single network itself is called ``net``."""
    if not network.members:
        return {name: network}
    return {
        leaf: single
        for inner, member in network.members.items()
        for leaf, single in leaves(member, inner).items()
    }
