"""Places and small helpers (published project: cnnimageretrieval-pytorch)."""

import hashlib
import os
from pathlib import Path


def checkout() -> Path | None:
    """The folder of the checkout that this code runs from; None where it is installed."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else None


def get_root() -> str:
    """The folder that holds ``data``, ``weights`` and ``experiments``.

    The environment variable ``CIRTORCH_ROOT``; where it is unset the folder of the checkout, or
    the current folder where the package is installed.
    """
    root = os.environ.get("CIRTORCH_ROOT")
    return os.path.abspath(root) if root else str(checkout() or Path.cwd())


def get_data_root() -> str:
    """``<root>/data``: datasets by the published layout."""
    return os.path.join(get_root(), "data")


def get_weights_root() -> str:
    """``<root>/weights``: downloaded model weights."""
    return os.path.join(get_root(), "weights")


def htime(seconds: float) -> str:
    """A duration in words: ``'1h 2m 3s'``, ``'2m 3s'`` or ``'3s'``, rounded to whole seconds."""
    seconds = round(seconds)
    days, seconds = divmod(seconds, 86400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    if days > 0:
        return f"{days}d {hours}h {minutes}m {seconds}s"
    if hours > 0:
        return f"{hours}h {minutes}m {seconds}s"
    if minutes > 0:
        return f"{minutes}m {seconds}s"
    return f"{seconds}s"


def sha256_hash(
    filename: str | os.PathLike, block_size: int = 65536, length: int | None = 8
) -> str:
    """First ``length`` hex digits (``None``: all 64) of a file's SHA-256, read block by block."""
    digest = hashlib.sha256()
    with open(filename, "rb") as file:
        while block := file.read(block_size):
            digest.update(block)
    return digest.hexdigest()[:length]
