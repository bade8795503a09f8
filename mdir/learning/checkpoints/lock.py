"""One run at a time in a folder of checkpoints."""

import os
from contextlib import contextmanager, suppress

from cirtorch.utils.locks import held
from mdir.errors import UserError

NAME = ".lock"


@contextmanager
def claimed(folder: str | os.PathLike):
    """Hold a folder against other runs for the time of the block, by its file ``.lock``.

    Raises:
        UserError: another run holds it.
    """

    def refuse(holder):
        raise UserError(
            f"{folder}: another run {f'({holder}) ' if holder else ''}trains here; "
            "wait for its end or choose another directory"
        )

    try:
        with held(os.path.join(folder, NAME), refuse):
            yield
    finally:
        with suppress(OSError):
            os.rmdir(folder)  # stays where a run left anything
