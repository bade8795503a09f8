"""The checkpoint before the newest one, from which a run goes on where that is damaged."""

import os
import shutil
from pathlib import Path


class PreviousCheckpoint:
    """The folder ``previous`` among the checkpoints; its files are hard links where there are any.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path):
        self.beside, self.folder = folder, folder / "previous"

    def keep(self, epoch: int, names: list[str]) -> None:
        """Keep the files of an epoch in place of an earlier one's.

        Args:
            names: of the files, without epoch; the last one makes it complete.
        """
        self.folder.mkdir(exist_ok=True)
        suffix = f"_epoch_{epoch:02d}.pth"
        for file in (self.beside / f"{name}{suffix}" for name in names):
            if file.exists():
                _link(file.resolve(), self.folder / file.name)
        for other in self.folder.iterdir():
            if not other.name.endswith(suffix):
                other.unlink()


def _link(file, place):
    temporary = place.with_name(f".{place.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, temporary)
    os.replace(temporary, place)
