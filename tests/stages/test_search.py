"""Step search: rankings and a table from two folders of shards; what cannot be compared."""

import csv
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cirtorch.search.index import open_index
from cirtorch.search.shards import open_shards
from mdir.artifacts import collecting
from mdir.errors import USER_ERRORS
from mdir.report.galleries import read_rankings
from mdir.stages.index import index
from mdir.stages.report import report
from mdir.stages.search import search
from tests.cirtorch.world import draw

DATABASE = {"a.jpg": [1, 0], "b.jpg": [0, 1], "sub/c.jpg": [0, 1], "d.jpg": [0.6, 0.8]}
QUERIES = {"/q/x/1.jpg": [0, 1], "/q/2.jpg": [1, 0]}


def write_shards(folder, vectors, network="net", images="/images"):
    """Two shards as the step extract writes them."""
    folder.mkdir(exist_ok=True)
    names, shards = list(vectors), []
    for number, part in enumerate((names[:1], names[1:])):
        shards.append({"vectors": f"{number}.npy", "names": f"{number}.json"})
        rows = np.array([vectors[name] for name in part], dtype=np.float32)
        np.save(folder / f"{number}.npy", rows)
        (folder / f"{number}.json").write_text(json.dumps({"names": part}))
    index = {"images": images, "network": network, "shards": shards}
    (folder / "shards.json").write_text(json.dumps(index))


@pytest.fixture
def params(root):
    write_shards(root / "db", DATABASE)
    write_shards(root / "q", QUERIES)
    return {"database": "db", "queries": "q", "directory": "out", "count": 3}


@pytest.mark.parametrize("engine", ["exact", "faiss"])
def test_ranked_by_inner_product_equal_ones_in_the_order_of_the_database(params, root, engine):
    if engine == "faiss":
        pytest.importorskip("faiss")
    with collecting() as told:
        metadata, *_ = search({**params, "engine": engine})
    out = root / "out"
    assert metadata == {
        "rankings": str(out / "rankings.json"),
        "table": str(out / "found.csv"),
        "run": str(out / "run.txt"),
        "pairs": str(out / "pairs.txt"),
        "pairs_dir": "/",
        "queries": 2,
        "images": 4,
        "dimensions": 2,
    }
    assert told.inputs == [str(root / "db"), str(root / "q")]
    assert told.outputs == [metadata[key] for key in ("rankings", "table", "run", "pairs")]
    with open(metadata["table"], encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["query", "place", "image", "score"]
    assert [row[:3] for row in rows] == [
        ["/q/x/1.jpg", "1", "b.jpg"],
        ["/q/x/1.jpg", "2", "sub/c.jpg"],
        ["/q/x/1.jpg", "3", "d.jpg"],
        ["/q/2.jpg", "1", "a.jpg"],
        ["/q/2.jpg", "2", "d.jpg"],
        ["/q/2.jpg", "3", "b.jpg"],
    ]
    np.testing.assert_allclose([float(row[3]) for row in rows], [1, 1, 0.8, 1, 0.6, 0], atol=1e-7)


def test_runs_and_pairs_for_others(params, root, capsys):
    write_shards(root / "q", {"/q/x 1.jpg": [0, 1], "/q/2.jpg": [1, 0]})
    search(params)
    run = [line.split(" ") for line in (root / "out/run.txt").read_text().splitlines()]
    assert [line[:4] for line in run[:3]] == [
        ["/q/x%201.jpg", "Q0", "b.jpg", "1"],
        ["/q/x%201.jpg", "Q0", "sub/c.jpg", "2"],
        ["/q/x%201.jpg", "Q0", "d.jpg", "3"],
    ]
    scores = [np.float32(line[4]) for line in run[:3]]
    assert scores[0] == 1 and scores[1] == np.nextafter(np.float32(1), np.float32(0))
    assert scores[2] == np.float32(0.8)
    pairs = (root / "out/pairs.txt").read_text().splitlines()
    assert pairs[1] == "q/x%201.jpg images/sub/c.jpg"
    assert "1 names are written with %20" in capsys.readouterr().err


def test_shards_that_are_replaced_while_they_are_read_are_not_taken_for_known(
    params, root, monkeypatch
):
    def opened(folder):
        found = open_shards(folder)
        if folder == str(root / "db"):
            (root / "db/0.json").write_text('{"names": ["other.jpg"]}')
        return found

    monkeypatch.setattr("mdir.stages.extract.open_shards", opened)
    with collecting() as told:
        search(params)
    seen = told.fingerprints()[str(root / "db")]
    assert set(seen["files"]) - set(seen["sha256"]) == {"0.json"}


def test_rankings_name_images_and_their_files(params, root):
    search(params)
    first, second = read_rankings(root / "out" / "rankings.json")["queries"]
    assert first["name"] == "x/1.jpg" and second["name"] == "2.jpg"
    assert first["path"] == "/q/x/1.jpg" and first["ap"] is None and first["box"] is None
    assert first["found"][1] == {"name": "sub/c.jpg", "path": "/images/sub/c.jpg", "right": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda db: write_shards(db, DATABASE, "other"), r"of different networks .* same network"),
        (
            lambda db: write_shards(db, {"a": [1, 0, 0], "b": [1, 0, 0]}, "other"),
            r"/db \(3 dimensions\) and in .*/q \(2 dimensions\) are of different networks",
        ),
        (lambda db: write_shards(db, {k: [1, 0, 0] for k in DATABASE}), r"2\] .* 3 dimensions"),
        (lambda db: write_shards(db, DATABASE, None), "not tell which network .* --force"),
        (
            lambda db: write_shards(db, {**DATABASE, "d.jpg": [np.nan, 0]}),
            "the descriptor of d.jpg in .*/db holds NaN or infinity",
        ),
        (
            lambda db: write_shards(db.parent / "q", {**QUERIES, "/q/2.jpg": [0, np.inf]}),
            "the descriptor of /q/2.jpg in .*/q holds NaN or infinity",
        ),
        (lambda db: write_shards(db, {"a": [1, 0], "b": [0, 1]}), "count 3 .* of 2 images in .*db"),
        (lambda db: (db / "shards.json").unlink(), "db: holds no shards.json"),
        (
            lambda db: (db / "1.json").write_text(json.dumps({"names": ["b.jpg", "x", "x"]})),
            "holds 2 descriptors named 'x'; its list",
        ),
    ],
)
def test_what_cannot_be_searched_is_told(params, root, change, message):
    change(root / "db")
    with pytest.raises(USER_ERRORS, match=message):
        search(params)
    assert not (root / "out").exists()


def test_a_missing_folder(params):
    with pytest.raises(USER_ERRORS, match="nowhere: holds no shards.json"):
        search({**params, "queries": "nowhere"})


def test_pages_show_what_was_found_without_a_judgement(params, root):
    write_shards(root / "db", DATABASE, images=str(root / "images"))
    write_shards(root / "q", {"1.jpg": [0, 1], "2.jpg": [1, 0]}, images=str(root / "images"))
    for name in (*DATABASE, "1.jpg", "2.jpg"):
        draw(root / "images" / name, 0)
    metadata, *_ = search(params)
    page, *_ = report({"title": "T", "directory": "page", "galleries": {"G": metadata["rankings"]}})
    with open(page["page"], encoding="utf-8") as file:
        text = file.read()
    assert "1. b.jpg" in text and "3. d.jpg" in text and "average precision" not in text
    assert 'class="right"' not in text and 'class="wrong"' not in text


def indexed(root, **options):
    (root / "table.csv").write_text(
        "path,condition,place\n/images/a.jpg,day,x\n/images/b.jpg,night,x\n/images/d.jpg,day,y\n"
    )
    index({"database": "db", "directory": "index", "payload": "table.csv", **options})


def test_an_index_is_searched_as_the_shards_are(params, root):
    (plain,) = search(params)
    files = [Path(plain[key]).read_text() for key in ("table", "run", "pairs")]
    indexed(root)
    (metadata,) = search({**params, "database": "index"})
    assert metadata == plain
    table, run, pairs = (Path(metadata[key]).read_text() for key in ("table", "run", "pairs"))
    assert table.replace("/images/", "") == files[0] and pairs == files[2]
    assert run.replace("/images/", "") == files[1]
    first, _ = read_rankings(root / "out" / "rankings.json")["queries"]
    assert first["found"][1] == {"name": "sub/c.jpg", "path": "/images/sub/c.jpg", "right": None}


def test_filters_of_an_index(params, root, capsys):
    indexed(root)
    search({**params, "database": "index", "where": {"condition": {"not": "night"}}})
    rows = (root / "out/found.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows[1:4]] == [
        "/images/sub/c.jpg", "/images/d.jpg", "/images/a.jpg"
    ]  # fmt: skip
    search({**params, "database": "index", "where": {"place": "x"}})
    assert "2 images of" in capsys.readouterr().err
    assert len((root / "out/found.csv").read_text().splitlines()) == 5


def test_what_an_index_cannot_do_is_told(params, root):
    indexed(root)
    for change, message in (
        ({"where": {"place": "z"}}, "none of the 4 images of .* meets {'place': 'z'}"),
        ({"where": {"plaice": "z"}}, "Did you mean 'place'"),
        ({"rerank": {"query_expansion": {"k": 1}}}, "is an index, .* re-ranking takes"),
        ({"engine": "faiss"}, "which has an engine of its own"),
        ({"count": 5}, "count 5 is larger than the database of 4 images"),
        ({"database": "db", "where": {"place": "x"}}, "where needs an index"),
    ):
        with pytest.raises(USER_ERRORS, match=message):
            search({**params, "database": "index", **change})
    with closing(open_index(root / "index")) as opened:
        opened.remove([number for number, _ in opened.paths()])
    with pytest.raises(USER_ERRORS, match="this index is empty; nothing can be found in it"):
        search({**params, "database": "index"})
    write_shards(root / "q", QUERIES, network="other")
    with pytest.raises(USER_ERRORS, match="index is of another network, or of the same"):
        search({**params, "database": "index"})
