"""File readers: formats, packing, selections and errors."""

import gzip
import lzma
import pickle

import pytest

from cirtorch.utils.errors import DataError
from mdir.data.table_files import initialize_file_reader

COLUMNS = {"id": ["a", "b"], "list": ['"[1"', [2]], "x": [None, "{bad}"]}


def read(path, **selector):
    with initialize_file_reader(str(path), **selector) as reader:
        return reader.get()


def naive_rows(rows, slice=0, partitions=1, limit=None):
    kept = []
    for number, row in enumerate(rows):
        if limit is not None and number >= limit:
            break
        if number % partitions == slice:
            kept.append(row)
    return kept


@pytest.mark.parametrize("pack", [None, gzip, lzma])
def test_table_packed_or_not(tmp_path, pack):
    text = 'id\tlist\tx\na\t"[1"\t\nb\t[2]\t{bad}\n'
    suffix = {None: "", gzip: ".gz", lzma: ".xz"}[pack]
    path = tmp_path / f"t.tsv{suffix}"
    path.write_bytes(pack.compress(text.encode()) if pack else text.encode())
    assert read(path) == COLUMNS


@pytest.mark.parametrize(
    "selector",
    [{}, {"limit": 5}, {"slice": 2, "partitions": 3}, {"slice": 1, "partitions": 4, "limit": 7}],
)
@pytest.mark.parametrize("kind", ["lst", "csv", "pkl"])
def test_selections_equal_a_plain_loop(tmp_path, kind, selector):
    items = [f"i{n}" for n in range(11)]
    path = tmp_path / f"t.{kind}"
    if kind == "pkl":
        path.write_bytes(pickle.dumps({"item": items}))
    else:
        path.write_text("\n".join((["item"] if kind == "csv" else []) + items) + "\n")
    assert read(path, **selector) == {"item": naive_rows(items, **selector)}


def test_several_lists_in_turn(tmp_path):
    for part in "ab":
        (tmp_path / f"names_{part}.lst").write_text(f"{part}1\n{part}2\n")
    assert read(tmp_path / "names_[a|b].lst") == {"item": ["a1", "a2", "b1", "b2"]}
    assert read(tmp_path / "names_[b].lst", limit=1) == {"item": ["b1"]}


def test_keys_select_and_order(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert list(read(tmp_path / "t.csv", keys=["b", "a"])) == ["b", "a"]
    with pytest.raises(DataError, match="no column 'c'; there are a, b"):
        read(tmp_path / "t.csv", keys=["c"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"", "unknown suffix"),
        ("absent.csv", None, "No such file"),
        ("t.csv", b"a,b\n1\n", "row 1 has 1 cells"),
        ("t.csv.gz", b"plain", "t.csv.gz"),
        ("t.csv", b"a\ncaf\xe9\n", "t.csv: is not a text in UTF-8"),
        ("t.lst", b"caf\xe9\n", "t.lst: is not a text in UTF-8"),
        ("t.pkl", b"cos\nsystem\n(S'true'\ntR.", "refuses"),
        ("t.pkl", pickle.dumps([1]), "mapping of columns"),
    ],
)
def test_errors_name_the_file(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(path)


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "t.h5"
    with h5py.File(path, "w") as file:
        file.attrs["header"] = ["name", "size"]
        file["name"] = [b"a", b"b", b"c"]
        file["size"] = [1, 2, 3]
    assert read(path, limit=2) == {"name": ["a", "b"], "size": [1, 2]}


def test_empty_table(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    assert read(tmp_path / "t.csv") == {"a": [], "b": []}
