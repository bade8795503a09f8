"""Decoded images kept on disk between epochs and runs.

Below ``<root>/cache/decoded``, a file an image: what was decoded, cut, shrunk and went through the
first transforms of a pipeline, 8 bits a value. A batch has the same bits with it and without.
"""

import fcntl
import hashlib
import math
import mmap
import os
import struct
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, features

import mdir
from cirtorch.datasets import cut_short
from cirtorch.datasets.told import Told
from cirtorch.utils.files import atomic_write, files_below
from cirtorch.utils.fingerprints import GONE, stamp_of
from mdir.data.transforms.parse import Compose
from mdir.paths import resolve_path

FOLDER = "cache/decoded"
_GIB = 2**30
_MODES = ("L", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")  # of PIL, bytes as they are
_DIGITS = 20  # of the number in the file of the total
_ARRAY, _TENSOR = "array", "tensor"  # float32, k / 255
_CHECKSUM = struct.Struct("<I")  # of all that follows it
_HEADER = struct.Struct("<8s8s4I")  # magic, kind, pitch, shape
_MAGIC = b"decoded1"
# Bits of a decoded image are those of one version of all that makes them.
_MAKERS = (mdir.__version__, PIL.__version__, features.version("jpg"), np.__version__)
_counted: set[str] = set()  # folders, by this process
_closed: dict[tuple, mmap.mmap] = {}  # by folder and limit; shared with workers forked later


def pack(image) -> bytes | None:
    """The content of a file; None for an image of which 8 bits a value give back other bits.

    Args:
        image: of PIL, or float32: an array ``[H, W, C]`` or a tensor ``[C, H, W]``.
    """
    if isinstance(image, Image.Image):
        if image.mode not in _MODES:
            return None
        kind, shape = image.mode, (image.height, image.width, len(image.getbands()))
        levels, pitch = image.tobytes(), image.width
    else:
        kind = _TENSOR if isinstance(image, torch.Tensor) else _ARRAY
        values, shape = np.asarray(image), tuple(image.shape)
        if values.dtype != np.float32 or values.ndim != 3:
            return None
        pitch = _pitch(values)
        if pitch is None:
            return None
        values = np.ascontiguousarray(values)
        with np.errstate(invalid="ignore"):
            levels = np.rint(values * 255).astype(np.uint8)
        if not np.array_equal(_values(levels, shape[1]).view(np.uint32), values.view(np.uint32)):
            return None
        levels = levels.tobytes()
    content = _HEADER.pack(_MAGIC, kind.encode(), pitch, *shape) + levels
    return _CHECKSUM.pack(zlib.crc32(content)) + content


def unpack(held_bytes):
    """The image in the content of a file; ValueError where that is not as it was written."""
    start = _CHECKSUM.size + _HEADER.size
    if len(held_bytes) < start:
        raise ValueError("too short")
    content = np.frombuffer(held_bytes, np.uint8, offset=_CHECKSUM.size)
    magic, kind, pitch, *shape = _HEADER.unpack_from(held_bytes, _CHECKSUM.size)
    levels = content[_HEADER.size :]
    whole = magic == _MAGIC and levels.size == math.prod(shape)
    if not whole or _CHECKSUM.unpack_from(held_bytes)[0] != zlib.crc32(content):
        raise ValueError("damaged")
    kind = kind.rstrip(b"\0").decode()
    if kind in _MODES:
        return Image.frombytes(kind, (shape[1], shape[0]), levels.data)
    values = _values(levels.reshape(shape), pitch)
    return torch.from_numpy(values) if kind == _TENSOR else values


def _pitch(values):
    """Pixels from one row to the next: a crop is a view, and sums of views may round otherwise."""
    rows, width, channels = values.shape
    pixels, rest = divmod(values.strides[0], channels * values.itemsize)
    if rows == 1:
        pixels, rest = width, 0
    return pixels if not rest and pixels >= width and values[0].flags.c_contiguous else None


def _values(levels, pitch):
    rows, width, channels = levels.shape
    values = np.empty((rows, pitch, channels), np.float32)[:, :width]
    return np.divide(levels, np.float32(255), out=values, dtype=np.float32)


class DecodedCache:
    """The folder of decoded images, which several processes and runs may read and fill at once.

    Nothing is ever removed. Once it is full, or cannot be written, it says so and stores no more.

    Args:
        gib: that the folder may hold, all of it.
    """

    def __init__(self, gib: float):
        self.folder, self.limit = Path(resolve_path(FOLDER)), gib * _GIB
        key = str(self.folder), self.limit
        self._is_closed = _closed.setdefault(key, mmap.mmap(-1, 1))
        if self.folder.is_dir() and key[0] not in _counted:
            self._hold(lambda total: total.set(self._count()))
        _counted.add(key[0])

    def read(self, name: str):
        """The image of that name as it was stored; None where there is none, or a damaged one."""
        with suppress(OSError, ValueError), open(self._place(name), "rb") as file:
            return unpack(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return None

    def store(self, name: str, image) -> None:
        """Keep an image, unless 8 bits a value are too few for it or there is no more room."""
        if not self._is_closed[0] and (content := pack(image)) is not None:
            self._hold(lambda total: self._write(self._place(name), content, total))

    def _write(self, path, content, total):
        old = path.read_bytes() if path.exists() else b""
        if old == content:  # another process was first
            return
        held, more = total.get(self._count), len(content) - len(old)
        if held + more > self.limit:
            self._close(
                f"holds {held / _GIB:.2f} GiB of decoded images, and decoded_cache admits "
                f"{self.limit / _GIB:g} GiB: no more are kept, others are decoded every time. "
                "Raise decoded_cache, or remove the folder: it will be filled anew"
            )
            return
        total.set(held + more)
        with atomic_write(path, durable=False) as file:
            file.write(content)

    def _place(self, name):
        return self.folder / name[:2] / name[2:]

    def _count(self):
        total = 0
        for entry in files_below(self.folder, hidden=True):
            with suppress(OSError):  # it may just have been removed
                total += entry.stat().st_size
        return total

    def _hold(self, function):
        """Call a function with the total, held by one process; what goes wrong is told."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(os.open(self.folder / "total", os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                function(_Total(file.fileno()))
        except OSError as error:
            self._close(f"cannot be written ({error.strerror}): no decoded images are kept there")

    def _close(self, why):
        if not self._is_closed[0]:
            self._is_closed[0] = 1
            print(f"Warning: {self.folder} {why}", file=sys.stderr, flush=True)


class _Total:
    """The bytes of a folder as a number in a file.

    It is written in place: a file that is made shorter first is brought to the disk at once.
    """

    def __init__(self, descriptor):
        self.descriptor = descriptor

    def get(self, count):
        try:
            return int(os.pread(self.descriptor, _DIGITS, 0))
        except ValueError:
            return count()

    def set(self, total):
        os.pwrite(self.descriptor, b"%0*d" % (_DIGITS, total), 0)


class Opened:
    """An image on its way into the pipeline that opened it, which alone knows how far it is.

    Attributes:
        image: as it was decoded, or, ``is_kept``, as the leading transforms left it.
        name: under which it is to be stored then; None: it is not.
    """

    def __init__(self, image, name: str | None, is_kept: bool):
        self.image, self.name, self.is_kept = image, name, is_kept

    def copy(self) -> "Opened":
        """The same with pixels of its own."""
        image = self.image.clone() if isinstance(self.image, torch.Tensor) else self.image.copy()
        return Opened(image, self.name, self.is_kept)


class CachedCompose(Compose):
    """A pipeline that opens images itself and keeps what its leading transforms made of them.

    Images that it did not open go through all of its transforms.
    """

    def __init__(self, transforms, cache: DecodedCache):
        super().__init__(transforms)
        self.cache = cache
        self._leading = _leading(self.transforms)
        self._rest = Compose(self.transforms[len(self._leading) :])
        self._made_by = (_MAKERS, repr([(type(t).__module__, t) for t in self._leading]))

    def __call__(self, *images):
        return self._rest(*map(self._begin, images))

    def open_image(self, function, path: str, *arguments, beside: str | None = None) -> Opened:
        """See :func:`mdir.data.image_files.open_through`."""
        files = [path] if beside is None else [path, beside]
        stamps = [stamp_of(file) for file in files]
        name = self._name(stamps, function, os.path.abspath(path), path, *arguments)
        if GONE not in stamps and (kept := self.cache.read(name)) is not None:
            return Opened(kept, None, True)
        before = _warnings()
        image = function(path, *arguments)
        # What is told of a file has to be told whenever it is read.
        is_plain = isinstance(image, Image.Image) and _warnings() == before
        is_plain = is_plain and stamps == [stamp_of(file) for file in files]
        return Opened(image, name if is_plain else None, False)

    def _name(self, stamps, function, *about):
        text = repr((stamps, function.__module__, function.__qualname__, about, self._made_by))
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()

    def _begin(self, image):
        name = None
        if isinstance(image, Opened):
            if image.is_kept:
                return image.image
            image, name = image.image, image.name
        for transform in self._leading:
            (image,) = transform(image)
        if name is not None:
            self.cache.store(name, image)
        return image


def _leading(transforms):
    """The first transforms that say themselves, not by a base class, that they can be kept."""
    count = 0
    while count < len(transforms) and vars(type(transforms[count])).get("can_be_kept", False):
        count += 1
    return transforms[:count]


def _warnings():
    return Told.calls, len(cut_short.found)
