"""Ready weights that an architecture's own parameters name: a path or a URL."""

import os
from urllib.parse import urlsplit

import torch
from torch import nn

from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_weights_root
from mdir.artifacts import used
from mdir.paths import resolve_path


def load_pretrained(module: nn.Module, source: str, rename=lambda key: key) -> None:
    """Load a plain state_dict strictly.

    Args:
        module: receives the weights.
        source: path (relative ones under the root) or URL (kept under ``<root>/weights``).
        rename: published key -> our key.

    Raises:
        DataError: where the file is absent, no state_dict, or of other keys or shapes.
    """
    path = _local(source)
    used(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = {rename(key): value for key, value in state.items()}
        module.load_state_dict(state)
    except FileNotFoundError:
        raise DataError(f"pretrained weights {source!r}: there is no file {path}") from None
    except Exception as error:
        name = type(module).__name__
        raise DataError(f"pretrained weights {path} do not fit {name}: {error}") from error


def _local(source):
    if not source.startswith(("http://", "https://")):
        return resolve_path(source)
    from cirtorch.utils.download import fetch

    path = os.path.join(get_weights_root(), os.path.basename(urlsplit(source).path))
    if not os.path.exists(path):
        fetch(source, path)
    return path
