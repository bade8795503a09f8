"""Code that is named by an entry point, mostly of other packages."""

import traceback
from importlib.metadata import EntryPoint

from mdir.errors import UserError


class PluginError(UserError):
    """What an entry point names cannot be imported; the message is the reason alone."""


def load(point: EntryPoint):
    """Import what an entry point names.

    Raises:
        PluginError: whatever its module raised, with the line at fault.
    """
    try:
        return point.load()
    except Exception as error:
        kind = "" if isinstance(error, (ImportError, UserError)) else f"{type(error).__name__}: "
        raise PluginError(f"{kind}{error}{_place(error)}") from error


def _place(error):
    """Where in the plug-in it went wrong; nothing where the plug-in was not reached."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    outside = [
        f for f in frames if "importlib" not in f.filename and "/mdir/registry/" not in f.filename
    ]
    return f" ({outside[-1].filename}:{outside[-1].lineno})" if outside else ""
