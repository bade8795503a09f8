"""Archives that are damaged, or made to do harm, leave nothing behind."""

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from cirtorch.downloads.archive import unpack
from cirtorch.utils.errors import DataError
from tests.cirtorch.small_mirror import tar, zipped


def pictures(count=4):
    rng, members = np.random.RandomState(0), {}
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.randint(0, 256, (40, 60, 3), dtype=np.uint8)).save(buffer, "JPEG")
        members[f"set/{number}.jpg"] = buffer.getvalue()
    return members


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(tmp_path, content, match):
    archive, folder = tmp_path / "archive.tgz", tmp_path / "out/into"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        unpack([archive], folder)
    assert str(archive) in str(caught.value)
    assert not list(folder.parent.iterdir())


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_no_bit_may_change_what_is_unpacked(tmp_path, mode):
    members = pictures()
    whole, archive = tar(members, mode=mode), tmp_path / "archive"
    archive.write_bytes(whole)
    unpack([archive], tmp_path / "whole")
    assert contents(tmp_path / "whole") == members
    refused, bits = 0, 8 * len(whole)
    for position in np.random.RandomState(1).randint(bits, size=60):
        changed = bytearray(whole)
        changed[position // 8] ^= 1 << position % 8
        archive.write_bytes(changed)
        folder = tmp_path / f"out{position}"
        try:
            unpack([archive], folder)
        except DataError:
            refused += 1
            assert not folder.exists()
        else:  # a bit of the header of gzip that is no content
            assert contents(folder) == members
    assert refused >= 58


def test_no_bit_of_a_zip_may_change_what_is_unpacked(tmp_path):
    members = pictures()
    whole, archive = zipped(members), tmp_path / "archive"
    for position in np.random.RandomState(1).randint(8 * len(whole), size=60):
        changed = bytearray(whole)
        changed[position // 8] ^= 1 << position % 8
        archive.write_bytes(changed)
        folder = tmp_path / f"out{position}"
        try:
            unpack([archive], folder)
        except DataError:
            continue
        assert sorted(contents(folder).values()) == sorted(members.values())


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_tar_cut_between_members_is_refused(tmp_path, compress):
    whole = tar(pictures(), mode="w")
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        starts = [info.offset for info in archive][1:]
    for start in starts:
        refused(tmp_path, compress(whole[:start]), "it ends early or is damaged")


def test_a_broken_header_is_not_the_end(tmp_path):
    whole = bytearray(tar(pictures(), mode="w"))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        third = archive.getmembers()[2].offset
    whole[third + 3] ^= 1
    refused(tmp_path, bytes(whole), "it ends early or is damaged, bad checksum")


@pytest.mark.parametrize("name", ["big.tgz", "big.zip"])
def test_a_small_archive_does_not_become_a_large_folder(tmp_path, name):
    archive = tmp_path / name
    zeros = bytes(1 << 20)
    if name.endswith("zip"):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as whole:
            for number in range(100):
                whole.writestr(f"{number}.jpg", zeros)
    else:
        archive.write_bytes(tar({f"{number}.jpg": zeros for number in range(100)}))
    assert archive.stat().st_size < 1 << 19
    with pytest.raises(DataError, match=rf"{name}: refused.* bytes, which is far more than its"):
        unpack([archive], tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_the_limit_can_be_set(tmp_path, monkeypatch):
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tar({"x": bytes(50_000)}))
    monkeypatch.setenv("CIRTORCH_MAX_UNPACKED", "40000")
    with pytest.raises(DataError, match="more than 40,000 bytes"):
        unpack([archive], tmp_path / "into")
    monkeypatch.setenv("CIRTORCH_MAX_UNPACKED", "90000")
    unpack([archive], tmp_path / "into")
    assert (tmp_path / "into/x").stat().st_size == 50_000
    monkeypatch.setenv("CIRTORCH_MAX_UNPACKED", "much")
    with pytest.raises(DataError, match="CIRTORCH_MAX_UNPACKED=much: not a number"):
        unpack([archive], tmp_path / "again")


def test_files_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("cirtorch.downloads.archive._FILES", 100)
    archive = tmp_path / "many"
    archive.write_bytes(tar({f"{number}": b"" for number in range(800)}))
    unpack([archive], tmp_path / "into")
    assert len(list((tmp_path / "into").iterdir())) == 800
    monkeypatch.setenv("CIRTORCH_MAX_UNPACKED", "1000000")
    with pytest.raises(DataError, match="refused.* more than 490 files"):
        unpack([archive], tmp_path / "again")


def header(**fields):
    info = tarfile.TarInfo("x")
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def raw(info, content=b""):
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512) + bytes(10240)


def test_files_with_holes_are_refused(tmp_path):
    hole = bytearray(raw(header(type=tarfile.GNUTYPE_SPARSE, size=0)))
    hole[483:495] = b"%011o\0" % (1 << 30)  # its real size
    hole[148:156] = b"%06o\0 " % tarfile.calc_chksums(hole[:512])[0]
    refused(tmp_path, bytes(hole), "is a file with holes")
    pax = header(pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 30)})
    content = pax.tobuf(tarfile.PAX_FORMAT) + bytes(10240)
    refused(tmp_path, content, "is a file with holes")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_header_does_not_fill_the_memory(tmp_path, kind):
    refused(tmp_path, raw(header(type=kind, size=1 << 32)), "a header of 4,294,967,296 bytes")


def test_sizes_below_zero_end(tmp_path):
    pax = header(pax_headers={"size": "-1024"}).tobuf(tarfile.PAX_FORMAT)
    refused(tmp_path, tar({"a": b"a"}, mode="w")[:1024] + pax + bytes(10240), "leads backwards")


def test_a_name_that_is_a_file_and_a_folder(tmp_path):
    refused(tmp_path, tar({"a": b"1", "a/b": b"2"}), "'b' is a file and a folder")
    refused(tmp_path, tar({"a/b": b"1", "a": b"2"}), "'a' is a file and a folder")


def test_a_full_disk_is_named_with_the_file(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    (tmp_path / "a.tgz").write_bytes(tar({"x": b"1"}))
    monkeypatch.setattr("cirtorch.downloads.archive.shutil.copyfileobj", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*\.into\.unpacking/x'"):
        unpack([tmp_path / "a.tgz"], tmp_path / "into")
    assert not (tmp_path / ".into.unpacking").exists()
