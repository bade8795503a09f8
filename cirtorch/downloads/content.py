"""Whether bytes that came from the net are what the name of their file promises.

Servers answer with a page or a message of an error where a file is gone, and call that a success.
"""

import json
import re
from pathlib import Path

_HEAD = 4096
_ZIP, _GZIP, _BZIP2, _XZ = b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"
_PICKLE = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_ARCHIVES = (_ZIP, _GZIP, _BZIP2, _XZ)
_IMAGES = {
    (".jpg", ".jpeg"): (b"\xff\xd8\xff",),
    (".png",): (b"\x89PNG\r\n\x1a\n",),
    (".webp",): (b"RIFF",),
    (".bmp",): (b"BM",),
    (".tif", ".tiff"): (b"II", b"MM"),
    (".gif",): (b"GIF8",),
}
_STARTS = {suffix: starts for suffixes, starts in _IMAGES.items() for suffix in suffixes} | {
    ".zip": _ARCHIVES,
    ".tar": _ARCHIVES,
    ".tgz": _ARCHIVES,
    ".gz": (_GZIP,),
    ".xz": (_XZ,),
    ".bz2": (_BZIP2,),
    ".pth": (_ZIP, *_PICKLE),
    ".pt": (_ZIP, *_PICKLE),
    ".pkl": (_ZIP, *_PICKLE),
    ".pickle": (_ZIP, *_PICKLE),
    ".npy": (b"\x93NUMPY",),
    ".npz": (_ZIP,),
    ".h5": (b"\x89HDF",),
}
_TAR_MARK = slice(257, 262)
_TEXT_PICKLES = b"(}])cl"  # protocol 0, which Python 2 wrote
_PAGES = (".html", ".htm", ".xml", ".svg")


def content_fault(path: Path, name: str) -> str | None:
    """Why a file cannot be what ``name`` says (``'is a web page'``, ...); None if it may be."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    suffix = Path(name).suffix.lower()
    if suffix in _PAGES:
        return None
    if _is_markup(head):
        return "is a web page"
    if suffix == ".safetensors":
        length = int.from_bytes(head[:8], "little")
        good = head[8:9] == b"{" and length <= path.stat().st_size - 8
    elif suffix in _STARTS:
        good = head.startswith(_STARTS[suffix]) or _is_further(suffix, head, path)
    else:
        return None if suffix == ".json" or not _is_message(path, head) else "is a message in JSON"
    return None if good else f"has not the content of a {suffix} file but {_shown(head)}"


def _is_markup(head) -> bool:
    """HTML and XML, which may begin with a byte order mark, white space or a comment."""
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    return (
        re.match(r"[\s\ufeff]*<(\?xml|!--|!doctype|[a-z][a-z0-9]*[\s>/])", text, re.I) is not None
    )


def _is_further(suffix, head, path) -> bool:
    """Forms without a mark at their beginning."""
    if suffix in (".tar", ".pth", ".pt") and head[_TAR_MARK] == b"ustar":
        return True
    if suffix not in (".pkl", ".pickle") or head[0] not in _TEXT_PICKLES:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() == b"."


def _is_message(path, head) -> bool:
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or path.stat().st_size > 1 << 20:
        return False
    try:
        return isinstance(json.loads(path.read_text("utf-8-sig")), dict)
    except ValueError:
        return False


def _shown(head) -> str:
    return repr(head[:40])[1:]
