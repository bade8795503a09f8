"""Files from the net: resumed, retried, checked, and never half there under their final name."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlparse

from cirtorch.downloads.content import content_fault
from cirtorch.downloads.transfer import Broken, PartialFile, Refused, receive
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import lies_at
from cirtorch.utils.general import get_weights_root
from cirtorch.utils.progress import reported

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def fetch(
    url: str,
    destination: str | os.PathLike,
    sha256_prefix: str | None = None,
    size: int | None = None,
    *,
    attempts: int = 5,
    timeout: float = 30.0,
    wait: float = 1.0,
) -> Path:
    """Have the file of ``url`` at ``destination``; nothing is asked of the net if it is there.

    Bytes are gathered in ``destination.part``; a broken or killed download goes on where it
    stopped. The environment variable ``CIRTORCH_MIRROR`` (a URL or a folder, see
    :func:`sources`) is tried before the source itself.

    Args:
        sha256_prefix: first hexadecimal digits of the file's SHA-256 (any number of them).
        size: bytes.
        attempts: failures in a row, without any byte gained, before a source is given up.
        timeout: seconds of silence that make an attempt fail.
        wait: seconds before the second attempt; doubled for each further one.

    Returns:
        ``destination``.

    Raises:
        DataError: the file could not be had, or is not the one expected.
    """
    destination = Path(destination)
    if fault(destination, sha256_prefix, size) is None:
        return destination
    if destination.is_dir():
        raise DataError(f"{destination}: is a folder, where a file is expected")
    destination.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    with _claimed(PartialFile(destination)) as part:
        if fault(destination, sha256_prefix, size) is None:  # another process was faster
            part.remove()
            return destination
        silent = set()
        for source in sources(url):
            if _is_web(source) and urlparse(source).netloc in silent:
                continue
            try:
                with _progress(destination.name, source) as progress:
                    _obtain(source, part, (sha256_prefix, size), attempts, timeout, wait, progress)
                os.replace(part.path, destination)
                part.remove()
                return destination
            except Refused as error:
                failures.append(f"{source} {error}")
                if error.silent:
                    silent.add(urlparse(source).netloc)
        if part.length == 0:
            part.remove()
    raise DataError(
        f"cannot download {url} to {destination}: {'; '.join(failures)}. "
        "Try again later (what was received is kept), put the file there yourself, "
        "or name a copy (a URL or a folder) in CIRTORCH_MIRROR"
    )


def cached_weights(url: str) -> str:
    """The local path of published weights, fetched once into ``<root>/weights``.

    A name that ends in ``-HEX.ext`` carries the first digits of its SHA-256, which are checked.
    """
    name = unquote(urlparse(url).path.rsplit("/", 1)[-1])
    if not name:
        raise DataError(f"{url}: the address names no file")
    return str(fetch(url, os.path.join(get_weights_root(), name), hash_in_name(name)))


_NAMES_OF_MANY = ("model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


def hash_in_name(name: str) -> str | None:
    """``'vgg16-features-d369c8e.pth'`` -> ``'d369c8e'``; None for a name without a hash.

    Eight digits that are a date (``resnet50-20240115.pth``) are none.
    """
    match = re.search(r"-([0-9a-f]{7,64})\.[^./]+$", name)
    return match[1] if match and not _DATE.fullmatch(match[1]) else None


def fault(path: str | os.PathLike, sha256_prefix=None, size=None) -> str | None:
    """Why a file is not the one expected (``'is absent'``, ``'is empty'``, ...); None if it is."""
    path = Path(path)
    if not path.is_file():
        return "is absent"
    length = path.stat().st_size
    if length == 0:
        return "is empty"
    if size is not None and length != size:
        return f"has {length:,} bytes instead of {size:,}"
    if sha256_prefix:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        found = digest.hexdigest()[: len(sha256_prefix)]
        if found != sha256_prefix.lower():
            return f"has SHA-256 {found}... instead of {sha256_prefix.lower()}..."
    return None


def sources(url: str) -> list[str]:
    """Where a file is looked for, in order: in the mirror, then at its own address.

    A mirror may hold ``http://HOST/A/B.tgz`` at ``HOST/A/B.tgz``, ``A/B.tgz`` or ``B.tgz``; a name
    that every model has on Hugging Face does not tell whose it is, and is not looked for alone.
    """
    mirror = os.environ.get("CIRTORCH_MIRROR", "").rstrip("/")
    if not mirror:
        return [url]
    parts = urlparse(url)
    path = parts.path.lstrip("/")
    names = [f"{parts.netloc}/{path}", path, path.rsplit("/", 1)[-1]]
    names = [name for name in dict.fromkeys(names) if name not in _NAMES_OF_MANY]
    places = [f"{mirror}/{name}" for name in names]
    if not _is_web(mirror):
        places = [place for place in map(unquote, places) if os.path.isfile(place)]
    return [*places, url]


def _obtain(source, part, expected, attempts, timeout, wait, progress):
    """Fill ``part`` with the checked file of ``source``, or raise :class:`Refused`."""
    failures, best = 0, part.length
    while True:
        try:
            resumed = _receive(source, part, timeout, progress)
            found = fault(part.path, *expected)
            if found is None and not any(expected):
                found = content_fault(part.path, part.path.name.removesuffix(".part"))
            if found is None:
                return
            part.begin({})
            if not resumed:
                raise Refused(f"gave a file that {found}")
            message, pause = f"gave a file that {found}", 0.0
        except Broken as error:
            message, pause = str(error), error.pause
        if part.length > best:
            failures, best = 0, part.length
        failures += 1
        if failures >= attempts:
            raise Refused(f"{message} (given up after {failures} attempts)", silent=True)
        print(f"{source}: {message}; trying again", file=sys.stderr, flush=True)
        time.sleep(max(wait * 2 ** (failures - 1), pause))


def _receive(source, part, timeout, progress) -> bool:
    if _is_web(source):
        return receive(source, part, timeout, progress)
    part.begin({})
    try:
        shutil.copyfile(source.removeprefix("file://"), part.path)
    except OSError as error:
        if error.errno in _NO_ROOM:  # no other source helps
            raise DataError(f"{part.path}: cannot be written ({error.strerror})") from error
        raise Refused(f"cannot be copied ({error.strerror})") from error
    return False


def _is_web(place: str) -> bool:
    return place.startswith(("http://", "https://"))


@contextmanager
def _claimed(part):
    """Hold the part file against other processes that want the same file."""
    while True:
        with part.path.open("ab") as file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if lies_at(file, part.path):
                yield part
                return


def _progress(name, source):
    """A bar on a terminal, a line every half minute elsewhere; yields ``f(done, total)``."""

    def tell(done, total, rate):
        if rate is None:
            text = f"Fetching {name} from {source}"
        else:
            share = f" of {total / 1e6:.0f} MB ({done / total:.0%})" if total else " MB"
            text = f"{name}: {done / 1e6:.0f}{share}, {rate / 1e6:.1f} MB/s"
        print(text, file=sys.stderr, flush=True)

    return reported(tell, 30, desc=name, unit="B", unit_scale=True, unit_divisor=1024)
