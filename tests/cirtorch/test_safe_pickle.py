"""Pickles that ask for gigabytes, or changed on the disk."""

import gzip
import pickle
import struct

import numpy as np
import pytest
import torch

from cirtorch.search.shards import open_shards
from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.memory import bounded_memory
from cirtorch.utils.safe_pickle import dump_pickle, load_pickle
from cirtorch.utils.weight_files import load_weights, load_whitening
from mdir.data.image_files import open_image

WHITENING = {"m": np.ones((3, 1)), "P": np.eye(3)}
BOMBS = {
    "memo": b"\x80\x04Kr" + b"r" + (0x7FFFFFF).to_bytes(4, "little") + b".",
    "bytearray": b"c__builtin__\nbytearray\n(I3000000000\ntR.",
    "array": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I9000000000\ntS'b'\ntR.",
    "doubling": b"\x80\x03C\x08abcdefgh"
    + 28 * b"q\x000c_codecs\nencode\nh\x00X\x03\x00\x00\x00hex\x86R"
    + b".",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_few_bytes_do_not_fill_the_memory(tmp_path, kind):
    path = tmp_path / "bomb.pkl"
    path.write_bytes(BOMBS[kind])
    for load in (load_pickle, load_whitening):
        with pytest.raises(DataError, match=r"bomb\.pkl: "):
            load(path)


def test_a_torch_file_that_asks_for_gigabytes(tmp_path):
    path = tmp_path / "bomb.pth"
    for content in (
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\xd0\xed\x90\x02\x85R.",
        b"\x80\x02cnumpy\nndarray\n\x8a\x05\x00\xd0\xed\x90\x02\x85\x85R.",
    ):
        with torch.serialization._open_zipfile_writer(str(path)) as file:
            file.write_record("data.pkl", content, len(content))
        with pytest.raises(DataError, match=r"bomb\.pth: "):
            load_weights(path)


def test_the_bound_is_taken_back():
    with pytest.raises(MemoryError), bounded_memory(0):
        bytearray(1 << 30)
    assert len(bytearray(1 << 29)) == 1 << 29


def array_header(shape):
    fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(fields) + 1) + fields + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        array_header((10**6, 10**6)) + bytes(64),
        array_header((-5, 3)),
        array_header("(3, '4')"),
        array_header("(((((")[:-3],
        array_header((2, 2)) + bytes(3),
        pickle.dumps([1]),
        b"",
    ],
)
def test_headers_of_arrays(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    (tmp_path / "a.npy.gz").write_bytes(gzip.compress(content))
    (tmp_path / "shards.json").write_text('{"shards": [{"vectors": "a.npy", "names": "n.json"}]}')
    (tmp_path / "n.json").write_text('{"names": []}')
    for name in ("a.npy", "a.npy.gz"):
        with pytest.raises(DataError, match=rf"{name}: cannot be read as an array \("):
            open_image(str(tmp_path / name))
    with pytest.raises(DataError, match=r"a\.npy: "):
        open_shards(tmp_path)


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"shards": [5]}', '{"shards": []}'])
def test_indexes_of_shards(tmp_path, index):
    (tmp_path / "shards.json").write_text(index)
    with pytest.raises(DataError, match=r"shards\.json: "):
        open_shards(tmp_path)


def test_pickles_of_ours_carry_a_digest(tmp_path):
    content, path = dump_pickle(WHITENING), tmp_path / "w.pkl"
    assert pickle.loads(content)["P"].tolist() == np.eye(3).tolist()
    path.write_bytes(content)
    np.testing.assert_array_equal(load_whitening(path)[1], np.eye(3))
    end = 8 * (len(content) - 73)
    for position in np.random.RandomState(0).randint(end, size=200):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(DamagedFile, match=r"w\.pkl: is damaged"):
            load_whitening(path)
