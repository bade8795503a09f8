"""The program that decodes pictures, a process of its own, since those of others may be hostile.

A request is a line of JSON and ``bytes`` bytes behind it; so is an answer. It never runs anything
that it is sent, and ends with its input.
"""

import io
import json
import os
import sys

from PIL import Image, ImageFile

from cirtorch.datasets.datahelpers import pil_loader, shrink_part
from cirtorch.datasets.orientation import oriented
from cirtorch.utils.errors import DataError
from mdir.photos.payload import exif_payload

_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp"}
_QUALITY = 88


class Bad(Exception):
    """A picture that is not decoded, and why."""


def main(decode_bytes: int) -> None:
    """Answer requests until there are no more.

    Args:
        decode_bytes: of memory that this process may have.
    """
    _bound(decode_bytes)
    Image.MAX_IMAGE_PIXELS = None  # pixels are counted here, memory is bounded
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not speak in between
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request.pop("bytes"))
        try:
            told, content = _ANSWERS[request.pop("give")](data, **request)
        except (Bad, DataError) as error:
            told, content = {"error": str(error)}, b""
        except MemoryError:
            told, content = {"error": "the picture needs too much memory to be decoded"}, b""
        except Exception:  # damaged files make decoders stumble in many ways
            told, content = {"error": "the picture is damaged"}, b""
        answers.write(json.dumps({**told, "bytes": len(content)}).encode() + b"\n" + content)
        answers.flush()


def _bound(decode_bytes):
    try:
        import resource
    except ImportError:  # there is no such bound on this system
        return
    resource.setrlimit(resource.RLIMIT_AS, (decode_bytes, decode_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _pixels(data, *, path, pixels, side, box, upright):
    """RGB, cut out and shrunk as for a description; width and height are those before."""
    if path is None:
        told = _require_sound(data, pixels)
        image = _loaded(io.BytesIO(data), upright)
    else:
        told, image = {}, _loaded(path, upright)
    part = image if box is None else image.crop(_in_pixels(box, image.size))
    told |= {"width": image.width, "height": image.height}
    part = shrink_part(part, image, side)
    return {**told, "size": part.size}, part.tobytes()


def _loaded(source, upright):
    ImageFile.LOAD_TRUNCATED_IMAGES = not isinstance(source, io.BytesIO)
    try:
        return pil_loader(source, "RGB", upright)
    except DataError as error:
        if isinstance(source, io.BytesIO):
            raise Bad("the picture is damaged or cut short") from error
        words = "it cannot be read as a picture"
        if isinstance(error.__context__, FileNotFoundError):
            words = "it is no longer where it was"
        raise Bad(words) from error


def _require_sound(data, pixels):
    """Format of an upload that may be decoded; what its header tells is all that is read."""
    try:
        with Image.open(io.BytesIO(data), formats=[*_SUFFIXES]) as image:
            width, height = image.size
            if width * height > pixels:
                raise Bad(
                    f"the picture has {width} x {height} pixels; at most {pixels / 1e6:g} million "
                    "are taken"
                )
            return {"suffix": _SUFFIXES.get(image.format, "jpg")}  # MPO: JPEGs in one file
    except (OSError, SyntaxError, ValueError):
        known = ", ".join(sorted(_SUFFIXES))
        raise Bad(f"this is no picture, or of another kind than {known}") from None


def _in_pixels(box, size):
    """A box of fractions in whole pixels, one at least."""
    left, top, right, bottom = (
        round(value * length) for value, length in zip(box, (*size, *size), strict=True)
    )
    left, top = min(left, size[0] - 1), min(top, size[1] - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _jpeg(_data, *, path, side, upright):
    """A file as JPEG of ``side`` pixels at most, without what else it tells."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    image = _drafted(path, side, upright) or _loaded(path, upright)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    image.info.clear()  # a comment of the file would be written with it
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=_QUALITY)
    return {}, encoded.getvalue()


def _drafted(path, side, upright):
    """A JPEG file decoded at the nearest larger size, much faster; None of other formats."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            image.draft("RGB", (side, side))
            return oriented(image, upright).convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None


def _exif(_data, *, path):
    return {"payload": exif_payload(path)}, b""


_ANSWERS = {"pixels": _pixels, "jpeg": _jpeg, "exif": _exif}

if __name__ == "__main__":
    main(int(sys.argv[1]))
