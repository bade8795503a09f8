"""What the processor ``clusters`` leaves of an epoch's labels."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mdir.learning.events.clusters import Clusters
from mdir.methods.pseudo_labels import PseudoLabels


def labelled(identities):
    dataset = SimpleNamespace(files=["a.jpg", "b.jpg", "c.jpg"], identities=identities)
    return PseudoLabels(4, np.array([0, 0, -1]), dataset=dataset)


@pytest.mark.parametrize("identities, told", [([3, 3, 5], [3, 3, 5]), ([3, 3, 3], [None] * 3)])
def test_labels_are_kept_with_what_the_data_set_knows(tmp_path, identities, told):
    Clusters(tmp_path).result(labelled(identities))
    kept = json.loads((tmp_path / "clusters.json").read_text())
    assert kept["epoch"] == 5
    assert [image["label"] for image in kept["images"]] == [0, 0, -1]
    assert [image["identity"] for image in kept["images"]] == told
    assert kept["images"][2]["path"] == "c.jpg"


def test_results_of_other_methods_are_not_kept(tmp_path):
    Clusters(tmp_path).result(object())
    assert not list(tmp_path.iterdir())
