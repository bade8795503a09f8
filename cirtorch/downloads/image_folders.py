"""Whether a folder holds the images that it should."""

from itertools import islice
from pathlib import Path

from cirtorch.utils.errors import DataError
from cirtorch.utils.files import files_below
from cirtorch.utils.safe_pickle import load_pickle

SAMPLE = 2000  # images looked at; all of them where a full check is asked for


def folder_fault(known, data_dir: Path, full: bool = False) -> str | None:
    """What is wrong with an image folder of the registry; None when it is complete.

    Args:
        known: a :class:`~cirtorch.downloads.known_files.KnownFolder`.
        full: look at every image instead of evenly spread ones.
    """
    folder = data_dir / known.to
    if not folder.is_dir():
        return "is absent"
    listed = (name for path in known.named_in for name in _names(data_dir / path, known.flat))
    names = list(dict.fromkeys(listed))
    if not names:
        return None if count_images(folder, 1) else "is empty"
    if not full:
        names = names[:: max(1, len(names) // SAMPLE)]
    missing = [name for name in names if not _has_bytes(folder / name)]
    if not missing:
        return None
    if any(child.is_dir() for child in folder.iterdir()) and known.flat:
        hint = "; it holds sub-folders, move the pictures out of them"
    else:
        hint = ""
    return f"lacks {len(missing):,} of {len(names):,} pictures, such as {missing[0]}{hint}"


def _names(path: Path, flat: bool) -> list[str]:
    """File names that a ground truth or training database speaks of; none if it cannot be read."""
    try:
        data = load_pickle(path)
    except (OSError, DataError):
        return []
    if not isinstance(data, dict):
        return []
    if flat:
        return [f"{name}.jpg" for key in ("imlist", "qimlist") for name in data.get(key, [])]
    from cirtorch.datasets.datahelpers import cid2filename  # loads NumPy, as databases do

    databases = [db for db in data.values() if isinstance(db, dict)]
    return [cid2filename(cid, "") for db in databases for cid in db.get("cids", [])]


def count_images(folder: Path, enough: int | None = None) -> int:
    """Files in a folder and below; counting ends where there are ``enough``.

    Hidden files do not count. All others do: published training images have names without suffix.
    """
    return sum(1 for _ in islice(files_below(folder, hidden=False), enough))


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
