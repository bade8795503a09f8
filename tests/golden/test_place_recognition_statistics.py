"""Intervals and tests over queries against plain NumPy."""

import numpy as np
import pytest

from mdir.scores.measures import intervals
from tests.golden import golden

TOPIC = "place_recognition"
BOOTSTRAP, PAIRED = (golden.load_npz(TOPIC, name) for name in ("bootstrap.npz", "paired.npz"))


def of(arrays, case):
    """The arrays of one case by name."""
    ending = f"_{case}"
    return {k.removesuffix(ending): v for k, v in arrays.items() if k.endswith(ending)}


def cases(arrays):
    return [str(case) for case in arrays.get("cases", ())]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def drawing(monkeypatch):
    """Records what generators draw."""
    drawn, fresh = [], np.random.default_rng

    class Recorder:
        def __init__(self, seed):
            self.generator = fresh(seed)

        def integers(self, *args, **options):
            drawn.append(self.generator.integers(*args, **options))
            return drawn[-1]

    monkeypatch.setattr(np.random, "default_rng", Recorder)
    return drawn


def test_cases_are_there():
    for name in ("bootstrap.npz", "paired.npz", "wilson.npz"):
        golden.needs(TOPIC, name)
    assert cases(BOOTSTRAP) and cases(PAIRED)


@pytest.mark.parametrize("case", cases(BOOTSTRAP))
def test_bootstrap(case, monkeypatch):
    about = of(BOOTSTRAP, case)
    values, settings = about["values"], (int(about["B"]), int(about["seed"]))
    found = intervals.bootstrap(values, *settings, float(about["level"]))
    expected = [about[name] for name in ("mean", "low", "high", "standard_error")]
    close(found, expected)
    drawn = drawing(monkeypatch)
    means = intervals.resampled_means(values, *settings)
    head = about["indices_head"]
    np.testing.assert_array_equal(np.concatenate(drawn)[: len(head)], head)
    close(means[: len(about["means_head"])], about["means_head"])


@pytest.mark.parametrize("case", cases(PAIRED))
def test_paired(case, monkeypatch):
    about = of(PAIRED, case)
    pair, settings = (about["a"], about["b"]), (int(about["B"]), int(about["seed"]))
    found = intervals.paired_bootstrap(*pair, *settings, float(about["level"]))
    close(found, [about[name] for name in ("difference", "boot_low", "boot_high", "boot_p")])
    if about["exact_p"] >= 0:
        close(intervals.exact_permutation_test(*pair), about["exact_p"])
    if about["mcnemar_p"] >= 0:
        *discordant, p = intervals.mcnemar(*pair)
        assert discordant == about["discordant"].tolist()
        close(p, about["mcnemar_p"])
    drawn = drawing(monkeypatch)
    close(intervals.permutation_test(*pair, *settings), about["permutation_p"])
    head = about["signs_head"]
    np.testing.assert_array_equal(2 * np.concatenate(drawn)[: len(head)] - 1, head)


def test_wilson():
    arrays = golden.needed_npz(TOPIC, "wilson.npz")
    found = intervals.wilson(arrays["hits"], arrays["total"], arrays["z"])
    for values, name in zip(found, ("low", "high"), strict=True):
        np.testing.assert_allclose(values, arrays[name], rtol=0, atol=1e-12)
