"""Inverted lists: the recall that is told, filters, additions, kills, damage, too few images."""

import shutil

import faiss.contrib.torch_utils  # noqa: F401, replaces methods; so does what imports it, pytorch-metric-learning
import numpy as np
import pytest

from cirtorch.search import index as index_module
from cirtorch.search import quantize as quantize_module
from cirtorch.search import tuning
from cirtorch.search.exact import Search
from cirtorch.search.index import Index, open_index
from cirtorch.search.ivfpq import FEWEST, split
from cirtorch.search.quantize import quantize
from cirtorch.utils.errors import DamagedFile

N, D = 10_800, 8
ORIGIN = {"network": "net", "preprocessing": {}, "dimensions": D, "engine": "ivfpq"}
PARTS = 6000


def make_rows(count, seed=0):
    rng = np.random.RandomState(seed)
    centres = np.random.RandomState(7).standard_normal((200, D))
    rows = centres[rng.randint(0, 200, count)] + 0.5 * rng.standard_normal((count, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def payloads(first, count):
    return [{"path": str(i), "condition": "night" if i % 4 else "day"}
            for i in range(first, first + count)]  # fmt: skip


def begin(folder, rows):
    index = Index.create(folder / "index", **ORIGIN)
    np.save(folder / "rows.npy", rows)
    index.add_file(folder / "rows.npy", "shards", payloads(0, len(rows)))
    return index


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def killed_and_resumed(tmp_path_factory):
    """The folder of an index whose build was stopped after each of its files."""
    folder, said = tmp_path_factory.mktemp("ivfpq"), []
    index = begin(folder, make_rows(N))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize_module, "_ROWS_IN_A_PART", PARTS)
        put = quantize_module._put

        def dies(catalogue, **values):
            put(catalogue, **values)
            raise Killed

        patch.setattr(quantize_module, "_put", dies)
        for _ in range(3):
            with pytest.raises(Killed):
                quantize(index, 0.95, 4, said.append)
        patch.setattr(quantize_module, "_put", put)
        quantize(index, 0.95, 4, said.append)
    index.finish()
    index.catalogue.close()
    return folder, said


@pytest.fixture
def opened(killed_and_resumed, tmp_path, monkeypatch):
    """A copy of that index, searched by its lists wherever it can be."""
    monkeypatch.setattr(index_module, "_EXACT_BELOW", 0)
    shutil.copytree(killed_and_resumed[0], tmp_path, dirs_exist_ok=True)
    return open_index(tmp_path / "index")


def recall(found, truth):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)])


def test_a_killed_build_goes_on_from_its_last_file(killed_and_resumed):
    _, said = killed_and_resumed
    assert [line.partition(",")[0] for line in said[:-1]] == [
        "index: training a quantizer on 10260 of 10800 images",
        "index: quantising",
        "index: quantising",
    ]
    assert "recall at 10 against exact search 0.9" in said[-1] and "on 540 images held" in said[-1]


def test_the_recall_that_is_told_is_reached_with_exact_scores(opened):
    rows, queries = make_rows(N), make_rows(100, seed=1)
    details = opened.about.details
    assert details["recall"] >= 0.95 and details["measured_on"] == 540
    assert details["probes"] < details["lists"] == 256
    scores, truth = Search(rows).search(queries, 10)
    ids, found = opened.search(queries, 10)
    assert recall(ids, truth) >= 0.9
    same = ids == truth
    np.testing.assert_array_equal(found[same], scores[same])
    assert (np.diff(found, axis=1) <= 0).all()
    first = opened.search(rows[:50], 1)
    assert first[0].ravel().tolist() == list(range(50))


def test_filters_and_removed_images(opened):
    rows, queries = make_rows(N), make_rows(50, seed=2)
    opened.remove(range(0, N, 3))
    kept = np.array([i for i in range(N) if i % 4 == 0 and i % 3])
    truth = kept[Search(rows[kept]).search(queries, 10)[1]]
    ids, _ = opened.search(queries, 10, {"condition": "day"})
    assert set(ids.ravel().tolist()) <= set(kept.tolist()) and recall(ids, truth) >= 0.9
    ids, _ = opened.search(queries, 5, {"path": ["7", "10", "11", "14"]})
    assert ids.shape == (50, 4) and set(ids[0].tolist()) == {7, 10, 11, 14} - set(range(0, N, 3))


def test_images_that_were_added_are_found_and_go_to_the_lists_when_they_are_many(
    opened, monkeypatch
):
    more = make_rows(300, seed=3)
    ids = opened.add(more, payloads(N, 300))
    np.testing.assert_array_equal(opened.search(more, 1)[0].ravel(), ids)
    said = []
    quantize(opened, 0.95, 4, said.append)
    assert said == []
    monkeypatch.setattr(quantize_module, "_TAIL", 100)
    monkeypatch.setattr(quantize_module, "_TAIL_SHARE", 0)
    quantize(opened, 0.95, 4, said.append)
    assert said[0] == f"index: quantising, {N + 300} of {N + 300} images"
    assert opened.search(more, 1)[0].ravel().tolist() == ids.tolist()
    assert opened._open().lists.rows == N + 300
    told = opened.about.details
    quantize(opened, 0.5, 4, said.append)
    assert opened.about.details["probes"] <= told["probes"] and len(said) == 3


def test_a_recall_that_is_not_reached_is_told(opened, monkeypatch):
    monkeypatch.setattr(tuning, "_MOST", 5)
    said = []
    quantize(opened, 0.9, 4, said.append)
    details = opened.about.details
    assert details["recall"] <= 0.5 and details["candidates"] == 5
    assert details["warning"] == (
        f"recall 0.9 is not reached, {details['recall']:.4f} at most; more code_bytes or the "
        "engine exact reach it"
    )
    assert said[1] == f"warning: index: {details['warning']}"


@pytest.mark.parametrize("name", ["ivfpq-trained.faiss", "ivfpq-000000000.faiss"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_damaged_files_are_not_read(opened, tmp_path, name, damage):
    path = tmp_path / "index" / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-9])
    if damage == "changed":
        content[40] ^= 255
        path.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"{name}: is gone or not what was written"):
        opened.search(make_rows(1), 1)


def test_too_few_images_are_searched_exactly(tmp_path):
    rows, said = make_rows(500), []
    index = begin(tmp_path, rows)
    quantize(index, 0.99, 4, said.append)
    index.finish()
    assert said == [
        f"index: 500 images are too few to train a quantizer ({FEWEST} besides those that recall "
        "is measured on); they are searched exactly"
    ]
    truth = Search(rows).search(rows[:20], 10)[1]
    np.testing.assert_array_equal(open_index(tmp_path / "index").search(rows[:20], 10)[0], truth)
    assert index.about.details == {"searched": "exactly, too few images for a quantizer"}


def test_the_sample_is_not_trained_on():
    training, sample = split(np.arange(5, 40_005))
    assert len(sample) == 1000 and len(training) == 39_000
    assert not set(training) & set(sample) and training.min() >= 5
