"""Names in scenarios -> paths on disk (published project: mdir)."""

import os
import re

from cirtorch.utils.general import get_root


def resolve_path(value):
    """Put relative paths under the root and expand shell variables, through lists and mappings.

    Empty strings, absolute paths, URLs and values that are not strings come back unchanged.
    """
    if isinstance(value, dict):
        return {key: resolve_path(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(resolve_path(item) for item in value)
    if not isinstance(value, str) or not value or re.match(r"/|https?://", value):
        return value
    return os.path.expandvars(os.path.join(get_root(), value))


def path_join(folder: str, name: str) -> str:
    """Place an image name in a folder pattern.

    ``folder`` may hold one ``*``; the text behind it is the extension for names without one, and a
    final ``!`` makes it replace the name's own. Without ``*`` the extension is ``.jpg``.
    """
    if name.startswith("/"):
        return name
    extension = ".jpg"
    if "*" in folder:
        folder, extension = folder.rsplit("*", 1)
    if "/" not in extension:
        _, dot, suffix = name.rpartition("/")[2].rpartition(".")
        if extension.endswith("!"):
            extension = extension[:-1]
            if extension and dot:
                name = name[: len(name) - len(suffix) - 1]
        elif dot and suffix:
            extension = ""
    return os.path.join(folder, name + extension)


def local_file(path: str | os.PathLike) -> str:
    """The place on disk of a scenario's path; a URL is fetched once into ``<root>/weights``.

    A name that ends in ``-HEX.ext`` is checked against the file's SHA-256.
    """
    path = os.fspath(path)
    if re.match(r"https?://", path):
        from cirtorch.downloads.fetch import cached_weights  # needed for the net alone

        return cached_weights(path)
    return resolve_path(path)
