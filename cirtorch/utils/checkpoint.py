"""Reading published networks and whitenings without running anything that is in them."""

import os
import pickle
import re
import zipfile
from urllib.parse import urlparse

import numpy as np
import torch

from cirtorch.downloads.fetch import fetch, hash_in_name
from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_data_root
from cirtorch.utils.safe_pickle import load_pickle

_ARRAY_PARTS = [
    (function, f"numpy.{core}.{module}.{name}")
    for core in ("core", "_core")
    for module, name, function in (
        ("multiarray", "_reconstruct", np._core.multiarray._reconstruct),
        ("multiarray", "scalar", np._core.multiarray.scalar),
        ("numeric", "_frombuffer", np._core.numeric._frombuffer),
    )
]
_ARRAY_TYPES = [np.ndarray, np.dtype] + [
    type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")
]


def arrays_allowed():
    """Context in which ``torch.load(weights_only=True)`` reads NumPy arrays of numbers too."""
    return torch.serialization.safe_globals([*_ARRAY_PARTS, *_ARRAY_TYPES])


def load_checkpoint(path):
    """Load a file of ``torch.save`` on the CPU; tensors, plain values and NumPy arrays only.

    Raises:
        DataError: there is no such file, it is damaged, or it names anything else.
    """
    try:
        with arrays_allowed():
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except Exception as error:  # damaged files make the unpickler stumble in many ways
        raise DataError(
            f"{path}: not a checkpoint that can be loaded safely ({why_refused(error)})"
        ) from error


def why_refused(error):
    """What ``torch.load`` found wrong, in a few words and without its advice to load it anyway."""
    name = re.search(r"GLOBAL (\S+)", str(error))
    if name:
        return f"it names {name[1]}"
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or no file of torch"
    return (str(error).strip().splitlines() or ["it is empty"])[0]


def load_url(url, model_dir=None, named_hash=True):
    """Published weights, fetched once into ``model_dir`` (default ``<root>/data/networks``).

    ``CIRTORCH_MIRROR`` is asked before the address itself. ``named_hash``: the digits at the end
    of the file's name are the start of its SHA-256 and are checked.
    """
    name = os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir or os.path.join(get_data_root(), "networks"), name)
    return load_checkpoint(fetch(url, path, hash_in_name(name) if named_hash else None))


def load_state(module, state, source):
    """Load ``state`` (a dict, or the path of one) into ``module``, all keys required."""
    state = load_checkpoint(state) if isinstance(state, (str, os.PathLike)) else state
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise DataError(f"{source}: does not fit the network: {error}") from error


def load_whitening(path):
    """A whitening file: ``(m [D, 1], P [D', D])`` float64.

    Reads a pickle of ``{"m", "P"}`` and what :func:`torch.save` made of one.

    Raises:
        DataError: the file is unreadable, names code, or holds something else.
    """
    stored = load_checkpoint(path) if _is_torch_file(path) else load_pickle(path)
    try:
        m, P = (np.asarray(stored[key], dtype=np.float64) for key in ("m", "P"))
        m = m.reshape(-1, 1)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path}: a whitening holds the arrays 'm' and 'P'") from error
    if P.ndim != 2 or P.shape[1] != len(m):
        raise DataError(f"{path}: shapes of the whitening do not fit: m {m.shape}, P {P.shape}")
    return m, P


def _is_torch_file(path):
    """Files of ``torch.save`` are ZIP archives, or begin with its own number."""
    if not os.path.exists(path):
        raise DataError(f"{path}: there is no such file")
    if zipfile.is_zipfile(path):
        return True
    with open(path, "rb") as file:
        return torch.serialization.MAGIC_NUMBER.to_bytes(10, "little") in file.read(32)
