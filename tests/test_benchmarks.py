"""The benchmarks run, and their twins agree; times are not tested."""

import pytest

from benchmarks import (
    contrastive,
    decoded,
    generators,
    index,
    proxies,
    reid,
    results,
    retrieval,
    running,
    serve,
)
from tests.serve.conftest import require_extra

LARGEST_DIFFERENCE = {"map": 1e-15, "whitening": 1e-6, "expansion": 1e-6, "memory": 1e-6}
PEAKS = {"float32": 1e11, "float64": 5e10, "copy": 1e10}


@pytest.fixture(autouse=True)
def peaks(monkeypatch):
    """Limits of a machine that need no measuring."""
    monkeypatch.setattr(running, "measure_peaks", lambda *_: PEAKS)


def measured(module, *arguments):
    """Figures by name of what is done."""
    found = dict(results.rows(module.main(list(arguments))))
    assert {told["status"] for told in found.values()} == {"done"}, found
    assert found.pop("roofline")["peaks"] == PEAKS
    return found


@pytest.mark.parametrize(
    "part",
    ["mining", "anchors", "map", "whitening", "search", "search-faiss", "expansion", "superglobal"],
)
def test_twins_agree(part, capsys):
    ((name, told),) = measured(retrieval, part, "--scale", "0.02").items()
    assert name == f"retrieval.{part}"
    assert told["ratio"] > 0 and told["difference"] <= LARGEST_DIFFERENCE.get(part, 0)
    assert "times as fast" in capsys.readouterr().out


def test_extraction_agrees():
    told = retrieval.extraction(running.Bench(0.01), "squeezenet1_1", (1, 0.8))
    assert told["size"].startswith("4 images, squeezenet1_1, 2 scales")
    assert told["difference"] <= 1e-5


@pytest.mark.parametrize("part", ["clustering", "evaluation", "memory"])
def test_reid_twins_agree(part):
    for told in measured(reid, part, "--scale", "0.1").values():
        assert told["ratio"] > 0 and told["difference"] <= LARGEST_DIFFERENCE.get(part, 1e-12)


@pytest.mark.parametrize(
    ("module", "scale", "images"),
    [(reid, "0.02", (80, 160, 320, 652)), (proxies, "0.01", (75, 150, 300, 605))],
)
def test_growth_is_of_ours_alone(module, scale, images):
    found = measured(module, "growth", "--scale", scale).values()
    assert [told["size"] for told in found] == [f"{count} images" for count in images]
    assert all("ratio" not in told and told["peak_mib"] >= 0 for told in found)


def test_proxies_twins_agree():
    found = measured(proxies, "recall", "losses", "--scale", "0.05")
    assert [name.split(".")[1:] for name in found] == [
        ["recall"],
        *(["losses", name, size] for size in ("64", "180")
          for name in ("proxy_anchor", "balanced_proxy")),
    ]  # fmt: skip
    assert found["proxies.recall"]["difference"] == 0
    assert all(told["ratio"] > 0 and told["difference"] <= 1e-6 for told in found.values())


@pytest.mark.parametrize("name", ["npid", "moco", "daco"])
def test_contrastive_twins_agree(name):
    ((_, told),) = measured(
        contrastive, name, "--scale", "0.02", "--dimensions", "8", "--steps", "2"
    ).items()
    assert told["ratio"] > 0 and told["difference"] <= 1e-4 and len(told["times"]) == 2


def test_generators_agree():
    small = ["--size", "32", "--filters", "2", "--steps", "1", "--device", "cpu"]
    found = measured(generators, "cyclegan", "cut", "hedngan", *small)
    assert list(found) == ["generators.cyclegan", "generators.cut", "generators.hedngan"]
    assert all(told["ratio"] > 0 and told["bound"] == "products" for told in found.values())
    differences = [told["difference"] for told in found.values()]
    assert differences.pop(1) is None  # of CUT, each side draws its own patches
    assert max(differences) <= 1e-3


@pytest.mark.slow
def test_reid_step():
    ((_, told),) = measured(reid, "step", "--scale", "0.03").items()
    assert told["size"].startswith("2 + 2 images, 200 remembered")
    assert told["milliseconds"] > 0 and told["labels_milliseconds"] > 0


def test_an_index_of_few(monkeypatch):
    monkeypatch.setattr(index, "apart", lambda function, *given: index._measured(function, given))
    found = measured(index, "--rows", "300", "--dimensions", "8", "--queries", "5")
    assert {name: told["recall"] for name, told in found.items()} == dict.fromkeys(
        ["index, faiss flat", "index, exact", "index, exact, half", "index, ivfpq",
         "index, ivfpq, half"], 1
    )  # fmt: skip
    assert {told["size"] for told in found.values()} == {
        "300 descriptors of 8 dimensions, 5 queries"
    }
    assert found["index, ivfpq"]["bytes"] > 300
    assert [name for name, told in found.items() if "roofline" not in told] == [
        "index, ivfpq", "index, ivfpq, half"
    ]  # fmt: skip


@pytest.mark.slow
def test_serve_latency():
    require_extra()
    found = measured(serve, "--scale", "0.001", "--engine", "ivfpq")
    assert list(found) == [f"serve, {n} at once{by}" for n in (1, 8) for by in ("", ", by day")]
    assert {told["size"] for told in found.values()} == {"100 images, ivfpq"}
    assert all(0 < told["milliseconds"] <= told["p95_milliseconds"] for told in found.values())
    assert all(told["requests_per_second"] > 0 for told in found.values())


def test_decoded_images_are_the_same(capsys):
    found = measured(decoded, "--images", "3")
    assert {name: told["difference"] for name, told in found.items()} == {
        "decoded.mining": 0, "decoded.toy": 0
    }  # fmt: skip
    assert all(told["ratio"] > 0 for told in found.values())
    assert "times as fast as without" in capsys.readouterr().out
