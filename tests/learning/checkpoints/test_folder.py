"""Files in a folder of checkpoints, epoch by epoch."""

import os

import pytest

from cirtorch.utils.errors import DamagedFile
from cirtorch.utils.weight_files import load_weights
from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.learning.checkpoints.folder import CheckpointFolder, StoredEpoch
from mdir.networks.comparing import Differs

PARTS = {"net": False, "a": False, "b": True}  # whether it is frozen
WITHIN = {"seed": 1, "iteration": 5, "events": {"rows": {}, "processors": {}}}


def opened(root, regex=None, **every):
    options = {"store_every": 0, "checkpoint_every": 1, **every}
    return CheckpointFolder(directory=str(root), directory_epoch_regex=regex, **options)


def states(epoch):
    return {
        name: {"type": "T", "frozen": frozen, "model_state": {"epoch": epoch}}
        for name, frozen in PARTS.items()
    }


def save(folder, epoch, last, best=False):
    learning = {"epoch": epoch}
    folder.save(epoch, last, states(epoch), best, lambda: learning, lambda: {"extra": epoch})


def names(root):
    return sorted(path.name for path in (root / "epochs").iterdir() if path.is_file())


def files(*numbers, networks=None, more=()):
    """Names of the files of checkpoints: states of the last epoch, networks of all."""
    kept = [f"{part}_epoch_{n:02d}.pth" for n in networks or numbers for part in PARTS]
    kept += [f"{name}_epoch_{n:02d}.pth" for n in numbers for name in ("learning", "extra")]
    return sorted([*kept, "b_frozen.pth", *more])


def test_files_of_a_run(tmp_path):
    folder = opened(tmp_path, checkpoint_every=2, store_every=3)
    assert [folder.keeps(epoch, 7) for epoch in range(1, 8)] == [
        False, True, True, True, False, True, True
    ]  # fmt: skip
    assert folder.latest(7) is None
    folder.begin(list(PARTS))
    save(folder, 1, 7, best=True)
    so_far = [f"{part}_bestsofar.pth" for part in PARTS]
    assert names(tmp_path) == sorted(["b_frozen.pth", *so_far])
    assert load_weights(tmp_path / "epochs/a_bestsofar.pth")["model_state"] == {"epoch": 1}
    assert os.readlink(tmp_path / "epochs/b_bestsofar.pth") == "b_frozen.pth"
    save(folder, 2, 7)
    assert names(tmp_path) == files(2, more=so_far)
    save(folder, 3, 7, best=True)
    assert os.readlink(tmp_path / "epochs/a_bestsofar.pth") == "a_epoch_03.pth"
    save(folder, 4, 7)
    assert names(tmp_path) == files(4, networks=[3, 4], more=so_far)
    save(folder, 5, 7)
    assert names(tmp_path) == files(4, networks=[3, 4], more=so_far)
    save(folder, 6, 7, best=True)
    with collecting() as artifacts:
        save(folder, 7, 7)
    final = [f"{part}_{alias}.pth" for part in PARTS for alias in ("best", "last")]
    assert names(tmp_path) == files(7, networks=[3, 6, 7], more=final)
    assert sorted(map(os.path.basename, artifacts.outputs)) == sorted(final)
    links = {name: os.readlink(tmp_path / "epochs" / name) for name in final}
    assert links == {
        "net_best.pth": "net_epoch_06.pth", "net_last.pth": "net_epoch_07.pth",
        "a_best.pth": "a_epoch_06.pth", "a_last.pth": "a_epoch_07.pth",
        "b_best.pth": "b_frozen.pth", "b_last.pth": "b_frozen.pth",
    }  # fmt: skip


def test_the_best_network_of_an_epoch_that_is_not_kept_keeps_its_file(tmp_path):
    folder = opened(tmp_path)
    folder.begin(list(PARTS))
    save(folder, 1, 3, best=True)
    save(folder, 2, 3)
    best = tmp_path / "epochs/a_bestsofar.pth"
    assert not best.is_symlink() and load_weights(best)["model_state"] == {"epoch": 1}
    assert not (tmp_path / "epochs/a_epoch_01.pth").exists()


def test_a_run_goes_on_from_what_is_there(tmp_path):
    folder = opened(tmp_path)
    folder.begin(list(PARTS))
    save(folder, 1, 4, best=True)
    save(folder, 2, 4)
    again = opened(tmp_path)
    stored = again.latest(4)
    assert (stored.epoch, stored.learning, stored.extra) == (2, {"epoch": 2}, {"extra": 2})
    assert stored.networks["a"]["model_state"] == {"epoch": 2} and stored.within is None
    with pytest.raises(Differs, match="epoch 2 is stored, but the scenario asks for 1 epochs only"):
        opened(tmp_path).latest(1)
    assert opened(tmp_path).latest(2).epoch == 2
    again.begin(list(PARTS))
    assert (tmp_path / "epochs/a_bestsofar.pth").exists()
    again.save_within(StoredEpoch(2, states(2), {"epoch": 2}, {}, WITHIN))
    assert opened(tmp_path).latest(4).within == WITHIN
    save(again, 3, 4)
    assert not (tmp_path / "epochs/midepoch.pth").exists()
    previous = sorted(path.name for path in (tmp_path / "epochs/previous").iterdir())
    assert previous == sorted(f"{name}_epoch_02.pth" for name in (*PARTS, "extra", "learning"))


def test_a_fresh_run_is_not_mistaken_for_what_a_killed_one_left(tmp_path):
    place = tmp_path / "epochs"
    place.mkdir()
    for name in ("a_bestsofar.pth", ".a_best.pth.x.tmp", ".b.link", "midepoch.pth", "a_best.pth"):
        (place / name).write_text(name)
    (place / "net_best.pth").symlink_to("nowhere.pth")
    (place / "net_last.pth").symlink_to("a_best.pth")
    opened(tmp_path).begin(list(PARTS))
    assert names(tmp_path) == ["a_best.pth"]  # no link: it is somebody's file


def test_after_a_state_that_cannot_be_taken_up_a_first_epoch_begins_anew(tmp_path, capsys):
    folder = opened(tmp_path)
    folder.begin(list(PARTS))
    save(folder, 1, 4, best=True)
    for path in (tmp_path / "epochs").glob("*_epoch_01.pth"):
        path.unlink()
    folder.save_within(StoredEpoch(1, states(1), {"epoch": 1}, {}, WITHIN))
    again = opened(tmp_path)
    assert again.latest(4).epoch == 1
    again.leave_out(DamagedFile("midepoch.pth: is not what a run keeps"))
    assert again.latest(4) is None
    assert capsys.readouterr().err.endswith("keeps: going back to the state before it\n")
    again.begin(list(PARTS))
    assert names(tmp_path) == ["b_frozen.pth"]


def test_a_run_of_no_epochs(tmp_path):
    folder = opened(tmp_path)
    folder.begin(list(PARTS))
    with collecting() as artifacts:
        folder.save_untrained(states(0))
    place = tmp_path / "epochs"
    for part in PARTS:
        for alias in ("best", "last"):
            assert os.readlink(place / f"{part}_{alias}.pth") == f"{part}_notrain.pth"
            assert str(place / f"{part}_{alias}.pth") in artifacts.outputs
        assert load_weights(place / f"{part}_notrain.pth")["frozen"] == PARTS[part]


def test_old_runs_are_set_aside_under_a_free_name(tmp_path):
    for number in (1, 2):
        (tmp_path / "epochs").mkdir()
        (tmp_path / "epochs/file").write_text(str(number))
        place = opened(tmp_path).set_aside()
        assert place == tmp_path / f"epochs.outdated-{number}"
        assert (place / "file").read_text() == str(number)
        assert not (tmp_path / "epochs").exists()


def test_an_earlier_run_is_taken_over_where_it_ended(tmp_path):
    regex = r"(.*/run)(\d+)(/epochs)"
    first = opened(tmp_path / "run2")
    first.begin(list(PARTS))
    save(first, 1, 2, best=True)
    save(first, 2, 2)
    (tmp_path / "run2/epochs/blobs").mkdir()
    (tmp_path / "run2/epochs/blobs/x.txt").write_text("x")
    second = opened(tmp_path / "run4", regex)
    stored = second.latest(4)
    assert (stored.epoch, stored.learning) == (2, {"epoch": 2})
    assert (tmp_path / "run4/epochs/blobs/x.txt").read_text() == "x"
    assert load_weights(tmp_path / "run4/epochs/a_bestsofar.pth")["model_state"] == {"epoch": 1}
    second.begin(list(PARTS))
    save(second, 3, 4)
    assert (tmp_path / "run4/epochs/a_bestsofar.pth").exists()
    assert load_weights(tmp_path / "run4/epochs/b_frozen.pth")["model_state"] == {"epoch": 3}
    assert opened(tmp_path / "run2", regex).latest(2).epoch == 2  # its own
    assert opened(tmp_path / "run1", regex).latest(2) is None
    with pytest.raises(UserError) as caught:
        opened(tmp_path / "walk3", regex).latest(3)
    place = tmp_path / "walk3/epochs"
    assert str(caught.value) == f"directory_epoch_regex {regex!r} does not match {place}"


def test_an_earlier_run_that_went_on_is_not_taken_over(tmp_path):
    regex = r"(.*/run)(\d+)(/epochs)"
    first = opened(tmp_path / "run1", store_every=1)
    first.begin(list(PARTS))
    save(first, 1, 2)
    with pytest.raises(UserError, match="its last network is not that of epoch 1"):
        opened(tmp_path / "run2", regex).latest(2)
