"""Nearest neighbours and k-reciprocal sets, as sparse matrices.

Zhong et al.: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
"""

import numpy as np
from scipy import sparse

from cirtorch.search.exact import Search


def nearest_neighbours(features, k, device="cpu"):
    """Each row's ``k`` nearest rows by Euclidean distance, itself included.

    Args:
        features: ``[N, D]`` float32 array.
        device: where the distances are computed.

    Returns:
        int32 ``[N, min(k, N)]``, nearest first; of equal distances the lower index first.

    Raises:
        DataError: NaN or infinity in a row.
    """
    # x.y - |y|^2 / 2 orders as the distance does. Of unit rows the norms differ by rounding alone,
    # which one float32 holds best as the deviation from a typical one.
    squares = np.einsum("nd,nd->n", features, features, dtype=np.float64)
    tail = ((np.nanmedian(squares) - squares) / 2).astype(np.float32)
    database = np.column_stack([features, tail])
    queries = np.column_stack([features, np.ones(len(features), np.float32)])
    return Search(database, device=device).search(queries, k)[1].astype(np.int32)


def expanded_sets(neighbours, k1):
    """k-reciprocal sets, grown by those of their members that lie mostly inside.

    A set holds the rows among the first ``k1 + 1`` of a row's neighbours that have it among theirs.
    With no more than ``k1`` columns, the row itself counts as one of the ``k1`` (as published by
    SpCL); with ``k1 + 1`` it does not (as published by Zhong et al.).

    Args:
        neighbours: ``[N, K]`` of :func:`nearest_neighbours`.

    Returns:
        Boolean CSR ``[N, N]``: row i marks the set of i.
    """
    whole = _reciprocal(neighbours[:, : k1 + 1])
    half = _reciprocal(neighbours[:, : int(np.around(k1 / 2)) + 1])
    shared = (whole @ half).multiply(whole).tocoo()  # half is symmetric
    inside = 3 * shared.data > 2 * half.sum(axis=1)[shared.col]
    grown = sparse.csr_array(
        (shared.data[inside], (shared.row[inside], shared.col[inside])), shared.shape
    )
    return ((grown @ half) + whole).astype(bool)


def _reciprocal(neighbours):
    """CSR ``[N, N]`` of ones (int32): the pairs that have each other among their neighbours."""
    count, width = neighbours.shape
    pointers = np.arange(count + 1, dtype=np.int32) * width
    ones = np.ones(neighbours.size, np.int32)
    near = sparse.csr_array((ones, neighbours.ravel(), pointers), (count, count))
    return near.multiply(near.T).tocsr()
