"""A training whose settings or inputs changed: its own old run is set aside, others are not."""

import pytest

from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.stages.train import train
from tests.learning.tiny_run import train_params, write_data


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
