"""Telling whether a result was made by this network with these settings."""

import hashlib
import json

import torch


def network_fingerprint(network, settings) -> str:
    """A hash of the weights and parameters of a network and of plain ``settings``."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, state in network.state_dict().items():
        digest.update(f"{name} {state.get('network_params')}".encode())
        for key, tensor in state.get("model_state", {}).items():
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
