"""The package offers the published modules as attributes and loads them when needed."""

import subprocess
import sys
from pathlib import Path

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
    code = "import cirtorch.utils.general, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(cirtorch.__file__).parents[1])
