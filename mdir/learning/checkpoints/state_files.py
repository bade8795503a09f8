"""Files of training state: written whole or not at all, read without running what is in them."""

import os
import pathlib
import pickle

import numpy as np
import torch

from cirtorch.utils.checkpoint import why_refused
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import atomic_write

# What the published project's files hold besides tensors and plain containers: arrays of numbers
# and the path of a folder. PurePosixPath stands in for the path, so that it is only a text.
_ARRAYS = [
    (np.ndarray, "numpy.ndarray"),
    (np.dtype, "numpy.dtype"),
    *(
        (function, f"{module}.multiarray.{name}")
        for module in ("numpy._core", "numpy.core")
        for name, function in (
            ("_reconstruct", np._core.multiarray._reconstruct),
            ("scalar", np._core.multiarray.scalar),
        )
    ),
    *(type(np.dtype(code)) for code in ("?", "i1", "u1", "i2", "i4", "i8", "f2", "f4", "f8")),
]
_PATHS = [
    (pathlib.PurePosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")
]


def save_state(state, path: str | os.PathLike) -> None:
    """Write a state, its tensors moved to the CPU, so that it can be loaded anywhere."""
    with atomic_write(path) as file:
        torch.save(on_cpu(state), file)


def load_state(path: str | os.PathLike):
    """Read a state: tensors, plain containers, numbers, text, NumPy arrays and paths only.

    Raises:
        DataError: the file is absent, broken, or holds anything else (which is not run).
    """
    try:
        with torch.serialization.safe_globals(_ARRAYS + _PATHS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except pickle.UnpicklingError as error:
        message = f"{path}: refuses to load this training state ({why_refused(error)})"
        raise DataError(message) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a readable torch file ({error})") from error


def on_cpu(value):
    """The same nested containers with every tensor on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return type(value)((key, on_cpu(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(on_cpu(item) for item in value)
    return value
