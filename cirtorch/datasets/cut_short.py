"""Pictures whose file ends early: shown as far as they go, as published, and told."""

import mmap
import os
import sys
import zlib

from PIL import Image

_TAIL = 64
_NAMED = 20
# Format -> what the image's data begins with and what a whole file ends with. Neither can occur
# within the data, and a thumbnail's end comes before the data of the image itself.
_JPEG, _PNG = (b"\xff\xda", b"\xff\xd9"), (b"IDAT", b"IEND\xaeB`\x82")
MARKS = {"JPEG": _JPEG, "MPO": _JPEG, "PNG": _PNG}

# Shared with processes that are forked later, so that workers of loaders tell each file once.
_told = mmap.mmap(-1, 1 << 16)
found: list[str] = []
"""Files that this process met; who looks for them empties the list before."""


def ends_early(file, marks: tuple[bytes, bytes]) -> bool:
    """Whether an image file lacks the mark of its end; the place in the file stays.

    Args:
        file: open, binary. marks: of its format, from :data:`MARKS`.
    """
    begin, end = marks
    size = os.fstat(file.fileno()).st_size
    tail = os.pread(file.fileno(), _TAIL, max(0, size - _TAIL))
    if tail.rstrip(b"\0").endswith(end):
        return False
    content = os.pread(file.fileno(), size, 0)  # some cameras write more behind the image
    return content.rfind(end) <= content.rfind(begin)


def tell_if_cut_short(image: Image.Image, path) -> None:
    """Warn of an image, opened but not yet read, whose file ends early; each file once."""
    if image.format not in MARKS or not isinstance(path, (str, os.PathLike)):
        return
    if not ends_early(image.fp, MARKS[image.format]):
        return
    path = os.fspath(path)
    found.append(path)
    place = 4 + zlib.crc32(os.fsencode(path)) % (len(_told) - 4)
    if _told[place]:
        return
    _told[place] = 1
    count = int.from_bytes(_told[:4], "little") + 1
    _told[:4] = count.to_bytes(4, "little")
    if count <= _NAMED or count & (count - 1) == 0:
        print(
            f"Warning: {path} is cut short and read as far as it goes ({count} so far)",
            file=sys.stderr,
            flush=True,
        )
