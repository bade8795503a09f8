"""The benchmarks run, and their twins agree; times are not tested."""

import pytest

from benchmarks import decoded, index, proxies, reid, retrieval, serve
from tests.serve.conftest import require_extra

LARGEST_DIFFERENCE = {"extraction": 1e-5, "map": 1e-15, "whitening": 1e-6, "expansion": 1e-6}


@pytest.mark.parametrize(
    "part", ["mining", "anchors", "map", "whitening", "search", "expansion", "superglobal"]
)
def test_twins_agree(part, capsys):
    ((_, ratio, difference),) = retrieval.main([part, "--scale", "0.02"])
    assert ratio > 0 and difference <= LARGEST_DIFFERENCE.get(part, 0)
    assert "times as fast" in capsys.readouterr().out


def test_extraction_agrees(tmp_path):
    _, _, difference = retrieval.extraction(0.01, tmp_path, "squeezenet1_1", (1, 0.8))
    assert difference <= LARGEST_DIFFERENCE["extraction"]


@pytest.mark.parametrize("part", ["clustering", "evaluation"])
def test_reid_twins_agree(part, capsys):
    ((_, ratio, difference),) = reid.main([part, "--scale", "0.1"])
    assert ratio > 0 and difference <= 1e-12
    assert "times as fast" in capsys.readouterr().out


def test_reid_growth(capsys):
    assert reid.main(["growth", "--scale", "0.02"]) == []
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "images", "80", "160", "320", "652"
    ]  # fmt: skip


def test_proxies_twins_agree(capsys):
    results = proxies.main(["recall", "losses", "--scale", "0.05"])
    assert [name.partition(",")[0] for name, _, _ in results] == [
        "recall", *2 * ["proxy_anchor", "balanced_proxy"]
    ]  # fmt: skip
    assert results[0][2] == 0
    assert all(ratio > 0 and difference <= 1e-6 for _, ratio, difference in results)
    assert "times as fast" in capsys.readouterr().out


def test_proxies_growth(capsys):
    assert proxies.main(["growth", "--scale", "0.01"]) == []
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "images", "75", "150", "300", "605"
    ]  # fmt: skip


def test_reid_step(capsys):
    assert reid.main(["step", "--scale", "0.03"]) == []
    told = capsys.readouterr().out
    assert "a step of 2 + 2 images takes" in told and "labels of 978 images" in told


def test_an_index_of_few(capsys, monkeypatch):
    monkeypatch.setattr(index, "apart", lambda function, *given: index._measured(function, given))
    found = index.main(["--rows", "300", "--dimensions", "8", "--queries", "5"])
    assert {name: told["recall"] for name, told in found.items()} == {
        "exact": 1, "ivfpq": 1, "faiss flat": 1
    }  # fmt: skip
    assert found["ivfpq"]["day_recall"] == 1 and found["ivfpq"]["bytes"] > 300
    assert "300 drawn descriptors of 8 dimensions" in capsys.readouterr().out


def test_serve_latency(capsys):
    require_extra()
    results = serve.main(["--scale", "0.001", "--requests", "8", "--engine", "ivfpq"])
    assert [(clients, words) for clients, words, *_ in results] == [
        (1, ""), (1, "by day"), (8, ""), (8, "by day")
    ]  # fmt: skip
    assert all(0 < p50 <= p95 and rate > 0 for *_, p50, p95, rate in results)
    assert "100 images, engine ivfpq; the bare work takes" in capsys.readouterr().out


def test_decoded_images_are_the_same(capsys):
    results = decoded.main(["--images", "3"])
    assert [(name, difference) for name, _, difference in results] == [("mining", 0), ("toy", 0)]
    assert all(ratio > 0 for _, ratio, _ in results)
    assert "times as fast as without" in capsys.readouterr().out
