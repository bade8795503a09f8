"""File readers: formats, packing, selections and errors."""

import csv
import gzip
import io
import lzma
import pickle

import pytest

from cirtorch.utils.errors import DataError
from mdir.data.table_files import csv_text, initialize_file_reader

COLUMNS = {"id": ["a", "b"], "list": ['"[1"', [2]], "x": [None, "{bad}"]}


def read(path, **selector):
    with initialize_file_reader(str(path), **selector) as reader:
        return reader.get()


def naive_rows(rows, slice=0, partitions=1, limit=None):
    kept = []
    for number, row in enumerate(rows):
        if limit and number >= limit:
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
    [
        {},
        {"limit": 0},
        {"limit": 5},
        {"slice": 2, "partitions": 3},
        {"slice": 1, "partitions": 4, "limit": 7},
    ],
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


def test_several_lists_are_columns(tmp_path):
    for part in "ab":
        (tmp_path / f"names_{part}.lst").write_text(f"{part}1\n{part}2\n{part}3\n")
    (tmp_path / "names_c.lst").write_text("c1\n")
    path = tmp_path / "names_[a|b].lst"
    assert read(path) == {"a": ["a1", "a2", "a3"], "b": ["b1", "b2", "b3"]}
    assert read(path, keys=["b"], slice=1, partitions=2) == {"b": ["b2"]}
    assert read(tmp_path / "names_[b].lst", limit=1) == {"b": ["b1"]}
    with pytest.raises(DataError, match=r"not equally long \(a 3, c 1 lines\)"):
        read(tmp_path / "names_[a|c].lst")


def test_surplus_cells_are_left_out_with_a_warning(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("name , score\nu,1,extra\nv,2\n")
    assert read(tmp_path / "t.csv", keys=["score"]) == {"score": ["1", "2"]}
    assert capsys.readouterr().err == (
        f"Warning: {tmp_path}/t.csv: rows with more cells than the header: 1 (row 1); the surplus "
        "is left out\n"
    )
    assert read(tmp_path / "t.csv", slice=1, partitions=2) == {"name": ["v"], "score": ["2"]}
    assert capsys.readouterr().err == ""


def test_a_short_row_matters_where_a_wanted_cell_is_missing(tmp_path):
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n3\n")
    assert read(tmp_path / "t.tsv", keys=["a"]) == {"a": ["1", "3"]}
    for keys in (["a", "b"], None):
        with pytest.raises(DataError, match=r"t\.tsv: row 2 has 1 cells, the header 2; it lacks b"):
            read(tmp_path / "t.tsv", keys=keys)


def test_a_column_that_comes_twice(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,a,,\n1,2,3,,\n")
    assert read(tmp_path / "t.csv", keys=["b"]) == {"b": ["2"]}
    with pytest.raises(DataError, match="names the column 'a' twice"):
        read(tmp_path / "t.csv", keys=["a"])


@pytest.mark.parametrize("name", ["t.csv", "t.lst"])
def test_marks_and_spaces_of_editors(tmp_path, name):
    header = "item \r\n" if name == "t.csv" else ""
    (tmp_path / name).write_bytes(f"\ufeff{header}a.png \r\nb c.png  \r\n".encode())
    assert read(tmp_path / name) == {"item": ["a.png", "b c.png"]}


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


def test_a_spreadsheet_runs_no_cell():
    cells = ["=1+1", "+cmd|'/c calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-a.jpg"]
    found = list(csv.reader(io.StringIO(csv_text([cells]), newline="")))
    assert found == [["'" + cell for cell in cells]]
    harmless = ["a=b", "-", "-1.5", "+2e-4", "-inf", "", "x.jpg", "a,b", '"q"']
    assert list(csv.reader(io.StringIO(csv_text([harmless])))) == [harmless]
    assert csv_text([["n", "x"], [1, -0.5], [None, -2]]) == "n,x\n1,-0.5\n,-2\n"
