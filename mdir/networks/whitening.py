"""Files of whitenings, as scenarios name them."""

import numpy as np

from cirtorch.utils.weight_files import check_whitening, load_whitening
from mdir.artifacts import used
from mdir.networks import portable
from mdir.paths import local_file


def read_whitening(path: str, dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    """``m [D, 1]`` and ``P [D', D]`` of a whitening, a path or a URL.

    Args:
        path: a pickle, a file of ``torch.save``, or ``.safetensors`` as
            :mod:`mdir.networks.portable` writes it.
        dtype: None keeps that of the file.

    Raises:
        DataError: the file is absent, broken or holds something else.
    """
    place = local_file(path)
    if place.endswith(".safetensors"):
        return check_whitening(portable.read_whitening(place), place, dtype)
    used(place)
    return load_whitening(place, dtype)
