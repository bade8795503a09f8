"""Files of weights and of whitenings, published ones too; nothing that is in them is run."""

import os
import pathlib
import pickle
import re
import zipfile
from textwrap import shorten
from urllib.parse import urlparse

import numpy as np
import torch

from cirtorch.downloads.fetch import fetch, hash_in_name
from cirtorch.utils.digests import Sealing, check_archive
from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.files import atomic_write
from cirtorch.utils.general import get_data_root
from cirtorch.utils.memory import bounded_memory
from cirtorch.utils.nested import map_tensors
from cirtorch.utils.safe_pickle import load_pickle

_GROWTH = 64  # bytes of objects for one of a file: small mappings take the most
_NUMBERS = "?" + np.typecodes["AllInteger"] + np.typecodes["AllFloat"]
# NumPy 1 and 2 name their functions differently. Published training states hold the path of a
# folder: PurePosixPath stands in for it, which is only a text.
_ADMITTED = [
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in _NUMBERS},
    *(
        (getattr(np._core.multiarray, name), f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *((pathlib.PurePosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),
]


def load_weights(path):
    """The content of a file of ``torch.save``, on the CPU.

    It may hold tensors, NumPy arrays of numbers, plain containers, numbers, text and paths.

    Raises:
        DamagedFile: it is not what was written, or nothing that torch writes.
        DataError: there is no such file, or it names anything else.
    """
    try:
        check_archive(path)
        grown = _GROWTH * os.path.getsize(path)
        with torch.serialization.safe_globals(_ADMITTED), bounded_memory(grown):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, a file is expected") from None
    except DamagedFile:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # damaged files make the unpickler stumble in many ways
        raise _refusal(path, error) from error


def _refusal(path, error):
    """What ``torch.load`` found wrong, in a few words and without its advice to load it anyway."""
    name = re.search(r"GLOBAL (\S+)", str(error))
    if name:
        return DataError(
            f"{path}: refuses to load; only tensors, arrays of numbers and plain values are "
            f"admitted, it names {name[1]}"
        )
    if isinstance(error, MemoryError):
        return DataError(f"{path}: refuses to load; it asks for far more memory than it is long")
    if isinstance(error, pickle.UnpicklingError):
        return DamagedFile(f"{path}: refuses to load; it is damaged, or not a file of torch")
    why = (str(error).splitlines() or ["it is empty"])[0]
    return DamagedFile(f"{path}: not a readable torch file ({why})")


def save_weights(value, path):
    """Write a tensor or nested containers of them, moved to the CPU: every machine reads it.

    The file carries a digest (:mod:`cirtorch.utils.digests`).
    """
    with atomic_write(path) as file:
        sealing = Sealing(file)
        torch.save(map_tensors(lambda tensor: tensor.detach().cpu(), value), sealing)
        sealing.seal()


def load_url(url, model_dir=None, named_hash=True):
    """Published weights, fetched once into ``model_dir`` (default ``<root>/data/networks``).

    ``CIRTORCH_MIRROR`` is asked before the address itself. ``named_hash``: the digits at the end
    of the file's name are the start of its SHA-256 and are checked.
    """
    name = os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir or os.path.join(get_data_root(), "networks"), name)
    return load_weights(fetch(url, path, hash_in_name(name) if named_hash else None))


def load_state(module, state, source):
    """Load ``state`` (a dict, or the path of one) into ``module``, all keys required.

    Raises:
        DataError: it does not fit; the message begins with ``source``.
    """
    state = load_weights(state) if isinstance(state, (str, os.PathLike)) else state
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        name = type(module).__name__
        raise DataError(f"{source}: weights do not fit {name}: {_in_short(error)}") from error


def _in_short(error):
    """What torch says of many keys, one fault a line, in one line."""
    first, *faults = str(error).splitlines()
    shown = [shorten(fault, 300, placeholder=" ...") for fault in faults[:3] or [first]]
    return " ".join(shown) + (f" (and {len(faults) - 3} more)" if len(faults) > 3 else "")


def load_whitening(path, dtype=np.float64):
    """A whitening file: arrays ``(m [D, 1], P [D', D])``.

    Reads a pickle of ``{"m", "P"}`` and what :func:`torch.save` made of one.

    Args:
        dtype: None keeps that of the file.

    Raises:
        DataError: the file is unreadable, names code, or holds something else.
    """
    return check_whitening(load_plain(path), path, dtype)


def load_plain(path):
    """The content of a pickle, or of a file of ``torch.save``; nothing that is in it is run."""
    return load_weights(path) if _is_torch_file(path) else load_pickle(path)


def check_whitening(stored, path, dtype=np.float64):
    """As :func:`load_whitening`, of what the file ``path`` holds."""
    try:
        m, P = (np.asarray(stored[key], dtype=dtype) for key in ("m", "P"))
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
