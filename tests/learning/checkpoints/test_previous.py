"""The checkpoint before the newest one."""

import os

import pytest

from mdir.learning.checkpoints.previous import PreviousCheckpoint


def write(folder, epoch, names):
    for name in names:
        (folder / f"{name}_epoch_{epoch:02d}.pth").write_text(f"{name} {epoch}")


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("links", [True, False])
def test_it_takes_the_place_of_the_one_before_it(tmp_path, monkeypatch, links):
    def link(*_):
        raise PermissionError

    if not links:
        monkeypatch.setattr(os, "link", link)
    previous = PreviousCheckpoint(tmp_path)
    names = ["net", "extra", "learning"]
    write(tmp_path, 3, names)
    write(tmp_path, 12, names)
    previous.keep(3, names)
    kept = {f"{name}_epoch_03.pth": f"{name} 3" for name in names}
    assert contents(tmp_path / "previous") == kept
    file = "net_epoch_03.pth"
    assert (tmp_path / "previous" / file).samefile(tmp_path / file) == links
    (tmp_path / "previous/.net_epoch_12.pth.tmp").write_text("left by a killed run")
    previous.keep(12, names)
    kept = {f"{name}_epoch_12.pth": f"{name} 12" for name in names}
    assert contents(tmp_path / "previous") == kept


def test_a_link_is_followed_and_what_is_absent_is_left_out(tmp_path):
    (tmp_path / "net_frozen.pth").write_text("frozen")
    (tmp_path / "net_epoch_01.pth").symlink_to("net_frozen.pth")
    PreviousCheckpoint(tmp_path).keep(1, ["net", "learning"])
    assert contents(tmp_path / "previous") == {"net_epoch_01.pth": "frozen"}
    assert not (tmp_path / "previous/net_epoch_01.pth").is_symlink()
