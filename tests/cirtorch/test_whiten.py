"""Whitening: against the formulas written without blocks, its properties, and broken input."""

import numpy as np
import pytest

from cirtorch.utils import whiten
from cirtorch.utils.errors import DataError
from cirtorch.utils.whiten import cholesky, pcawhitenlearn, whitenapply, whitenlearn


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(whiten, "_COLUMNS_AT_ONCE", 16)
    rng = np.random.RandomState(0)
    return rng.standard_normal((7, 50)), rng.randint(0, 50, 40), rng.randint(0, 50, 40)


def naive_whitenlearn(X, qidxs, pidxs):
    m = sum(X[:, q : q + 1] for q in qidxs) / len(qidxs)
    S = np.zeros((len(X), len(X)))
    for q, p in zip(qidxs, pidxs, strict=True):
        S += np.outer(X[:, q] - X[:, p], X[:, q] - X[:, p]) / len(qidxs)
    P = np.linalg.inv(np.linalg.cholesky(S))
    Y = P @ (X - m)
    values, vectors = np.linalg.eig(Y @ Y.T)
    return m, vectors[:, values.argsort()[::-1]].T @ P


def up_to_sign(P, reference):
    return P * np.sign((P * reference).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_learned_whitening_equals_the_formulas(data, dtype):
    X, qidxs, pidxs = data
    X = X.astype(dtype)
    m, P = whitenlearn(X, qidxs, pidxs)
    expected_m, expected_P = naive_whitenlearn(X.astype(np.float64), qidxs, pidxs)
    assert m.shape == (7, 1) and m.dtype == P.dtype == np.float64
    np.testing.assert_allclose(m, expected_m, rtol=1e-12)
    np.testing.assert_allclose(up_to_sign(P, expected_P), expected_P, rtol=1e-9, atol=1e-12)


def test_learned_whitening_makes_differences_of_pairs_unit(data):
    X, qidxs, pidxs = data
    _, P = whitenlearn(X, qidxs, pidxs)
    difference = P @ (X[:, qidxs] - X[:, pidxs])
    np.testing.assert_allclose(difference @ difference.T / len(qidxs), np.eye(7), atol=1e-9)


def test_shrinking_adds_a_share_of_the_mean_variance_of_pairs(data):
    X, qidxs, pidxs = data
    difference = X[:, qidxs] - X[:, pidxs]
    S = difference @ difference.T / len(qidxs)
    _, P = whitenlearn(X, qidxs, pidxs, shrink=0.5)
    np.testing.assert_allclose(
        P @ (S + 0.5 * S.trace() / 7 * np.eye(7)) @ P.T, np.eye(7), atol=1e-9
    )
    assert np.array_equal(whitenlearn(X, qidxs, pidxs, 0)[1], whitenlearn(X, qidxs, pidxs)[1])


def test_shrinking_gives_rank_where_pairs_are_few(data, capsys):
    X, qidxs, pidxs = data
    whitenlearn(X, qidxs[:3], pidxs[:3])
    assert "3 pairs differ in 3 of 7 directions only" in capsys.readouterr().err
    _, P = whitenlearn(X, qidxs[:3], pidxs[:3], shrink=0.1)
    assert capsys.readouterr().err == "" and np.abs(P).max() < 100


def test_pca_whitening_makes_the_covariance_unit(data):
    X = data[0]
    m, P = pcawhitenlearn(X)
    np.testing.assert_allclose(P @ np.cov(X, bias=True) @ P.T, np.eye(7), atol=1e-9)
    np.testing.assert_allclose(m, X.mean(axis=1, keepdims=True))
    b = np.linalg.eigvalsh(np.cov(X, bias=True))[::-1][2]
    scale = 1 / np.linalg.norm(pcawhitenlearn(X, shrink=3)[1], axis=1) ** 2
    np.testing.assert_allclose(
        scale, (1 - b) / np.linalg.norm(P, axis=1) ** 2 + b, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("dimensions, rows", [(None, 7), (0, 7), (3, 3), (99, 7)])
def test_apply(data, dimensions, rows):
    X, qidxs, pidxs = data
    m, P = whitenlearn(X, qidxs, pidxs)
    Y = whitenapply(X, m, P, dimensions)
    expected = P[:rows] @ (X - m)
    np.testing.assert_allclose(Y, expected / (np.linalg.norm(expected, axis=0) + 1e-6))
    assert whitenapply(X[:, :0], m, P, dimensions).shape == (rows, 0)


def test_singular_matrices_get_a_diagonal(capsys):
    L = cholesky(np.ones((3, 3)))
    np.testing.assert_allclose(L @ L.T, np.ones((3, 3)), atol=1e-6)
    assert "adding 1e-10 on the diagonal" in capsys.readouterr().out


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_input_fails(data, value):
    X, qidxs, pidxs = data
    X[2, 30] = value
    for learn in (lambda: whitenlearn(X, qidxs, pidxs), lambda: pcawhitenlearn(X)):
        with pytest.raises(DataError, match="column 30"):
            learn()
    with pytest.raises(DataError):
        cholesky(np.full((2, 2), value))


@pytest.mark.parametrize("count", [2, 15, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pca_needs_more_images_than_dimensions(count, dtype):
    for seed in range(40):
        X = np.random.RandomState(seed).standard_normal((16, 40)).astype(dtype)
        with pytest.raises(DataError, match=f"needs 17 descriptors or more, there are {count}$"):
            pcawhitenlearn(X[:, :count])
        pcawhitenlearn(X[:, :17])


def test_pca_refuses_directions_without_variance():
    for seed in range(40):
        rng = np.random.RandomState(seed)
        X = rng.standard_normal((16, 60)).astype(np.float32)
        dead, double = X.copy(), X.copy()
        dead[seed % 16] = rng.standard_normal()
        double[3] = 0.7 * double[5] + 0.1 * double[6]  # rounded to float32
        for flat in (dead, double):
            with pytest.raises(DataError, match="1 of 16 directions have no variance in 60"):
                pcawhitenlearn(flat)
        assert np.isfinite(pcawhitenlearn(dead * 0.1, shrink=5)[1]).all()


def test_pca_admits_weak_directions():
    X = np.random.RandomState(0).standard_normal((16, 90)) * np.logspace(0, -4, 16)[:, None]
    _, P = pcawhitenlearn(X)
    np.testing.assert_allclose(P @ np.cov(X, bias=True) @ P.T, np.eye(16), atol=1e-6)


@pytest.mark.parametrize("pairs", [1, 5, 15])
def test_pairs_too_few_for_learning_are_told(pairs, capsys):
    for seed in range(20):
        X = np.random.RandomState(seed).standard_normal((16, 40))
        _, P = whitenlearn(X, np.arange(pairs), np.arange(pairs) + 20)
        assert f"{pairs} pairs differ in {pairs} of 16 directions only" in capsys.readouterr().err
        assert np.abs(P).max() < 2e5  # the diagonal of 1e-10, never rounding
    whitenlearn(X, np.arange(20), np.arange(20) + 20)
    assert capsys.readouterr().err == ""


def test_pairs_that_do_not_differ_are_refused():
    X = np.random.RandomState(0).standard_normal((4, 9))
    with pytest.raises(DataError, match="descriptors of 3 matching pairs do not differ"):
        whitenlearn(X, [1, 2, 3], [1, 2, 3])


def test_too_little_data(data):
    X = data[0]
    with pytest.raises(DataError, match="needs 4 descriptors or more, there are 2"):
        pcawhitenlearn(np.zeros((3, 2)))
    with pytest.raises(DataError, match="shrink 9"):
        pcawhitenlearn(X, shrink=9)
    with pytest.raises(DataError, match="pairs"):
        whitenlearn(X, [], [])


@pytest.mark.parametrize("held", [np.float32, np.float64])
def test_rounding_of_descriptors_that_are_much_alike_is_no_variance(held, capsys):
    random = np.random.RandomState(0)
    varied = random.randn(16, 4) @ random.randn(4, 200)
    X = (random.rand(16, 1) + 1e-4 * varied).astype(np.float32).astype(held)
    with pytest.raises(DataError, match="12 of 16 directions have no variance in 200 descriptors"):
        pcawhitenlearn(X)
    _, P = whitenlearn(X, np.arange(0, 200, 2), np.arange(1, 200, 2))
    assert "100 pairs differ in 4 of 16 directions only" in capsys.readouterr().err
    assert np.isfinite(P).all()
    pcawhitenlearn((random.rand(16, 1) + 1e-4 * random.randn(16, 200)).astype(np.float32))
