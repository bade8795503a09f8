"""Whether an image file is all there, as far as its format tells."""

import mmap
import os
import struct

from PIL import Image

_TAIL = 64
# Format -> what the image's data begins with and what a whole file ends with. Neither can occur
# within the data, and a thumbnail's end comes before the data of the image itself.
_JPEG = (b"\xff\xda", b"\xff\xd9")
_MARKS = {
    "JPEG": _JPEG,
    "MPO": _JPEG,
    "JPEG2000": (b"\xff\x93", b"\xff\xd9"),
    "PNG": (b"IDAT", b"IEND\xaeB`\x82"),
}
_OPENED_WHOLE = ("WEBP", "AVIF")  # Pillow opens no other
_BY_PIXELS = ("BMP", "DIB", "PPM")
_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNSIGNED = {3: "H", 4: "L", 16: "Q"}
_PLACES = {273: "strips", 279: "strips", 324: "tiles", 325: "tiles"}  # offsets, lengths of TIFF


def ends_early(image: Image.Image) -> bool | None:
    """Whether the file of an image, opened by its path but not yet read, is cut short.

    Formats whose files have no mark at their end are decoded.

    Returns:
        None where the format tells neither that it is nor that it is not.

    Raises:
        whatever Pillow meets in decoding.
    """
    if image.format in _OPENED_WHOLE:
        return False
    if image.format in _MARKS:
        return _lacks_mark(image.fp, *_MARKS[image.format])
    if image.format == "GIF":
        return not _gif_ends(_content(image.fp))
    if image.format == "TIFF":
        return not _tiff_ends(_content(image.fp))
    met = _decoder_met_end(image)
    return met if met or image.format in _BY_PIXELS else None


def _content(file):
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _lacks_mark(file, begin, end):
    size = os.fstat(file.fileno()).st_size
    tail = os.pread(file.fileno(), _TAIL, max(0, size - _TAIL))
    if tail.rstrip(b"\0").endswith(end):
        return False
    content = _content(file)  # some cameras write more behind the image
    return content.rfind(end) <= content.rfind(begin)


def _gif_ends(content):
    """Whether the blocks of a GIF lead to its trailer."""
    try:
        at = 13 + _gif_colours(content[10])
        while content[at] != 0x3B:
            image = content[at] == 0x2C
            at += 11 + _gif_colours(content[at + 9]) if image else 2
            while content[at]:
                at += 1 + content[at]
            at += 1
    except IndexError:
        return False
    return True


def _gif_colours(flags):
    """Bytes of the table of colours that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _tiff_ends(content):
    """Whether all directories of a TIFF file and all that they point at lie within it."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2 if order == "<" else 3] == 43
    number, entry, pointer = ("Q", "HHQ", "Q") if big else ("H", "HHL", "L")
    width, seen = 8 if big else 4, set()

    def read(code, at):
        return struct.unpack_from(order + code, content, at)

    try:
        (at,) = read(pointer, width)
        while at and at not in seen:
            seen.add(at)
            (count,) = read(number, at)
            at += struct.calcsize(number)
            places = {}
            for _ in range(count):
                tag, kind, values = read(entry, at)
                place, size = at + 4 + width, values * _VALUE_BYTES.get(kind, 1)
                if size > width:
                    (place,) = read(pointer, place)
                if place + size > len(content):
                    return False
                if tag in _PLACES:
                    found = read(f"{values}{_UNSIGNED[kind]}", place)
                    places.setdefault(_PLACES[tag], []).append(found)
                at += 4 + 2 * width
            for begin_and_length in places.values():
                if any(sum(ends) > len(content) for ends in zip(*begin_and_length, strict=False)):
                    return False
            (at,) = read(pointer, at)
    except (struct.error, LookupError):
        return False
    return True


def _decoder_met_end(image):
    """Read the pixels; whether the file ended before the last of them."""
    if image.tile and image.tile[0][0] == "ppm_plain":  # reads on, and raises where a number lacks
        image.load()
        return False
    missing = image.format in ("BMP", "DIB") and _row_padding_missing(image)
    file = image.fp = _WatchedFile(image.fp)
    image.load()
    return missing or file.met_end


def _row_padding_missing(image):
    codec, box, offset, details = image.tile[0]
    if codec != "raw":
        return False
    return offset + (box[3] - box[1]) * details[1] > os.fstat(image.fp.fileno()).st_size


class _WatchedFile:
    """A file that notes whether a decoder asks for more than there is.

    Pillow, told to make do with photographs cut short (``cirtorch.datasets.datahelpers``), would
    leave the rest of the image black.
    """

    def __init__(self, file):
        self.file, self.met_end = file, False

    def read(self, size=-1):
        content = self.file.read(size)
        self.met_end = self.met_end or (size != 0 and not content)
        return content

    def __getattr__(self, name):
        return getattr(self.file, name)
