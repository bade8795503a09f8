"""Telling whether a result was made by this network with these settings, of these files."""

import hashlib
import json
from collections.abc import Iterable

import torch

from cirtorch.utils.fingerprints import contents
from mdir.networks.base import wrappers_of


def network_fingerprint(network, settings) -> str:
    """A hash of the weights and parameters of a network, wrappers too, and plain ``settings``."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, state in network.state_dict().items():
        digest.update(f"{name} {state.get('network_params')}".encode())
        for key, tensor in state.get("model_state", {}).items():
            digest.update(key.encode())
            digest.update(_bytes(tensor))
    for wrapper in wrappers_of(network, "eval"):  # a whitening is a file that no state holds
        for tensor in filter(torch.is_tensor, vars(wrapper).values()):
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor):
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()


def files_fingerprint(paths: Iterable[str]) -> str:
    """A hash of what files hold, whatever they are called; their order counts."""
    return hashlib.sha256(" ".join(contents(paths).values()).encode()).hexdigest()
