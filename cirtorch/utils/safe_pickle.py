"""Reading the pickles of published projects without running what is in them."""

import hashlib
import io
import os
import pickle
from pathlib import Path

from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.memory import bounded_memory

_GROWTH = 64  # bytes of objects for one of a pickle: small mappings take the most
_MARK = b"\n#sha256 "
_TAIL = len(_MARK) + 64

_ADMITTED = {
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "complex"),
    ("builtins", "bytearray"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, file, source, encoding):
        super().__init__(file, encoding=encoding)
        self.source = source

    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise DataError(
                f"{self.source}: refuses to load {module}.{name}; only plain containers, numbers, "
                "text and NumPy arrays are admitted in a pickle"
            )
        return super().find_class(module, name)


def load_pickle(source: str | os.PathLike | bytes, encoding: str = "latin1"):
    """Load a pickle that holds plain containers, numbers, text and NumPy arrays only.

    ``source`` is a path or the pickled bytes. ``latin1`` reads the Python 2 files of the published
    ground truths as well.

    Raises:
        DamagedFile: it carries a digest (:func:`dump_pickle`) and is not what was written.
        DataError: the file is not a pickle, is cut short, asks for far more memory than it is
            long, or names anything else than the above.
        OSError: the file cannot be read.
    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    _check_digest(data, name)
    try:
        with bounded_memory(_GROWTH * len(data)):
            return _PlainUnpickler(io.BytesIO(data), name, encoding).load()
    except DataError:
        raise
    except MemoryError:
        raise DataError(
            f"{name}: refuses to load; a pickle of {len(data):,} bytes asks for far more memory"
        ) from None
    except Exception as error:
        raise DataError(
            f"{name}: not a readable pickle ({type(error).__name__}: {error})"
        ) from error


def dump_pickle(value) -> bytes:
    """A pickle that everybody reads; :func:`load_pickle` checks the digest behind its end."""
    data = pickle.dumps(value, protocol=4)
    return data + _MARK + hashlib.sha256(data).hexdigest().encode()


def _check_digest(data, name):
    tail = data[-_TAIL:]
    if tail.startswith(_MARK):
        expected = hashlib.sha256(data[:-_TAIL]).hexdigest().encode()
        if tail != _MARK + expected:
            raise DamagedFile(f"{name}: is damaged: its content is not what was written")
