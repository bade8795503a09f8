"""Samplers by identity against those of SpCL and Cluster Contrast."""

from types import SimpleNamespace

import numpy as np
import pytest

from mdir.data.identity_sampler import IdentitySampler
from mdir.data.samplers import seeded
from tests.golden import golden

FILES = [("reid", "sampler.npz", True), ("cluster_contrast", "sampler_nocam.npz", False)]
CASES = [
    pytest.param(topic, name, across_cameras, case, id=f"{name}-{case}")
    for topic, name, across_cameras in FILES
    for case in sorted(key[4:] for key in golden.load_npz(topic, name) if key.startswith("cfg_"))
]


class Items(SimpleNamespace):
    def __len__(self):
        return len(self.identities)


def test_cases_are_there():
    for topic, name, _ in FILES:
        golden.needs(topic, name)
    assert {(topic, name) for topic, name, *_ in (case.values for case in CASES)} == {
        (topic, name) for topic, name, _ in FILES
    }


@pytest.mark.parametrize(("topic", "name", "across_cameras", "case"), CASES)
def test_two_passes(topic, name, across_cameras, case):
    arrays = golden.needed_npz(topic, name)
    instances, seed = map(int, arrays[f"cfg_{case}"])
    dataset = Items(identities=arrays["pid"].tolist(), cameras=arrays["cam"].tolist())
    sampler = IdentitySampler(dataset, 0, 0, instances=instances, across_cameras=across_cameras)
    first = [dataset.identities[items[0]] for items in sampler.members]
    assert first == arrays[f"pids_{case}"].tolist()
    assert len(sampler.members) * instances == arrays[f"len_{case}"]
    with seeded(seed):
        passes = [list(sampler.draw()) for _ in range(2)]
    for found, key in zip(passes, ("out", "out2"), strict=True):
        np.testing.assert_array_equal(found, arrays[f"{key}_{case}"])
        assert len(found) == len(sampler)
    starts = [dataset.identities[index] for index in passes[0]]
    order = [identity for at, identity in enumerate(starts) if identity not in starts[:at]]
    assert order == [first[number] for number in arrays[f"perm_{case}"]]
