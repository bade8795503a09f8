"""Folders of images: which files there are, whether they are whole, and lists of those at fault."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from cirtorch.utils.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg")
_SHOWN = 50
_THREADS = 8
_TAIL = 64
# Format -> what the picture's data begins with and what a whole file ends with. Neither can occur
# within the data, and a thumbnail's end comes before the data of the picture itself.
_JPEG, _PNG = (b"\xff\xda", b"\xff\xd9"), (b"IDAT", b"IEND\xaeB`\x82")
_MARKS = {"JPEG": _JPEG, "MPO": _JPEG, "PNG": _PNG}


def images_of(folder: Path) -> list[Path]:
    """Image files of a folder, sorted; hidden ones (``._1.png``) are none.

    Raises:
        DataError: no folder, no image in it, or two files of one stem.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    files = sorted(path for path in visible(folder) if path.suffix.lower() in EXTENSIONS)
    if not files:
        raise DataError(f"{folder}: no image in it ({', '.join(EXTENSIONS)})")
    twice = [stem for stem, count in Counter(path.stem for path in files).items() if count > 1]
    if twice:
        raise DataError(f"{folder}: several files of one name:{listed(twice)}")
    return files


def visible(folder: Path) -> list[Path]:
    """What lies in a folder besides what systems and editors hide there behind a dot."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def check_readable(files: Sequence[Path]) -> None:
    """Raise a :class:`DataError` that lists the files that are no images, or cut short.

    Nothing is decoded: the head of a file says what it is, and its end that it is all there.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        faults = list(pool.map(_fault, files))
    bad = [f"{path} ({fault})" for path, fault in zip(files, faults, strict=True) if fault]
    if bad:
        raise DataError(f"{len(bad)} unreadable images:{listed(bad)}")


def listed(names: Sequence) -> str:
    """Names one a line, and how many more there are than can be shown."""
    rest = len(names) - _SHOWN
    more = [f"and {rest} more"] if rest > 0 else []
    return "".join(f"\n  {name}" for name in [*names[:_SHOWN], *more])


def _fault(path):
    try:
        with Image.open(path) as image:
            if image.format not in _MARKS:
                image.verify()
                return None
            begin, end = _MARKS[image.format]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        if file.read().rstrip(b"\0").endswith(end):
            return None
        file.seek(0)
        content = file.read()  # some cameras write more behind the picture
    return None if content.rfind(end) > content.rfind(begin) else "is cut short"
