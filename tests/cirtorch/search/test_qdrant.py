"""The engine qdrant, in this process and with a server that a test stands in for."""

import http.server
import json
import threading

import numpy as np
import pytest

from cirtorch.search import qdrant as module
from cirtorch.search.index import kind_of, open_index
from cirtorch.utils.errors import DataError
from tests.cirtorch.search.test_index import ORIGIN, payload, rows, sorted_ids

pytest.importorskip("qdrant_client")


def create(folder, **more):
    return kind_of("qdrant").create(folder / "index", **ORIGIN, engine="qdrant", **more)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """60 images in two files, sent by batches of 20."""
    monkeypatch.setattr(module, "_POINTS_AT_ONCE", 20)
    database = rows(60)
    index = create(tmp_path)
    for number, part in enumerate(np.array_split(database, 2)):
        path = tmp_path / f"{number}.npy"
        np.save(path, part)
        index.add_file(path, "shards", [payload(30 * number + i) for i in range(30)])
    index.finish()
    index.close()
    index = open_index(tmp_path / "index")
    yield index, database
    index.close()


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        (None, lambda i: True),
        ({"condition": ["day", "night"], "place": "p3"}, lambda i: i % 3 and i % 7 == 3),
        ({"condition": {"not": "night"}}, lambda i: i % 3 != 2),
        ({"date": "2015-06-05"}, lambda i: i % 30 == 4),
        ({"date": {"from": "2015-06-02", "to": "2015-06-03"}}, lambda i: i % 30 in (1, 2)),
        ({"latitude": {"from": 1, "to": 2}, "longitude": {"to": -15}}, lambda i: 15 <= i <= 20),
        ({"place": "elsewhere"}, lambda i: False),
    ],
)
def test_it_finds_what_a_sort_gives(built, where, keep):
    index, database = built
    kept = [i for i in range(60) if keep(i)]
    queries = rows(3, seed=1)
    ids, scores = index.search(queries, 5, where)
    assert ids.dtype == np.int64 and scores.dtype == np.float32
    for query, found, score in zip(queries, ids.tolist(), scores, strict=True):
        assert found == sorted_ids(database, query, kept)[:5]
        np.testing.assert_allclose(score, database[found] @ query, rtol=1e-5)


def test_payloads_additions_and_removals(built):
    index, database = built
    assert len(index) == 60 and index.about.engine == "qdrant"
    assert index.payload([5, 1000]) == [{**payload(5), "date": "2015-06-06T10:00:00"}, None]
    assert index.find("/images/5.jpg") == 5 and index.find("5.jpg") is None
    assert index.values("condition") == ["day", "night"]
    assert [number for number, _ in index.paths()] == list(range(60))
    np.testing.assert_array_equal(index.rows_of([31, 5]), database[[31, 5]])
    copies = np.repeat(database[:1], 3, axis=0)
    assert index.add(copies, [payload(i) for i in (60, 61, 62)]).tolist() == [60, 61, 62]
    assert index.search(database[:1], 3)[0].tolist() == [[0, 60, 61]]
    assert index.remove([0, 60, 60, 1000]) == 2
    assert index.search(database[:1], 2)[0].tolist() == [[61, 62]]
    for path, message in (("/images/61.jpg", "holds /images/61.jpg already"),
                          ("/\udcff", "takes no path that is not UTF-8")):  # fmt: skip
        with pytest.raises(DataError, match=message):
            index.add(copies[:2], [{"path": "/new"}, {"path": path}])
    assert index.find("/new") is None and len(index) == 61
    assert index.add(copies[:1], [{"path": "/new"}]).tolist() == [63]


class Killed(BaseException):
    pass


def test_a_killed_upload_goes_on_and_shows_nothing_before_it_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_POINTS_AT_ONCE", 10)
    database, index = rows(40), create(tmp_path)
    np.save(tmp_path / "0.npy", database[:10])
    np.save(tmp_path / "1.npy", database[10:])
    index.add_file(tmp_path / "0.npy", "shards", [payload(i) for i in range(10)])
    index.finish()
    put, sent = module.QdrantIndex._put, []

    def dies(self, **values):
        put(self, **values)
        if values.get("pending", {}).get("sent") == 20:
            raise Killed

    monkeypatch.setattr(module.QdrantIndex, "_put", dies)
    with pytest.raises(Killed):
        index.add_file(tmp_path / "1.npy", "shards", [payload(i) for i in range(10, 40)])
    index.close()
    monkeypatch.setattr(module.QdrantIndex, "_put", put)
    send = module.QdrantIndex._send
    monkeypatch.setattr(
        module.QdrantIndex, "_send", lambda *args: (sent.append(args[1]), send(*args))
    )
    index = open_index(tmp_path / "index")
    assert len(index) == 10 and index.find("/images/15.jpg") is None
    assert index.search(database[15:16], 40)[0].max() == 9
    index.add_file(tmp_path / "1.npy", "shards", [payload(i) for i in range(10, 40)])
    assert sent == [30] and len(index) == 40
    assert index.search(database[:1], 40)[0].tolist() == [
        sorted_ids(database, database[0], range(40))
    ]
    index.close()


def test_what_an_addition_left_that_was_killed_goes(built, monkeypatch):
    index, _ = built
    put = module.QdrantIndex._put

    def dies(self, **values):
        put(self, **values)
        if values.get("pending", {}).get("sent"):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module.QdrantIndex, "_put", dies)
        with pytest.raises(Killed):
            index.add(rows(3), [payload(i) for i in (60, 61, 62)])
    assert len(index) == 60
    assert index.add(rows(1), [payload(60)]).tolist() == [60]
    assert len(index) == 61 and index.payload([61, 62]) == [None, None]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its lock file
def test_an_empty_collection_and_one_that_is_open_elsewhere(tmp_path):
    index = create(tmp_path)
    with pytest.raises(DataError, match="this index is empty"):
        index.search(rows(1), 1)
    with pytest.raises(DataError, match="cannot be opened"):
        open_index(tmp_path / "index", finished=False)
    index.drop()
    with pytest.raises(DataError, match="holds no index"):
        open_index(tmp_path / "index")


def test_a_server_that_refuses_or_is_not_there(tmp_path, monkeypatch):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("api-key"))
            self.send_response(403)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "no"}).encode())

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(DataError, match=f"{url}: the Qdrant server .* is QDRANT_API_KEY set"):
        create(tmp_path, url=url)
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=f"{url}: the Qdrant server did not answer"):
        create(tmp_path, url=url)
    assert asked == [None]
