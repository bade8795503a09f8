"""A training knows the images that it was trained on, whoever asks for it later."""

import json
import os
import shutil

import pytest
import yaml

from mdir.learning import train_val
from tests.learning.tiny_run import train_params, write_data
from tests.scenario.command import run_here
from tests.scenario.test_inputs import write_image

TRAIN = "mdir.stages.train.train"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    write_data(root)
    return root


def perform(root, target="one", epochs=1, **sections):
    step = {"__function__": TRAIN, **train_params(epochs=epochs), **sections}
    targets = {name: {"1_train": step} for name in ("one", "two")}
    (root.parent / "s.yml").write_text(yaml.safe_dump(targets))
    return run_here(target, "s.yml", folder=root.parent)


def trained(root, **settings):
    result = perform(root, **settings)
    assert result.returncode == 0, result.stderr
    return (root / "run/epochs/last_last.pth").read_bytes()


def refusal(root, name="imgs/3.png"):
    return f"{root}/run/epochs: input changed: {root}/{name} since this was trained; put it back"


def test_a_training_of_other_images_is_not_taken_over_by_another_target(root):
    trained(root)
    assert perform(root, "two").returncode == 0
    shutil.rmtree(root / "journal/s/two")
    write_image(root / "imgs/3.png", 5)
    other = perform(root, "two")
    assert other.returncode == 1 and refusal(root) in other.stderr
    (root / "run/epochs/inputs.json").unlink()
    assert perform(root, "two").returncode == 0


def test_a_training_of_other_images_is_not_taken_over_without_a_journal(root):
    before = trained(root)
    shutil.rmtree(root / "journal")
    write_image(root / "imgs/3.png", 5)
    assert refusal(root) in perform(root).stderr
    shutil.move(root / "run", root / "old")
    assert trained(root) != before


def test_images_of_equal_content_are_the_same_elsewhere(root):
    before = trained(root)
    moved = root.with_name("moved") / "root"
    shutil.copytree(root, moved)
    shutil.rmtree(moved / "journal")
    status = os.stat(root / "imgs/3.png")
    assert trained(moved) == before
    assert not list((moved / "run").glob("epochs.outdated-*"))
    write_image(moved / "imgs/3.png", 5)
    os.utime(moved / "imgs/3.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    shutil.rmtree(moved / "journal")
    assert refusal(moved) in perform(moved).stderr


def test_a_half_done_training_begins_anew_of_other_images(root):
    sections = {key: train_params()[key] for key in ("data", "learning")}
    sections["data"]["val"]["dataset"]["image_dir"] = "valid/*.png"
    sections["learning"]["checkpoints"]["every_minutes"] = 0
    shutil.copytree(root / "imgs", root / "valid")
    (root / "valid/7.png").write_text("no image")
    assert perform(root, **sections).returncode == 1
    assert (root / "run/epochs/midepoch.pth").exists()
    shutil.copy(root / "imgs/7.png", root / "valid/7.png")
    again = perform(root, **sections)
    assert again.returncode == 0
    change = f"input changed: {root}/valid/7.png since this was trained"
    assert f"{root}/run/epochs: {change}: training begins anew, the old run is" in again.stderr
    assert (root / "run/epochs.outdated-1/midepoch.pth").exists()


def test_a_training_whose_images_are_replaced_meanwhile_begins_anew(root, monkeypatch):
    train = train_val.run_epochs

    def replaced_meanwhile(run):
        train(run)
        write_image(root / "imgs/3.png", 5)

    monkeypatch.setattr(train_val, "run_epochs", replaced_meanwhile)
    changed = f"input changed: {root}/imgs/3.png"
    assert f"warning: 1_train: {changed}, while the step ran" in perform(root).stderr
    monkeypatch.undo()
    again = perform(root)
    assert f"{changed} since this was trained: training begins anew" in again.stderr
    assert "warning" not in again.stderr and "skipped: unchanged" in perform(root).stdout


def test_all_that_is_read_is_kept(root):
    trained(root)
    known = json.loads((root / "run/epochs/inputs.json").read_text())
    assert set(known) == {"pairs.pkl", "imgs"}
    assert sorted(known["imgs"]["files"]) == [f"{number}.png" for number in range(8)]


def test_a_damaged_record_ends_in_a_line(root):
    trained(root)
    shutil.rmtree(root / "journal")
    (root / "run/epochs/inputs.json").write_text('{"imgs": 3}')
    result = perform(root)
    assert result.returncode == 1
    assert "inputs.json: not what was written; remove it" in result.stderr
