"""The server over the engines ``ivfpq``, searched by its lists, and ``qdrant``, in this process."""

import json
import threading

import faiss
import numpy as np
import pytest

from cirtorch.search import index as index_module
from cirtorch.search import quantize as quantize_module
from cirtorch.search.index import kind_of
from cirtorch.search.shards import open_shards
from mdir.serve.indexed import Indexed
from mdir.serve.searching import open_searching
from tests.serve.conftest import CONDITIONS, EXTRACTION, LIMITS, Server, jpeg

OTHERS = 300  # none is where its path says


def trained(rows, ids, _code_bytes, _count):
    """A quantizer in no time: a random rotation, few lists, small codes."""
    index = faiss.index_factory(rows.shape[1], "RR512,IVF4,PQ4x4", faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:][ids])
    return index


@pytest.fixture(scope="module", params=["ivfpq", "qdrant"])
def engine(request, world):
    """The pictures of the world among many others, in an index of an engine, served."""
    if request.param == "qdrant":
        pytest.importorskip("qdrant_client")
    shards, rng = open_shards(world.root / "vectors"), np.random.default_rng(0)
    rows = rng.standard_normal((OTHERS, shards.rows.shape[1])).astype(np.float32)
    others = -np.abs(rows)  # far from pictures, whose descriptors are positive
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    told = [
        {"path": f"{shards.images}/{name}", "condition": condition}
        for name, condition in zip(shards.names, CONDITIONS, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize_module, "FEWEST", OTHERS // 2)
        patch.setattr(quantize_module, "train", trained)
        patch.setattr(index_module, "_EXACT_BELOW", 3)
        index = kind_of(request.param).create(
            world.root / request.param,
            engine=request.param,
            network=shards.network,
            preprocessing=shards.preprocessing,
            dimensions=shards.rows.shape[1],
        )
        index.add(shards.rows[:], told)
        index.add(others, [{"path": f"/far/{n}.jpg", "condition": "far"} for n in range(OTHERS)])
        if request.param == "ivfpq":
            quantize_module.quantize(index, 0.9, 4, tell=lambda _: None)
        index.finish()
        index.close()
        indexed = Indexed("index", str(world.root / request.param), EXTRACTION)
        searching = open_searching(indexed, world.searching.decoders, {})
        if request.param == "ivfpq":
            assert searching.index.about.details["lists"] == 4
        server = Server(searching, LIMITS)
        yield server
        server.close()
        searching.index.close()


def found(answer):
    assert answer.status_code == 200, answer.text
    return {one["id"]: one["score"] for one in answer.json()["results"]}


def test_pictures_are_found_as_by_exact_search(world, server, engine):
    for number in range(len(CONDITIONS)):
        data = (world.root / f"images/place{number // 2}/{number}.jpg").read_bytes()
        expected = found(server.post("/search", data, k=7))
        assert found(engine.post("/search", data, k=7)) == pytest.approx(expected, abs=1e-5)
        expected.pop(number)
        assert found(engine.post("/search", id=number, k=6)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("night", {1, 4}), (["night", "dusk", "day"], {0, 1, 2, 3, 4, 5}), ("fog", set())],
)
def test_filters(engine, condition, expected):
    where = json.dumps({"condition": condition})
    assert set(found(engine.post("/search", jpeg(), filter=where))) == expected


def test_pictures_are_added_while_others_search(engine):
    before = engine.get("/health").json()
    assert before["conditions"] == ["day", "dusk", "far", "night"]
    pictures, answers = [jpeg(number, (90, 60)) for number in range(500, 505)], []

    def search():
        while not ended.is_set():
            answers.append(engine.post("/search", jpeg(7), k=5).status_code)

    ended = threading.Event()
    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number, picture in enumerate(pictures, before["images"]):
            added = engine.post("/images", picture, condition="new")
            assert (added.status_code, added.json()["id"]) == (201, number), added.text
            assert next(iter(found(engine.post("/search", picture, k=1)))) == number
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {200}
    assert engine.get("/health").json()["images"] == before["images"] + len(pictures)
    assert engine.post("/images", pictures[0]).status_code == 409
    assert engine.get(f"/image/{before['images']}?size=small").status_code == 200
