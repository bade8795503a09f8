"""The benchmark of a card runs without one, keeps what it found, and goes on."""

import json
import time
from functools import partial

import pytest
import torch

from benchmarks import gpu, gpu_goldens, measuring, results, running
from benchmarks.gpu_bench import SMALL, Bench
from benchmarks.gpu_cases import cases
from benchmarks.running import Case
from tests.golden import golden

CPU = torch.device("cpu")


def started(path, *words):
    return gpu.main(["--json", str(path), "--device", "cpu", *words])["cases"]


def test_cases_at_small_sizes(tmp_path, capsys):
    path = tmp_path / "gpu.json"
    names = ["roofline", "exchange of gradients", "mining", "cyclegan, 32 px, batch 1, tf32",
             "descriptors, files, tf32", "descriptors, network, float32", "clustering"]  # fmt: skip
    found = started(path, "--only", *names)
    assert {told["status"] for told in found.values()} == {"done"}, found
    assert json.loads(path.read_text())["cases"] == found
    assert json.loads(path.read_text())["versions"]["torch"] == torch.__version__
    assert set(names) < set(found) and "clustering, twin" in found
    assert all(found["roofline"]["peaks"][key] > 0 for key in ("float32", "bf16", "copy"))
    for name in ("exchange of gradients", "mining", "clustering", "clustering, twin"):
        assert found[name]["difference"] == 0
    assert found["descriptors, network, float32"]["roofline"] > 0
    assert "| mining |" in capsys.readouterr().out

    again = started(path, "--only", *names)
    assert again == found
    assert capsys.readouterr().out.count("done before") == len(found)


def test_no_time_is_told(tmp_path, capsys):
    found = started(tmp_path / "gpu.json", "--minutes", "0", "--only", "mining")
    assert found == {"mining": {"status": "skipped", "error": "no time was left", "tries": 0}}
    assert "mining: skipped" in capsys.readouterr().out
    assert started(tmp_path / "gpu.json", "--only", "mining")["mining"]["status"] == "done"


def broken(bench):
    raise RuntimeError("no such kernel")


def full(bench):
    raise torch.OutOfMemoryError("out of memory\nmuch more")


def slow(bench):
    time.sleep(60)


def fine(bench):
    return {"milliseconds": 1.5}


def test_one_case_does_not_end_the_others(tmp_path):
    path, found = tmp_path / "gpu.json", {"cases": {}}
    wanted = [Case(one.__name__, one, 1) for one in (broken, full, fine)]
    for _ in range(3):
        running.run(wanted, Bench(CPU, SMALL), found, partial(results.write, path))
    kept = json.loads(path.read_text())["cases"]
    assert [told["status"] for told in kept.values()] == ["error", "out of memory", "done"]
    assert kept["broken"]["error"] == "RuntimeError: no such kernel"
    assert kept["full"]["error"] == "out of memory"
    assert [told["tries"] for told in kept.values()] == [2, 2, 1]


def test_a_case_that_takes_too_long_is_ended():
    told = running.run_case(Case("slow", slow, 1), Bench(CPU, SMALL), 1.0)
    assert told["status"] == "out of time" and told["seconds"] < 30


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    found = {"cases": {"fine": {"status": "cut off", "tries": 1}}}
    running.run([Case("fine", fine, 1)], Bench(CPU, SMALL), found, lambda results: None)
    assert found["cases"]["fine"]["status"] == "done"


@pytest.mark.parametrize("text", ["{", "{}", '{"sizes": {}, "machine": {"device": "other"}}'])
def test_another_file_is_not_overwritten(tmp_path, capsys, text):
    path = tmp_path / "gpu.json"
    path.write_text(text)
    with pytest.raises(SystemExit):
        started(path, "--only", "mining")
    assert path.read_text() == text and "name another file" in capsys.readouterr().err


def test_goldens_that_are_absent_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GOLDEN_ROOT", str(tmp_path / "nowhere"))
    found = started(tmp_path / "gpu.json", "--only", "goldens")
    assert {told["status"] for told in found.values()} == {"skipped"}


def test_deviations():
    array = torch.tensor([1.0, 2.0])
    told = gpu_goldens.deviation([("a", array, [1, 2.5], 0.1, 0.3), ("b", array, [1], 0, 1)])
    assert told["greatest"] == 0.5 and told["of_bound"] == pytest.approx(0.5 / 0.55)
    assert told["worst"] == "a" and told["errors"] == ["b: shape (2,), not (1,)"]
    assert told["outside"] == []
    far = gpu_goldens.deviation([(name, array, [1, two], 0, 0.1) for name, two in
                                 (("near", 2.05), ("far", 3), ("farther", 4))])  # fmt: skip
    assert far["outside"] == ["far", "farther"] and far["worst"] == "farther"
    assert gpu_goldens.deviation([("c", array * float("nan"), [1, 2], 0, 1)])["errors"] == [
        "c: not a number"
    ]


@pytest.mark.parametrize("group", [one for one in gpu_goldens.GROUPS if "float64" not in one])
def test_a_group_of_goldens_is_computed(group):
    golden.needs("generators", "networks.npz")
    told = gpu_goldens.deviation(gpu_goldens.GROUPS[group](CPU))
    assert told["cases"] > 0 and told["errors"] == told["outside"] == []


def test_names_of_cases_are_unique():
    names = [case.name for case in cases(SMALL)]
    assert len(set(names)) == len(names)


def test_operations_of_a_product():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert measuring.flops_of(lambda: a @ b) == 2 * 3 * 4 * 5


def test_settings_of_products_are_put_back():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for allowed in (True, False):
        with measuring.tensor_cores(allowed):
            assert torch.backends.cuda.matmul.allow_tf32 == allowed
            assert torch.backends.cudnn.allow_tf32 == allowed
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
