"""Unpacking untrusted archives: nothing outside the folder, and all of it or nothing."""

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

DAMAGED = (EOFError, OSError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


def unpack(archives: list[str | os.PathLike], folder: str | os.PathLike, flat: bool = False):
    """Unpack tar and zip archives, together, into ``folder``.

    The files appear in a folder beside and move only when all archives were read to their end;
    files that are in ``folder`` already stay, except for those of the same name.

    Args:
        flat: leave out the folders of the archives, and files whose names begin with a dot.

    Raises:
        DataError: an archive is damaged, or holds a link, a device, an absolute name, one that
            leads out of the folder, or (flat) two different files of one name.
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
        for name, file in _members(archive):
            place = folder / _checked(name, archive)
            if flat:
                if place.name.startswith("."):
                    continue
                place = folder / place.name
            place.parent.mkdir(parents=True, exist_ok=True)
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
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as whole:
            for info in whole.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refusal(archive, info.filename, "is a link or a device")
                if not info.is_dir():
                    with whole.open(info) as file:
                        yield info.filename, file
        return
    with tarfile.open(archive, "r|*") as whole:
        for info in whole:
            if info.isfile():
                yield info.name, whole.extractfile(info)
            elif not info.isdir():
                raise _refusal(archive, info.name, "is a link or a device")


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
    if place.exists():
        known, new = place.read_bytes(), file.read()
        if known != new:
            raise _refusal(archive, place.name, "stands for two different files")
        return
    with place.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


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
