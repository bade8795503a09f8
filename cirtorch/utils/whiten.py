"""Whitening of descriptors, learned from pairs or by PCA (published project: cnnimageretrieval).

Learned whitening: Mikolajczyk and Matas, "Improving descriptors for fast tree matching by optimal
linear projection" (ICCV 2007), as used in Radenović et al. (TPAMI 2019). Descriptors are columns,
``[D, N]``; everything is computed in float64, block by block, so that the largest intermediate is
``[D, block]``. Rows of a projection are defined up to their sign.
"""

import sys

import numpy as np

from cirtorch.utils.errors import DataError

_COLUMNS_AT_ONCE = 4096
_SMALLEST_JITTER, _LARGEST_JITTER = 1e-10, 1e6
_FLAT = 1e-12  # of the largest eigenvalue: below it is rounding of float32 descriptors


def whitenapply(X, m, P, dimensions=None):
    """Project descriptors and L2-normalize them.

    Args:
        X: ``[D, N]``. m: ``[D, 1]`` mean. P: ``[D', D]`` projection.
        dimensions: keep the first so many rows of ``P``; all when None or 0.

    Returns:
        ``[dimensions, N]``, every column divided by its norm + 1e-6.
    """
    P = P[: dimensions or P.shape[0]]
    projected = [_normalized(np.dot(P, block - m)) for block in _blocks(X)]
    return np.concatenate(projected, axis=1) if projected else np.zeros((P.shape[0], 0))


def _normalized(columns):
    return columns / (np.linalg.norm(columns, ord=2, axis=0, keepdims=True) + 1e-6)


def pcawhitenlearn(X, shrink=None):
    """PCA whitening of all columns of ``X``.

    Args:
        X: ``[D, N]``.
        shrink: mixes the eigenvalues with the ``shrink``-th largest (counted from 1),
            ``(1 - b) * values + b``; None leaves them.

    Returns:
        mean ``[D, 1]`` and projection ``[D, D]``, strongest direction first, float64.

    Raises:
        DataError: no columns, NaN or infinity among them, no more of them than dimensions, or
            directions without variance: below 1e-12 of the largest, or what the
            rounding of float32 makes of equal numbers, if ``X`` holds such.
    """
    _check(X)
    m = _mean(X)
    covariance = _scatter(X, m) / X.shape[1]
    values, vectors = _sorted_eigen(covariance)
    if shrink is not None:
        if not 1 <= shrink <= len(values):
            raise DataError(f"whitening: shrink {shrink} is outside 1..{len(values)}")
        b = values[shrink - 1]
        values = (1 - b) * values + b
    _check_rank(values, X.shape[1], _rounding(X))
    return m, np.dot(np.diag(values**-0.5), vectors.T)


def whitenlearn(X, qidxs, pidxs, shrink=0):
    """Whitening learned from matching pairs.

    Args:
        X: ``[D, N]``. qidxs, pidxs: equally long indices of columns; pairs that match.
        shrink: so many times the mean variance of the pairs' differences is added to their
            variance in every direction, so that directions in which few pairs happen to agree do
            not rule the result; 0 as published.

    Returns:
        mean of the query columns ``[D, 1]`` and projection ``[D, D]``, float64.

    Raises:
        DataError: no pairs, none whose descriptors differ, or NaN or infinity among them. Pairs
            that differ in fewer directions than there are dimensions are told on standard error.
    """
    _check(X)
    qidxs, pidxs = np.asarray(qidxs, dtype=np.int64), np.asarray(pidxs, dtype=np.int64)
    if len(qidxs) == 0 or len(qidxs) != len(pidxs):
        raise DataError(f"whitening: {len(qidxs)} queries and {len(pidxs)} positives make no pairs")
    m = _mean(X, qidxs)
    S = np.zeros((X.shape[0], X.shape[0]))
    for start in range(0, len(qidxs), _COLUMNS_AT_ONCE):
        part = slice(start, start + _COLUMNS_AT_ONCE)
        difference = _float64(X[:, qidxs[part]]) - X[:, pidxs[part]]
        S += np.dot(difference, difference.T)
    S /= len(qidxs)
    S += shrink * np.trace(S) / len(S) * np.eye(len(S))
    P = np.linalg.inv(cholesky(_full_rank(S, len(qidxs), _rounding(X))))
    _, vectors = _sorted_eigen(_scatter(X, m, P))
    return m, np.dot(vectors.T, P)


def _rounding(X):
    """The variance below which numbers of this size differ by rounding alone.

    Descriptors come from networks in float32, also where they are held in float64.
    """
    with np.errstate(over="ignore"):
        first = _float64(next(_blocks(X)))
        is_single = (first == first.astype(np.float32)).all()
    return (np.finfo(np.float32 if is_single else float).eps * max(X.max(), -X.min())) ** 2


def _check_rank(values, count, rounding):
    dimensions = len(values)
    flat = int((values <= max(_FLAT * values.max(), rounding)).sum())
    if not flat:
        return
    needed = f"PCA whitening of {dimensions} dimensions needs {dimensions + 1} descriptors or more"
    if count <= dimensions:
        raise DataError(f"whitening: {needed}, there are {count}")
    raise DataError(
        f"whitening: {flat} of {dimensions} directions have no variance in {count} descriptors; "
        f"{needed}, different ones, and no dimension that is always the same"
    )


def _full_rank(S, pairs, rounding):
    """``S``, or where rounding alone makes it invertible, ``S + 1e-10 I``; then it is told."""
    values = np.linalg.eigvalsh(S)
    smallest = len(S) * np.finfo(float).eps * values[-1]
    rank = int((values > max(smallest, rounding)).sum())
    if rank == len(S):
        return S
    if values[-1] <= 0:
        raise DataError(f"whitening: the descriptors of {pairs} matching pairs do not differ")
    print(
        f"Warning: whitening: {pairs} pairs differ in {rank} of {len(S)} directions only, and the "
        f"others rule the result; learning needs {len(S)} different pairs or more",
        file=sys.stderr,
    )
    return S + _SMALLEST_JITTER * np.eye(len(S)) if values[0] <= smallest else S


def cholesky(S):
    """Lower Cholesky factor of ``S``; where it is not positive definite, of ``S + a I``.

    ``a`` starts at 1e-10 and grows tenfold until the factorization succeeds.

    Raises:
        DataError: ``S`` holds NaN or infinity, or no diagonal of reasonable size helps.
    """
    _check(S)
    alpha = 0.0
    while alpha <= _LARGEST_JITTER:
        try:
            return np.linalg.cholesky(S + alpha * np.eye(*S.shape))
        except np.linalg.LinAlgError:
            alpha = alpha * 10 if alpha else _SMALLEST_JITTER
            print(f">>>> Matrix is not positive definite, adding {alpha:.0e} on the diagonal")
    raise DataError("whitening: the matrix is not positive definite, however large its diagonal")


def _float64(X):
    return np.asarray(X, dtype=np.float64)


def _blocks(X):
    for start in range(0, X.shape[1], _COLUMNS_AT_ONCE):
        yield X[:, start : start + _COLUMNS_AT_ONCE]


def _check(X):
    if X.shape[1] == 0:
        raise DataError("whitening: there are no descriptors")
    for start, block in enumerate(_blocks(X)):
        broken = ~np.isfinite(block).all(axis=0)
        if broken.any():
            first = start * _COLUMNS_AT_ONCE + int(broken.argmax())
            raise DataError(f"whitening: NaN or infinity in column {first}")


def _mean(X, columns=None):
    if columns is None:
        return sum(_float64(block).sum(axis=1, keepdims=True) for block in _blocks(X)) / X.shape[1]
    # Counting the repeats reads X in order, once, instead of copying all chosen columns.
    counts = np.bincount(columns, minlength=X.shape[1])
    total = np.zeros((X.shape[0], 1))
    for block, count in zip(_blocks(X), _blocks(counts[None]), strict=True):
        total += np.dot(_float64(block), count.T)
    return total / len(columns)


def _scatter(X, m, P=None):
    """``sum (P (x - m)) (P (x - m))^T`` over the columns."""
    total = np.zeros((X.shape[0], X.shape[0]))
    for block in _blocks(X):
        centered = _float64(block) - m
        if P is not None:
            centered = np.dot(P, centered)
        total += np.dot(centered, centered.T)
    return total


def _sorted_eigen(matrix):
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return values[::-1], vectors[:, ::-1]
