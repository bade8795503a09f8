"""Files that a step leaves for its user: whole or not at all, and told to the journal."""

import torch

from cirtorch.utils.files import atomic_write
from mdir.artifacts import produced


def write_bytes(path, content: bytes) -> None:
    """Write a file."""
    with atomic_write(path) as file:
        file.write(content)
    produced(path)


def write_tensors(path, tensors) -> None:
    """Write a tensor or a dict of tensors, on the CPU so that every machine reads it."""
    on_cpu = (
        tensors.cpu()
        if isinstance(tensors, torch.Tensor)
        else {key: tensor.cpu() for key, tensor in tensors.items()}
    )
    with atomic_write(path) as file:
        torch.save(on_cpu, file)
    produced(path)
