"""Intervals and tests over queries: against loops, in words where there is none, of each score."""

import numpy as np
import pytest

from mdir.scores.measures import intervals
from mdir.scores.samples import Sample, compared, interval, read_sample

NAN = float("nan")


def assert_samples_are_the_averages(result, without=()):
    """Each average but those named is the mean of the values of the queries that are shown."""
    assert set(result.samples) == set(result.averages) - set(without)
    for name, sample in result.samples.items():
        assert len(sample.values) == len(result.rankings)
        assert np.nanmean(sample.values) == pytest.approx(result.averages[name], abs=1e-7)
        hits = set(sample.values[~np.isnan(sample.values)]) <= {0, 1}
        assert hits or not sample.hits


def values(count, seed=0):
    return np.random.default_rng(seed).random(count)


def test_interval_of_student():
    """Of two degrees of freedom the quantile at p is (2 p - 1) / sqrt(2 p (1 - p))."""
    found = intervals.student([0.1, 0.2, 0.6])
    error = np.sqrt(0.07 / 3)
    half = 0.95 / np.sqrt(2 * 0.975 * 0.025) * error
    assert found == pytest.approx((0.3, 0.3 - half, 0.3 + half, error))


def test_groups_are_drawn_together():
    rows, groups = values(9), np.array(list("aabcccdbd"))
    found = intervals.resampled_means(rows, 50, 3, groups)
    names = list(dict.fromkeys(groups.tolist()))
    drawn = np.random.default_rng(3).integers(0, 4, size=(50, 4))
    expected = [
        np.concatenate([rows[groups == names[place]] for place in row]).mean() for row in drawn
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    alone = intervals.resampled_means(rows, 50, 3, np.arange(9))
    np.testing.assert_allclose(alone, intervals.resampled_means(rows, 50, 3), rtol=1e-12)


def test_a_group_has_one_sign():
    a, b, groups = values(6), values(6, 1), [0, 0, 1, 1, 2, 2]
    sums = (a - b).reshape(3, 2).sum(axis=1)
    signs = np.array(np.meshgrid(*3 * [[-1, 1]])).reshape(3, -1)
    expected = (abs(sums @ signs) >= abs(sums.sum()) - 1e-12).mean()
    assert intervals.exact_permutation_test(a, b, groups) == expected
    assert intervals.permutation_test(a, b, 4000, groups=groups) == pytest.approx(
        expected, abs=0.05
    )


def test_blocks_change_no_number(monkeypatch):
    whole = intervals.resampled_means(values(7), 100, 5)
    tested = intervals.permutation_test(values(20), values(20, 1), 100, 5)
    monkeypatch.setattr(intervals, "_NUMBERS_AT_ONCE", 21)
    np.testing.assert_array_equal(intervals.resampled_means(values(7), 100, 5), whole)
    assert intervals.permutation_test(values(20), values(20, 1), 100, 5) == tested


def test_a_share_of_hits_has_the_interval_of_wilson():
    sample = Sample(np.array([1, 0, NAN, 1, 1]), hits=True)
    low, high = interval(sample)
    assert [low, high] == pytest.approx(intervals.wilson(3, 4))
    grouped = Sample(sample.values, True, ("a", "a", "b", "b", "c"))
    found = intervals.bootstrap([1, 0, 1, 1], groups=np.array(["a", "a", "b", "c"]))
    assert interval(grouped) == [found.low, found.high]


def test_other_means_have_that_of_the_bootstrap():
    rows = np.append(values(30), NAN)
    found = intervals.bootstrap(rows[:30])
    assert interval(Sample(rows)) == [found.low, found.high]
    assert found.low < rows[:30].mean() < found.high


@pytest.mark.parametrize("hits", [True, False])
def test_few_queries_have_words(hits):
    assert interval(Sample(np.array([]), hits)) == "no query"
    assert interval(Sample(np.array([NAN, NAN]), hits)) == "no query"
    assert interval(Sample(np.array([1.0, NAN]), hits)) == "one query alone"
    assert interval(Sample(np.ones(3), hits, ("a", "a", "a"))) == "one group of queries alone"
    one = Sample(np.array([1.0, NAN]), hits)
    assert compared(one, one) == "one query alone"
    assert compared(one, Sample(np.ones(2), hits)) == "not the same queries count"
    assert compared(one, Sample(np.ones(3), hits)) == "not the same queries"


def test_which_test_is_made_and_what_it_says():
    a, b = Sample(np.zeros(40), hits=True), Sample(np.repeat([1.0, 0], [9, 31]), hits=True)
    found = compared(a, b)
    assert (found.test, found.queries, found.verdict) == ("McNemar", 40, "better")
    assert found.p == pytest.approx(2 / 2**9) and found.difference == pytest.approx(9 / 40)
    assert compared(b, a).verdict == "worse" and compared(b, a).difference == -found.difference
    assert compared(a, a).verdict == "not distinguishable" and compared(a, a).p == 1
    few, more = (Sample(values(14, 0)), Sample(values(14, 1))), (Sample(values(15, 0)),) * 2
    assert compared(*few).test == "permutation, exact" and compared(*more).test == "permutation"
    assert compared(*few).p == intervals.exact_permutation_test(few[1].values, few[0].values)
    assert compared(*few).verdict == "not distinguishable"
    grouped = Sample(a.values, True, tuple(range(20)) * 2), Sample(b.values, True, a.groups)
    assert compared(*grouped).test == "permutation"


def test_samples_are_stored():
    sample = Sample(np.array([1, NAN, 0.25]), True, ("a", "b", "b"))
    read = read_sample(sample.stored())
    np.testing.assert_array_equal(read.values, sample.values)
    assert (read.hits, read.groups) == (sample.hits, sample.groups)
    assert sample.stored()["values"] == [1, None, 0.25]
