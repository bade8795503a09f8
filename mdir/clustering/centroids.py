"""One row for each label: what memories of clusters and classes start from."""

import numpy as np
from scipy import sparse


def class_means(features, labels):
    """Mean row of each label that occurs, ascending; negative labels are left out.

    Args:
        features: ``[N, D]`` float32 array. labels: ``[N]`` whole numbers.

    Returns:
        float32 ``[C, D]``, not normalized.
    """
    members = np.flatnonzero(labels >= 0)
    _, classes, sizes = np.unique(labels[members], return_inverse=True, return_counts=True)
    weights = (1 / sizes).astype(np.float32)[classes]
    shares = sparse.csr_array((weights, (classes, members)), (len(sizes), len(features)))
    return shares @ features
