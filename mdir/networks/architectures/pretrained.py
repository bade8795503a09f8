"""Ready weights that an architecture's own parameters name: a path or a URL."""

from torch import nn

from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_state
from mdir.networks.files import read_weights


def load_pretrained(module: nn.Module, source: str, rename=lambda key: key) -> None:
    """Load a state_dict strictly, a plain one or the ``state_dict`` of a training's state.

    Args:
        module: receives the weights.
        source: path (relative ones under the root) or URL (kept under ``<root>/weights``).
        rename: published key -> our key; None: the weight is left out.

    Raises:
        DataError: where the file is absent, no state_dict, or of other keys or shapes.
    """
    state = read_weights(source)
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise DataError(f"pretrained weights {source}: not a state_dict")
    renamed = {rename(key): value for key, value in state.items()}
    renamed.pop(None, None)
    load_state(module, renamed, f"pretrained weights {source}")
