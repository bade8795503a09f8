"""Torch files that changed on the disk do not load; those of others load as before."""

import zipfile

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.weight_files import load_weights, save_weights

STATE = {"weight": torch.arange(600.0), "text": "resnet", "list": [1, 2.5, None]}


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.pth"
    save_weights(STATE, path)
    return path


@pytest.fixture
def foreign(tmp_path):
    path = tmp_path / "foreign.pth"
    torch.save(STATE, path)
    return path


def flipped(path, position):
    data = bytearray(path.read_bytes())
    data[position // 8] ^= 1 << position % 8
    path.with_name("flipped.pth").write_bytes(data)
    return path.with_name("flipped.pth")


def same(state):
    return state["weight"].equal(STATE["weight"]) and {**state, "weight": 0} == {
        **STATE,
        "weight": 0,
    }


def test_others_read_what_is_sealed(own):
    assert same(load_weights(own))
    assert same(torch.load(own, weights_only=True))
    assert same(torch.load(own, weights_only=True, mmap=True))
    with zipfile.ZipFile(own) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"sha256 ")


def test_no_bit_of_a_sealed_file_may_change(own):
    bits = 8 * own.stat().st_size
    positions = [*np.random.RandomState(0).randint(bits, size=300), *range(bits - 8 * 100, bits, 5)]
    for position in positions:
        with pytest.raises(DamagedFile, match=r"flipped\.pth"):
            load_weights(flipped(own, position))


def test_a_file_that_another_tool_packed_again_is_told_so(own):
    with zipfile.ZipFile(own) as archive:
        records, comment = [(i, archive.read(i)) for i in archive.infolist()], archive.comment
    with zipfile.ZipFile(own, "w") as archive:
        for info, content in records:
            archive.writestr(info.filename, content)
        archive.comment = comment
    with pytest.raises(DamagedFile, match="or another tool has saved it again: its content is not"):
        load_weights(own)
    torch.save(torch.load(own, weights_only=True), own)
    assert same(load_weights(own))


def test_changed_content_of_a_foreign_file_is_refused(foreign):
    refused = 0
    for position in np.random.RandomState(1).randint(8 * foreign.stat().st_size, size=300):
        path = flipped(foreign, position)
        try:
            assert same(load_weights(path)), position  # a bit of the padding
        except DamagedFile as error:
            assert "flipped.pth" in str(error)
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("kind", ["own", "foreign"])
@pytest.mark.parametrize("missing", [1, 30, 71, 73, 95, 1000, 3000])
def test_cut_files_are_named(kind, missing, request):
    path = request.getfixturevalue(kind)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(DamagedFile, match=rf"{kind}\.pth"):
        load_weights(path)


def test_files_without_crcs_load(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(load_weights(tmp_path / "x.pth"))


def test_records_do_not_unpack_to_more_than_the_file_has(foreign, tmp_path):
    with (
        zipfile.ZipFile(foreign) as source,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in source.namelist():
            bomb.writestr(name, source.read(name))
        bomb.writestr("foreign/data/1", bytes(10**7))
    with pytest.raises(DamagedFile, match=r"bomb\.pth: its records unpack to 10,0.* bytes"):
        load_weights(tmp_path / "bomb.pth")


def test_what_may_not_be_read_is_not_called_damaged(own, monkeypatch):
    def denied(*args):
        raise PermissionError(13, "Permission denied", str(own))

    monkeypatch.setattr("cirtorch.utils.weight_files.check_archive", denied)
    with pytest.raises(
        DataError, match=r"own\.pth: cannot be read \(Permission denied\)"
    ) as caught:
        load_weights(own)
    assert not isinstance(caught.value, DamagedFile)
