"""Files of a finished run that somebody removed."""

import pytest

from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.stages.train import train
from tests.learning.tiny_run import train_params, write_data


@pytest.fixture(autouse=True)
def data(root):
    write_data(root)


def test_lost_best_networks_of_a_finished_run_are_linked_anew(root):
    params = train_params()
    params["learning"]["checkpoints"]["store_every"] = 1
    best = train(params)[0]["best_epoch"]["index"] + 1
    folder = root / "run" / "epochs"
    stored = {name: folder / f"{name}_best.pth" for name in ("net", "first", "last")}
    before = {name: path.readlink() for name, path in stored.items()}
    for path in stored.values():
        path.unlink()
    with collecting() as artifacts:
        train(params)
    assert {name: path.readlink() for name, path in stored.items()} == before
    assert str(stored["net"]) in artifacts.outputs
    (folder / f"last_epoch_{best:02d}.pth").unlink()
    with pytest.raises(UserError, match=rf"last_best.pth is gone, .* epoch {best}, .*train anew"):
        train(params)


def test_lost_best_networks_without_a_stored_epoch_are_told(root):
    params = train_params()
    assert train(params)[0]["best_epoch"]["index"] == 0
    (root / "run/epochs/first_best.pth").unlink()
    train(params)
    (root / "run/epochs/last_best.pth").unlink()
    with pytest.raises(UserError, match="last_best.pth is gone"):
        train(params)


def test_a_finished_run_without_a_best_epoch_stays_so(root):
    params = train_params()
    params["learning"]["validation"] = False
    for _ in range(2):
        assert train(params)[0]["best_epoch"] is None
    assert not (root / "run/epochs/net_best.pth").exists()
