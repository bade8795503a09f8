"""Unpacking untrusted archives: nothing outside the folder, and all of it or nothing."""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from cirtorch.utils.errors import DataError

DAMAGED = (
    EOFError,
    OSError,
    RuntimeError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
MAX_UNPACKED = "CIRTORCH_MAX_UNPACKED"
_RATIO, _ALLOWANCE = 20, 64 << 20  # pictures hardly shrink in an archive
_FILES, _BYTES_A_FILE = 10_000, 2560
_BLOCK = 1 << 20
_LARGEST_HEADER = 16 * _BLOCK
_COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


def unpack(archives: list[str | os.PathLike], folder: str | os.PathLike, flat: bool = False):
    """Unpack tar and zip archives, together, into ``folder``.

    The files appear in a folder beside and move only when all archives were read to their end and
    checksums are right; files that are in ``folder`` already stay, except for those of the same
    name. An archive may grow to 20 times its size and 64 MiB more (the environment variable
    ``CIRTORCH_MAX_UNPACKED`` sets a number of bytes instead), and hold 10,000 files and one more
    for each 2,560 bytes of that limit.

    Args:
        flat: leave out the folders of the archives, and files whose names begin with a dot.

    Raises:
        DataError: an archive is damaged, cut short or grows too large, or holds a link, a device,
            a file with holes, an absolute name, one that leads out of the folder, or (flat) two
            different files of one name.
        OSError: the disk does not take the files.
    """
    folder = Path(folder)
    beside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        for archive in map(Path, archives):
            _unpack_one(archive, beside, flat)
        _move(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unpack_one(archive, folder, flat):
    try:
        most = _FILES + _most_bytes(archive) // _BYTES_A_FILE
        for count, (name, file) in enumerate(_members(archive)):
            if count >= most:
                raise _excess(archive, f"more than {most:,} files")
            place = folder / _checked(name, archive)
            if flat:
                if place.name.startswith("."):
                    continue
                place = folder / place.name
            _write(file, place, archive)
    except DataError:
        raise
    except DAMAGED as error:
        if getattr(error, "errno", None):
            raise  # the disk, not the archive
        raise DataError(
            f"{archive}: cannot be unpacked ({type(error).__name__}: {error}); "
            "remove the archive and get it again"
        ) from error


def _members(archive) -> Iterator[tuple[str, IO]]:
    """Names and open contents of the regular files; anything but files and folders is refused."""
    with archive.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start.startswith((b"PK\3\4", b"PK\5\6")):
            yield from _zip_members(file, archive)
            return
        opened = next((f for magic, f in _COMPRESSIONS.items() if start.startswith(magic)), None)
        with opened(file) if opened else file as plain:
            yield from _tar_members(_Forward(plain, archive), archive)


def _zip_members(file, archive):
    with zipfile.ZipFile(file) as whole:
        unpacked = sum(info.file_size for info in whole.infolist())
        if unpacked > _most_bytes(archive):
            raise _excess(archive, f"{unpacked:,} bytes")
        for info in whole.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(archive, info.filename, "is a link or a device")
            if not info.is_dir():
                with whole.open(info) as member:
                    yield info.filename, member


def _tar_members(stream, archive):
    with tarfile.TarFile(fileobj=stream, tarinfo=_Member) as whole:
        for info in whole:
            if info.issparse():
                raise _refusal(archive, info.name, "is a file with holes")
            if info.isfile():
                yield info.name, whole.extractfile(info)
            elif not info.isdir():
                raise _refusal(archive, info.name, "is a link or a device")
    while stream.read(_BLOCK):  # the checksum of a compressed archive is at its very end
        pass


class _Member(tarfile.TarInfo):
    """A header; tarfile takes a broken one, or none, for the end, which is a block of zeros."""

    @classmethod
    def fromtarfile(cls, whole):
        try:
            return super().fromtarfile(whole)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it ends early or is damaged, {error}") from error


class _Forward:
    """The bytes of a tar archive, which are read in their order and are not endless."""

    def __init__(self, file, archive):
        self.file, self.archive = file, archive
        self.position, self.most = 0, _most_bytes(archive)

    def read(self, size):
        if size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        data = self.file.read(size)
        self.position += len(data)
        if self.position > self.most:
            raise _excess(self.archive, f"more than {self.most:,} bytes")
        return data

    def tell(self):
        return self.position

    def seek(self, position):
        if position < self.position:
            raise tarfile.ReadError("a header leads backwards")
        while self.position < position and self.read(min(position - self.position, _BLOCK)):
            pass


def _most_bytes(archive):
    text = os.environ.get(MAX_UNPACKED, "")
    if not text:
        return _RATIO * archive.stat().st_size + _ALLOWANCE
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{MAX_UNPACKED}={text}: not a number of bytes") from None


def _excess(archive, what):
    return DataError(
        f"{archive}: refused, since it unpacks to {what}, which is far more than its size lets "
        f"expect; nothing was unpacked. {MAX_UNPACKED}=BYTES admits more"
    )


def _checked(name, archive) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise _refusal(archive, name, "leads out of the folder")
    if not path.name or "\0" in name:
        raise _refusal(archive, name, "is not a file name")
    return path


def _refusal(archive, name, why):
    return DataError(f"{archive}: refused, since its member {name!r} {why}; nothing was unpacked")


def _write(file, place, archive):
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            if not _is_same(file, place):
                raise _refusal(archive, place.name, "stands for two different files")
            return
        with place.open("wb") as copy:
            shutil.copyfileobj(file, copy, _BLOCK)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise _refusal(archive, place.name, "is a file and a folder") from None
    except OSError as error:
        if error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(place)) from error
        raise


def _is_same(file, place):
    with place.open("rb") as known:
        while block := file.read(_BLOCK):
            if known.read(len(block)) != block:
                return False
        return not known.read(1)


def _move(beside, folder):
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
    if not os.path.lexists(folder):
        os.rename(beside, folder)
        return
    for path in sorted(beside.rglob("*")):
        place = folder / path.relative_to(beside)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            os.replace(path, place)
