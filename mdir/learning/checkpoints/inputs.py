"""What a training read, kept beside its checkpoints: whoever goes on with them sees what changed.

The file holds some 200 bytes for each file that was read. Folders of others have none.
"""

import os
from pathlib import Path

from cirtorch.utils.fingerprints import differences, is_fingerprint, refresh
from cirtorch.utils.general import get_root
from mdir.artifacts import inputs_so_far
from mdir.records import read_record, write_record


class StoredInputs:
    """``inputs.json`` in a folder of checkpoints: fingerprints by path, relative to the root.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path):
        self.path = folder / "inputs.json"

    def change(self, networks=()) -> str | None:
        """The first input that is another one now (``"input changed: PATH"``); None: none known.

        Args:
            networks: stored ones that the run begins with now.

        Raises:
            DamagedFile: the file is not what was written.
        """
        known = self._load()
        for path in networks:
            if known and _short(path) not in known:
                return f"network {path} in place of another"
        for path, recorded in known.items():
            for change in differences(_long(path), recorded)[:1]:
                return f"input {change}"
        return None

    def begin(self) -> None:
        """Keep what was told so far, and nothing of an earlier run."""
        self.path.unlink(missing_ok=True)
        self._keep({})

    def update(self) -> None:
        """Keep what was told since, too; nothing where nobody knows what the run began with."""
        if self.path.exists():
            known = self._load()
            for path, recorded in known.items():
                refresh(_long(path), recorded)
            self._keep(known)

    def _keep(self, known):
        told = inputs_so_far()
        if told is not None:
            found = {_short(path): recorded for path, recorded in told.items()}
            found |= {path: _merged(found.get(path), each) for path, each in known.items()}
            write_record(self.path, found)

    def _load(self):
        remedy = "remove it to go on with the inputs that are there now"
        return read_record(self.path, is_fingerprint, remedy)


def _merged(found, known):
    """What was known first counts; a list may have named more files since."""
    if found is None or not found["kind"] == known["kind"] == "files":
        return known
    return {**known, **{key: found[key] | known[key] for key in ("files", "sha256")}}


def _short(path):
    inside = os.path.relpath(path, get_root())
    return path if inside.startswith(os.pardir) else inside


def _long(path):
    return os.path.join(get_root(), path)
