"""Writing that never leaves half a file under a final name."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb", **open_args):
    """Open a file beside ``path`` and rename it onto ``path`` when the block ends well.

    Folders are made. When the block raises, ``path`` stays as it was and the file beside it is
    removed. The rename happens after an fsync, so a power cut leaves the old or the new file.

    Raises:
        OSError: with the final path as ``filename``, whatever the cause (full disk, no permission).
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".tmp", dir=path.parent
        )
        with os.fdopen(descriptor, mode, **open_args) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        if temporary is not None and os.path.lexists(temporary):
            os.unlink(temporary)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def replace_link(target: str, link: str | os.PathLike) -> None:
    """Make ``link`` a symbolic link to ``target`` (text as given), replacing what is there."""
    link = Path(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.parent / f".{link.name}.{os.getpid()}.link"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)
