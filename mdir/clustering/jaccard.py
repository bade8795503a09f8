"""Jaccard distances of k-reciprocal encodings, sparse and exact (Zhong et al., CVPR 2017)."""

import numpy as np
from scipy import sparse

from mdir.clustering.reciprocal import expanded_sets, nearest_neighbours

_PAIRS_AT_ONCE, _ROWS_AT_ONCE = 1 << 19, 128


def jaccard_distance(features, k1=30, k2=6, max_distance=1.0, half=False, device="cpu"):
    """Jaccard distances of the pairs of rows that are no farther apart than ``max_distance``.

    As published by SpCL, down to its narrower sets (see :func:`expanded_sets`). Memory grows with
    the stored distances, never with N x N.

    Args:
        features: ``[N, D]`` float32 array of unit rows.
        k1: neighbours searched for the set of a row. k2: rows whose encodings are averaged.
        half: round encodings and distances to half precision.
        device: where neighbours are searched.

    Returns:
        CSR ``[N, N]`` float32, symmetric, its diagonal of zeros stored. Pairs that are not stored
        are farther apart than ``max_distance``; by default they are at 1.

    Raises:
        DataError: NaN or infinity in a row.
    """
    neighbours = nearest_neighbours(features, k1, device)
    sets = expanded_sets(neighbours, k1)
    distances = 2 - 2 * pair_products(features, sets)
    precision = np.float16 if half else np.float32
    encodings = _rounded(encode(sets, distances), precision)
    encodings = _rounded(average_neighbours(encodings, neighbours, k2), precision)
    pairs = [
        _near_pairs(start, overlaps, max_distance, precision)
        for start, overlaps in upper_overlaps(encodings)
    ]
    return _symmetric(*(np.concatenate(parts) for parts in zip(*pairs, strict=True)), len(features))


def pair_products(features, sets):
    """Inner products of each row with the members of its set, in the order of ``sets``' entries."""
    rows = np.repeat(np.arange(len(features)), np.diff(sets.indptr))
    products = np.empty(sets.nnz, np.float32)
    step = max(1, (1 << 24) // features.shape[1])
    for start in range(0, sets.nnz, step):
        part = slice(start, start + step)
        products[part] = np.einsum("nd,nd->n", features[rows[part]], features[sets.indices[part]])
    return products


def encode(sets, distances):
    """Encodings V, CSR ``[N, N]`` float32: softmax over a row's set of its negative distances."""
    encodings = sparse.csr_array((np.exp(-distances), sets.indices, sets.indptr), sets.shape)
    encodings.data /= np.repeat(encodings.sum(axis=1), np.diff(sets.indptr))
    return encodings


def average_neighbours(encodings, neighbours, k2):
    """Query expansion: the mean encoding of each row's first ``k2`` neighbours."""
    near = neighbours[:, :k2]
    count, width = near.shape
    weights = np.full(near.size, 1 / width, np.float32)
    pointers = np.arange(count + 1, dtype=np.int32) * width
    return sparse.csr_array((weights, near.ravel(), pointers), (count, count)) @ encodings


def upper_overlaps(encodings, stop=None):
    """Overlaps ``A_ij = sum_g min(V_ig, V_jg)`` of each row i with all later rows j.

    Args:
        encodings: V, CSR ``[N, N]``.
        stop: only rows before this one; all by default.

    Yields:
        Number of a first row, and CSR ``[rows, N]`` float64 of it and those that follow.
    """
    encodings.sort_indices()
    indptr, columns, values = encodings.indptr, encodings.indices, encodings.data
    # The entries by columns, rows ascending: those after an entry are what it has to meet.
    numbers = np.arange(encodings.nnz)
    by_column = sparse.csr_array((numbers, columns, indptr), encodings.shape).tocsc()
    first = np.empty_like(numbers)
    first[by_column.data] = numbers + 1
    rows_by_column, values_by_column = by_column.indices, values[by_column.data]
    lengths = by_column.indptr[columns + 1] - first
    pairs = np.concatenate([[0], np.cumsum(lengths)])[indptr]  # before each row
    identity = sparse.eye_array(encodings.shape[1], format="csr")
    start, stop = 0, encodings.shape[0] if stop is None else stop
    while start < stop:
        end = np.searchsorted(pairs, pairs[start] + _PAIRS_AT_ONCE, side="right") - 1
        end = min(max(int(end), start + 1), start + _ROWS_AT_ONCE, stop)
        part = slice(indptr[start], indptr[end])
        met = _ranges(first[part], lengths[part])
        shared = np.minimum(values_by_column[met], np.repeat(values[part], lengths[part]))
        pointers = pairs[start : end + 1] - pairs[start]
        terms = (shared.astype(np.float64), rows_by_column[met], pointers)
        # The product adds up what stands at the same place, without sorting.
        yield start, sparse.csr_array(terms, (end - start, encodings.shape[1])) @ identity
        start = end


def _ranges(starts, lengths):
    """``[starts[0], starts[0] + 1, ...]`` of each length, one after the other."""
    offsets = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - offsets, lengths)


def _rounded(encodings, precision):
    """SciPy multiplies no matrices of half precision: rounded to it, held in float32."""
    encodings.data = encodings.data.astype(precision).astype(np.float32)
    return encodings


def _near_pairs(start, overlaps, max_distance, precision):
    overlaps = overlaps.tocoo()
    distances = np.maximum(1 - overlaps.data / (2 - overlaps.data), 0)
    distances = distances.astype(precision).astype(np.float32)
    near = distances <= max_distance
    return overlaps.row[near] + np.int32(start), overlaps.col[near], distances[near]


def _symmetric(rows, columns, values, count):
    diagonal = np.arange(count, dtype=np.int32)
    triples = (
        np.concatenate([values, values, np.zeros(count, np.float32)]),
        (np.concatenate([rows, columns, diagonal]), np.concatenate([columns, rows, diagonal])),
    )
    return sparse.coo_array(triples, (count, count)).tocsr()
