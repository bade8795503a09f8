"""Torch files that tell whether they are still what was written.

A file of ``torch.save`` is a ZIP archive, and the comment at an archive's end is free:
``sha256 HEX`` there is the digest of the file as it was without the comment. Everybody's
``torch.load`` reads such a file. Files of others have the CRC of each record, which torch itself
writes but does not check.
"""

import hashlib
import os
import zipfile
import zlib

from cirtorch.utils.errors import DamagedFile

_MARK = b"sha256 "
_LENGTH = len(_MARK) + 64
_STARTS = b"PK\3\4"
_BLOCK = 1 << 20
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Sealing:
    """An open file that is hashed while ``torch.save`` writes to it, from its beginning."""

    def __init__(self, file):
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data):
        self.digest.update(data)
        return self.file.write(data)

    def flush(self):
        self.file.flush()

    def seal(self) -> None:
        """Write the digest behind the archive, whose last two bytes are the comment's length."""
        self.file.seek(-2, os.SEEK_END)
        comment = _MARK + self.digest.hexdigest().encode()
        self.file.write(len(comment).to_bytes(2, "little") + comment)


def check_archive(path: str | os.PathLike) -> None:
    """Check the digest of a torch file or, where it has none, the CRCs of its records.

    Files of the form before ZIP archives hold neither, and pass.

    Raises:
        DamagedFile: it is not what was written, or its records unpack to more than the file holds.
    """
    with open(path, "rb") as file:
        if file.read(len(_STARTS)) != _STARTS:
            return
        try:
            with zipfile.ZipFile(file) as archive:
                _check_sizes(archive, path, os.fstat(file.fileno()).st_size)
                if not archive.comment and _tail(file, 2) == bytes(2):
                    _check_records(archive)
                    return
        except _UNREADABLE as error:
            raise DamagedFile(f"{path}: is damaged or cut short ({error})") from error
        _check_seal(file, path)


def _check_sizes(archive, path, size):
    """Torch does not compress: records that are larger than their file would fill the memory."""
    unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > size:
        raise DamagedFile(
            f"{path}: its records unpack to {unpacked:,} bytes, the file has {size:,}; torch "
            "writes no such file. Another tool may have compressed it: take a copy of the original"
        )


def _check_records(archive):
    for info in archive.infolist():
        if info.CRC == 0:  # written with torch.serialization.set_crc32_options(False)
            continue
        with archive.open(info) as record:
            while record.read(_BLOCK):
                pass


def _tail(file, count):
    file.seek(-count, os.SEEK_END)
    return file.read()


def _check_seal(file, path):
    file.seek(-_LENGTH - 2, os.SEEK_END)
    unread = file.tell()
    length, comment = file.read(2), file.read()
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(min(_BLOCK, unread)):
        digest.update(block)
        unread -= len(block)
    digest.update(bytes(2))
    expected = _LENGTH.to_bytes(2, "little"), _MARK + digest.hexdigest().encode()
    if (length, comment) != expected:
        raise DamagedFile(
            f"{path}: is damaged, or another tool has saved it again: its content is not what was "
            "written. Take a copy of the original; if you trust this one, write what torch.load "
            "gives of it with torch.save"
        )
