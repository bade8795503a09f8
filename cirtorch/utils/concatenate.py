"""Joining the descriptors of several networks. Rows are vectors, ``[N, D]``."""

import numpy as np


def l2_normalize(vectors):
    """Every row divided by its L2 norm (no epsilon); rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)


def paste_pca_normalize(matrices, dimensions=None):
    """Concatenate matrices ``[N, D_i]`` along features and L2-normalize the rows.

    With ``dimensions``, the scalar mean of the whole matrix is subtracted and the rows are
    projected onto the span of the strongest so many directions first; the size of a row stays
    ``sum(D_i)`` (as published).
    """
    joined = np.concatenate(matrices, axis=1)
    if dimensions is not None:
        joined = joined - joined.mean()
        _, vectors = np.linalg.eigh(joined.T @ joined)
        span = vectors[:, ::-1][:, :dimensions]
        joined = joined @ span @ span.T
    return l2_normalize(joined)
