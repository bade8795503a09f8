"""The package offers the published modules as attributes and loads them when needed."""

import subprocess
import sys

import pytest

import cirtorch


def test_modules_are_attributes():
    assert callable(cirtorch.networks.imageretrievalnet.init_network)
    assert callable(cirtorch.datasets.traindataset.TuplesDataset)
    assert callable(cirtorch.layers.functional.gem) and callable(cirtorch.layers.loss.TripletLoss)
    assert callable(cirtorch.utils.whiten.whitenlearn)
    with pytest.raises(AttributeError, match="nothing"):
        cirtorch.nothing  # noqa: B018


def test_small_parts_load_no_torch():
    code = "import sys, cirtorch.utils.errors, cirtorch.utils.general; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
