"""An index on disk: searched with filters as a full sort is, changed without a rebuild, refused."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from cirtorch.search.exact import Search
from cirtorch.search.index import Index, open_index
from cirtorch.utils.errors import DamagedFile, DataError
from tests.conftest import PROJECT

D = 6
ORIGIN = {"network": "net", "preprocessing": {"image_size": 64}, "dimensions": D}


def rows(count, seed=0):
    return np.random.RandomState(seed).standard_normal((count, D)).astype(np.float32)


def payload(number):
    return {
        "path": f"/images/{number}.jpg",
        "condition": [None, "day", "night"][number % 3],
        "place": f"p{number % 7}",
        "date": f"2015-06-{number % 30 + 1:02d} 10:00:00",
        "latitude": number / 10,
        "longitude": -number,
    }


@pytest.fixture
def built(tmp_path):
    """60 images in two files."""
    database = rows(60)
    index = Index.create(tmp_path / "index", **ORIGIN)
    for number, part in enumerate(np.array_split(database, 2)):
        path = tmp_path / f"{number}.npy"
        np.save(path, part)
        index.add_file(path, "shards", [payload(30 * number + i) for i in range(30)])
    index.finish()
    return open_index(tmp_path / "index"), database


def sorted_ids(database, query, ids):
    scores = database.astype(np.float64) @ query.astype(np.float64)
    return sorted(ids, key=lambda i: (-scores[i], i))


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        (None, lambda i: True),
        ({"condition": "night"}, lambda i: i % 3 == 2),
        ({"condition": ["day", "night"]}, lambda i: i % 3),
        ({"condition": {"not": "night"}}, lambda i: i % 3 != 2),
        ({"condition": {"not": ["day", "night"]}}, lambda i: i % 3 == 0),
        ({"place": "p3", "condition": "day"}, lambda i: i % 7 == 3 and i % 3 == 1),
        ({"path": "/images/7.jpg"}, lambda i: i == 7),
        ({"date": "2015-06-05"}, lambda i: i % 30 == 4),
        ({"date": {"from": "2015-06-29"}}, lambda i: i % 30 >= 28),
        ({"date": {"from": "2015-06-02", "to": "2015-06-03"}}, lambda i: i % 30 in (1, 2)),
        ({"date": {"to": "2015-06-03 09:59:59"}}, lambda i: i % 30 < 2),
        ({"latitude": {"from": 1, "to": 2}}, lambda i: 10 <= i <= 20),
        ({"longitude": {"to": -50}}, lambda i: i >= 50),
    ],
)
def test_what_meets_a_filter_comes_as_a_sort_gives_it(built, where, keep):
    index, database = built
    kept = [i for i in range(60) if keep(i)]
    queries = rows(4, seed=1)
    ids, scores = index.search(queries, 5, where)
    assert ids.dtype == np.int64 and scores.dtype == np.float32
    for query, found, score in zip(queries, ids.tolist(), scores, strict=True):
        assert found == sorted_ids(database, query, kept)[:5]
        np.testing.assert_allclose(score, database[found] @ query, rtol=1e-5)


def test_equal_scores_come_in_the_order_of_ids(tmp_path):
    index = Index.create(tmp_path, **ORIGIN)
    index.add(np.ones((9, D), np.float32), [payload(i) for i in range(9)])
    index.remove([0, 4])
    assert index.search(np.ones((1, D)), 5)[0].tolist() == [[1, 2, 3, 5, 6]]


def test_nothing_meets_a_filter(built):
    ids, scores = built[0].search(rows(3), 5, {"place": "elsewhere"})
    assert ids.shape == scores.shape == (3, 0)


def test_payloads(built):
    index, database = built
    assert index.payload([5, 1000]) == [
        {**payload(5), "date": "2015-06-06T10:00:00"},
        None,
    ]
    assert index.find("/images/5.jpg") == 5 and index.find("5.jpg") is None
    assert index.values("condition") == ["day", "night"]
    np.testing.assert_array_equal(index.rows_of([31, 5]), database[[31, 5]])


def test_adding_and_removing_is_seen_by_those_who_have_it_open(built, tmp_path):
    index, database = built
    other = open_index(tmp_path / "index")
    more = rows(5, seed=2)
    before = index.search(more, 1)[0]
    assert other.add(more[:2], [payload(i) for i in (60, 61)]).tolist() == [60, 61]
    assert other.add(more[2:], [payload(i) for i in (62, 63, 64)]).tolist() == [62, 63, 64]
    everything = np.concatenate([database, more])
    for query, found in zip(more, index.search(more, 65)[0].tolist(), strict=True):
        assert found == sorted_ids(everything, query, range(65))
    assert other.remove([60, 64, 64, 1000]) == 2
    assert len(index) == 63
    gone = index.search(more, 65)[0]
    assert gone.shape == (5, 63) and not {60, 64} & set(gone.ravel().tolist())
    assert index.payload([64]) == [None]
    assert index.add(more[:1], [payload(60)]).tolist() == [65]
    index.remove(range(60, 66))
    np.testing.assert_array_equal(index.search(more, 1)[0], before)


def test_names_that_are_not_unicode(built):
    name = os.fsdecode(b"/images/\xff.jpg")
    (number,) = built[0].add(rows(1), [{"path": name}])
    assert built[0].payload([number])[0]["path"] == name and built[0].find(name) == number


KILLED = """
import os, signal, sys
import numpy as np
from cirtorch.search import index as module
from cirtorch.search.catalogue import Catalogue
index = module.open_index(sys.argv[1])
put_part = Catalogue.put_part
def dies(self, *args):
    put_part(self, *args)
    os.kill(os.getpid(), signal.SIGKILL)
Catalogue.put_part = dies
index.add(np.full((3, 6), 9, np.float32), [{"path": f"/new/{i}"} for i in range(3)])
"""


def test_an_addition_that_is_killed_is_no_addition(built, tmp_path):
    index, _ = built
    index.add(rows(1, seed=3), [payload(60)])
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "index")]
    assert subprocess.run(arguments, cwd=PROJECT, check=False).returncode == -signal.SIGKILL
    again = open_index(tmp_path / "index")
    assert len(again) == 61 and again.find("/new/0") is None
    more = rows(2, seed=4)
    assert again.add(more, [payload(61), payload(62)]).tolist() == [61, 62]
    np.testing.assert_array_equal(again.rows_of([60, 61, 62]), [*rows(1, seed=3), *more])


def test_what_cannot_be_added(built):
    index, _ = built
    for descriptors, payloads, message in (
        (rows(1), [payload(3)], "holds /images/3.jpg already; remove it first"),
        (rows(2), [{"path": "x"}, {"path": "x"}], "holds x already"),
        (rows(2), [{"path": "x"}], r"1 images for descriptors \[2, 6\]"),
        (rows(1)[:, :3], [{"path": "x"}], "of 6 dimensions, these have 3"),
        (rows(1) * np.nan, [{"path": "x"}], "NaN or infinity"),
        (rows(1), [{"condition": "day"}], "without a path"),
        (rows(1), [{"path": "x", "latitude": 91}], "latitude is a number .* got 91"),
        (rows(1), [{"path": "x", "date": "yesterday"}], "a date is YYYY-MM-DD.* 'yesterday'"),
        (rows(1), [{"path": "x", "conditon": "day"}], "Did you mean 'condition'"),
    ):
        with pytest.raises(DataError, match=message):
            index.add(descriptors, payloads)
    assert len(index) == 60 and index.find("x") is None
    assert index.add(rows(0), []).tolist() == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"conditions": "day"}, "no 'conditions'; known are path, .* Did you mean 'condition'"),
        ({"id OR 1": "day"}, "have no 'id OR 1'"),
        ("night", "expected a mapping"),
        ({"condition": {"from": "a"}}, "takes a value, several, or {not: ...}"),
        ({"condition": []}, "a value or a list of values"),
        ({"condition": None}, "a value or a list of values"),
        ({"condition": ["x"] * 1001}, "at most 1000 values, got 1001"),
        ({"date": {"before": 3}}, "takes a value or {from"),
        ({"date": {"from": "June"}}, "a date is YYYY"),
        ({"latitude": {"from": "north"}}, "latitude is a number"),
    ],
)
def test_filters_of_another_form(built, where, message):
    with pytest.raises(DataError, match=message):
        built[0].search(rows(1), 1, where)


def test_other_networks_are_refused(built, tmp_path):
    index, _ = built
    index.require("net", {"image_size": 64, "upright": True})
    with pytest.raises(DataError, match="of another network, or of the same with another whit"):
        index.require("other")
    with pytest.raises(DataError, match="were read with image_size 64, these with 32"):
        index.require("net", {"image_size": 32})
    with pytest.raises(DataError, match="of another network"):
        Index.create(tmp_path / "index", **{**ORIGIN, "network": "other"})
    with pytest.raises(DataError, match=r"\[1, 2\] in a database of 6 dim"):
        index.search(np.ones((1, 2)), 1)


def test_folders_that_cannot_be_opened(built, tmp_path):
    with pytest.raises(DataError, match="nothing: holds no index"):
        open_index(tmp_path / "nothing")
    Index.create(tmp_path / "half", **ORIGIN)
    with pytest.raises(DataError, match="half: the building of this index was stopped"):
        open_index(tmp_path / "half")
    empty = Index.create(tmp_path / "empty", **ORIGIN)
    empty.finish()
    with pytest.raises(DataError, match="empty: this index is empty"):
        open_index(tmp_path / "empty").search(rows(1), 1)


def test_damaged_files(built, tmp_path):
    built[0].add(rows(2), [payload(60), payload(61)])
    (added,) = (tmp_path / "index").glob("added-*.f32")
    content = added.read_bytes()
    added.write_bytes(content[:-1])
    with pytest.raises(DamagedFile, match="is gone or cut short; the index needs 48 bytes"):
        open_index(tmp_path / "index").search(rows(1), 1)
    added.write_bytes(content)
    np.save(tmp_path / "1.npy", rows(30, seed=9))
    with pytest.raises(DataError, match=r"not what it was \(changed: .*1.npy\); perform"):
        open_index(tmp_path / "index").search(rows(1), 1)
    (tmp_path / "1.npy").unlink()
    with pytest.raises(DataError, match=r"missing: .*1.npy"):
        open_index(tmp_path / "index").search(rows(1), 1)
    built[0].catalogue.close()
    database = tmp_path / "index" / "index.sqlite"
    whole = database.read_bytes()
    for damaged in (b"hello", whole[: len(whole) // 2], b"x" * len(whole)):
        database.write_bytes(damaged)
        with pytest.raises(DamagedFile, match="index.sqlite: is damaged"):
            open_index(tmp_path / "index").search(rows(1), 1)


def test_shards_that_were_copied_are_the_same(built, tmp_path):
    content = (tmp_path / "0.npy").read_bytes()
    (tmp_path / "0.npy").unlink()
    (tmp_path / "0.npy").write_bytes(content)
    ids, _ = open_index(tmp_path / "index").search(built[1][:1], 3)
    assert ids.tolist() == Search(built[1]).search(built[1][:1], 3)[1].tolist()
