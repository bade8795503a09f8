"""Which network and images the files of a folder were made from."""

import hashlib
import os
from pathlib import Path

from cirtorch.utils.fingerprints import contents
from mdir.artifacts import is_recorded
from mdir.records import read_record, write_record


class Origins:
    """``.made_from.json`` in a folder of outputs: a hash by name; files of others have none.

    Args:
        folder: above all outputs.
    """

    def __init__(self, folder: str):
        self.path = Path(folder) / ".made_from.json"

    def of(self, paths) -> dict[str, str]:
        """What is known of the files, by path.

        Raises:
            DamagedFile: the record is not what was written.
        """
        known = self._load()
        names = {path: os.path.relpath(path, self.path.parent) for path in paths}
        return {path: known[name] for path, name in names.items() if name in known}

    def keep(self, origins: dict[str, str | None]) -> None:
        """Keep hashes by path, before the files are made; None: nobody knows one.

        Outside a recorded run a folder without such a file gets none.
        """
        if not is_recorded() and not self.path.exists():
            return
        named = {os.path.relpath(path, self.path.parent): each for path, each in origins.items()}
        known = {name: each for name, each in (self._load() | named).items() if each is not None}
        write_record(self.path, known)

    def _load(self):
        remedy = "remove it to keep what is there"
        return read_record(self.path, lambda origin: isinstance(origin, str), remedy)


def origins_of(paths: list[str], sources: list[list[str]], made_by: str) -> dict[str, str]:
    """A hash for each path, of what its sources hold and of what makes it."""
    known = contents(source for each in sources for source in each)
    return {
        path: hashlib.sha256(" ".join([made_by, *map(known.get, each)]).encode()).hexdigest()[:32]
        for path, each in zip(paths, sources, strict=True)
    }
