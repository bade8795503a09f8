"""A finished run that is asked for more epochs."""

import os

import pytest

from tests.learning.test_within_epoch import Stopped, performed
from tests.learning.tiny_run import train_params, write_data


@pytest.mark.parametrize(("store_every", "stays"), [(1, True), (0, False)])
def test_the_last_network_stays_while_its_file_does(root, store_every, stays):
    write_data(root)

    def params(epochs):
        section = train_params(epochs=epochs)
        checkpoints = {"checkpoint_every": 1, "store_every": store_every}
        section["learning"]["checkpoints"].update(checkpoints)
        return section

    performed(params(2), minutes=None)
    with pytest.raises(Stopped):
        performed(params(5), minutes=None, stop=4)  # in the fourth epoch
    last = root / "run/epochs/last_last.pth"
    assert os.path.lexists(last) == stays
    assert not stays or os.readlink(last) == "last_epoch_02.pth"
    assert (root / "run/epochs/first_last.pth").exists()  # frozen: it has not changed
    performed(params(5), minutes=None)
    assert os.readlink(last) == "last_epoch_05.pth"
