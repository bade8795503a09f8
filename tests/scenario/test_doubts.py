"""What lets a run go on but makes its result doubtful is told, through the real command."""

import pytest

from tests.scenario.command import PROJECT, run_here

TEMPLATE = "iccv23/parameters/train_cyclegan.yml"
TRAIN = f"""\
go:
  1_train:
    __function__: mdir.stages.train.train
    __template__: {TEMPLATE}
    learning.training.epochs: 50
    data.train.dataset:
      image_dir: animals
      dataset_X: horses.txt
      dataset_Y: zebras.txt
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.yml").write_text(TRAIN)
    return tmp_path


@pytest.mark.parametrize("command", [["validate"], ["go", "--dry-run"]])
def test_a_decay_over_more_epochs_than_there_are(folder, command):
    epochs = "go.1_train.learning.training.epochs=20"
    result = run_here(*command, "s.yml", epochs, folder=folder)
    assert result.returncode == 0, result
    warning, *others = result.stderr.splitlines()
    assert warning.startswith(f"warning: {PROJECT / 'scenarios' / TEMPLATE}:")
    assert warning.endswith(
        "scheduler.generator_X.n_epochs_decay: the rate falls over 50 epochs and there are only "
        "20: the first one learns at 0.392 of it"
    )
    assert others == []  # the four networks share what was written once


def test_a_decay_over_all_epochs_is_no_reason(folder):
    result = run_here("validate", "s.yml", folder=folder)
    assert (result.returncode, result.stderr) == (0, "")


CUT = """\
go:
  1_train:
    __function__: mdir.stages.train.train
    __template__: iccv23/parameters/train_cut.yml
    learning.training.criterion.nce.weight: {weight}
"""


@pytest.mark.parametrize(
    "weight, more, told",
    [
        (1, [], False),
        (10, ["go.1_train.learning.training.epoch_iteration.scale_discriminator=false"], False),
        (0.5, [], True),
    ],
)
def test_a_weight_of_patchnce_that_gandtr_applies_twice(folder, weight, more, told):
    (folder / "cut.yml").write_text(CUT.format(weight=weight))
    result = run_here("validate", "cut.yml", *more, folder=folder)
    assert result.returncode == 0, result
    assert ("multiplied by 0.5 here and by its square in gandtr" in result.stderr) == told
    assert len(result.stderr.splitlines()) == told
