"""A finished run that is asked for more epochs."""

import os

from mdir.learning.checkpoints.folder import CheckpointFolder


def opened(root, checkpoint_every):
    folder = CheckpointFolder(
        directory=str(root),
        store_every=0,
        checkpoint_every=checkpoint_every,
        directory_epoch_regex=None,
    )
    return folder, lambda last: (folder.latest(last), folder.begin(["net"]))


def save(folder, epoch, last):
    states = {"net": {"type": "T", "frozen": False, "model_state": {"epoch": epoch}}}
    folder.save(epoch, last, states, False, dict, dict)


def test_the_last_network_stays_while_its_target_does(tmp_path):
    place = tmp_path / "epochs/net_last.pth"
    folder, begin = opened(tmp_path, checkpoint_every=2)
    begin(2)
    save(folder, 1, 2)
    assert not os.path.lexists(place)
    save(folder, 2, 2)
    assert os.readlink(place) == "net_epoch_02.pth"
    folder, begin = opened(tmp_path, checkpoint_every=2)
    begin(6)
    save(folder, 3, 6)
    assert os.readlink(place) == "net_epoch_02.pth" and place.exists()
    save(folder, 4, 6)  # epoch 2 is not kept
    assert not os.path.lexists(place)
    save(folder, 5, 6)
    save(folder, 6, 6)
    assert os.readlink(place) == "net_epoch_06.pth"
