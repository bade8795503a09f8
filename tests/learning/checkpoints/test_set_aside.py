"""A training whose settings or inputs changed: its own old run is set aside, others are not."""

import pytest

from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.stages.train import train
from tests.learning.tiny_run import network, train_params, write_data


@pytest.fixture
def run(root):
    write_data(root)
    train(train_params(epochs=1))
    return root / "run"


def changed(**settings):
    params = train_params(epochs=settings.pop("epochs", 1))
    params["learning"]["training"].update(settings)
    return params


def test_the_run_of_somebody_else_is_left_alone(run):
    with pytest.raises(UserError, match="learning.training.seed is 7 in the scenario, but"):
        train(changed(seed=7))
    others = collecting(made=[str(run.parent / "other" / "epochs" / "last_best.pth")])
    with others, pytest.raises(UserError, match="another checkpoint folder"):
        train(changed(seed=7))
    assert not (run / "epochs.outdated-1").exists()


def test_other_settings_begin_anew(run, capsys):
    made = [str(run / "epochs" / "last_best.pth")]
    before = (run / "epochs" / "last_best.pth").read_bytes()
    with collecting(made=made):
        train(changed(seed=7))
    assert (run / "epochs.outdated-1" / "last_best.pth").read_bytes() == before
    assert (run / "epochs" / "last_best.pth").read_bytes() != before
    assert "training begins anew, the old run is now" in capsys.readouterr().err
    with collecting(made=made):
        train(changed())
    assert (run / "epochs" / "last_best.pth").read_bytes() == before
    assert (run / "epochs.outdated-2").exists()


def test_more_epochs_continue_and_fewer_begin_anew(run):
    made = [str(run / "epochs" / "last_best.pth")]
    with collecting(made=made):
        train(changed(epochs=2))
    assert not (run / "epochs.outdated-1").exists()
    with collecting(made=made):
        train(changed(epochs=1))
    assert (run / "epochs.outdated-1" / "learning_epoch_02.pth").exists()


def test_another_input_begins_anew(run):
    made = [str(run / "epochs" / "last_best.pth")]
    with collecting(made=made, changed=["input changed: /data/pairs.pkl"]):
        train(changed())
    assert (run / "epochs.outdated-1").exists()
    assert not (run / "epochs.outdated-2").exists()


def test_another_input_of_a_stopped_run_is_told(run, capsys):
    with collecting(changed=["input changed: /data/pairs.pkl"]):
        train(changed(epochs=2))
    assert "input changed: /data/pairs.pkl since this training began" in capsys.readouterr().err
    assert not (run / "epochs.outdated-1").exists()


def begun_with(path, wrappers="", **first):
    """A training whose first, frozen network is a stored one."""
    params = train_params(epochs=1)
    runtime = {"frozen": True, "wrappers": wrappers, "data": "load_from_checkpoint"}
    params["network"]["first"] = {"path": str(path), "runtime": runtime, **first}
    return params


@pytest.fixture
def stored(run):
    """Two stored networks of other weights, and a training that began with the first."""
    train({**train_params(directory="other", epochs=1), "network": network(5)})
    paths = [run / "epochs" / "last_best.pth", run.parent / "other" / "epochs" / "net_best.pth"]
    with collecting():
        train(begun_with(paths[0]) | {"learning": {**train_params("second", 1)["learning"]}})
    return paths


def again(path, **given):
    params = begun_with(path, **given) | {"learning": train_params("second", 1)["learning"]}
    made = [str(path.parents[2] / "second" / "epochs" / "last_best.pth")]
    with collecting(made=made):
        train(params)
    return (path.parents[2] / "second" / "epochs.outdated-1").exists()


def test_the_same_stored_network_goes_on(stored):
    assert not again(stored[0])


def test_another_stored_network_begins_anew(stored, capsys):
    assert again(stored[1])
    assert "net_best.pth in place of another" in capsys.readouterr().err


def test_another_runtime_of_a_stored_network_begins_anew(stored, capsys):
    assert again(stored[0], wrappers="cir_ratio_pass_through:0.5:anc")
    assert "wrappers is" in capsys.readouterr().err
