"""Networks of several files: the published project's own checkpoint, its numbers and rules."""

import re
import shutil

import numpy as np
import pytest
import torch

from mdir.data.table_files import initialize_file_reader
from mdir.inference.outputs.naming import image_names
from mdir.inference.outputs.pixels import to_pixels
from mdir.networks.factory import load_network
from mdir.networks.wrappers.stack import parse_wrappers, splitp
from mdir.paths import path_join, resolve_path
from tests.golden.golden import load_json, needs

UNITS = load_json("engine", "units.json", {})
CHECKPOINT = load_json("engine", "checkpoint/checkpoint.json", {})
FORWARD = CHECKPOINT.get("forward", {})
TOLERANCE = 1e-5


def cases(section):
    return pytest.mark.parametrize("case", UNITS.get(section, []), ids=lambda c: str(c)[:60])


@cases("splitp")
def test_splitp(case):
    assert splitp(case["text"]) == case["parts"]


@cases("wrapper_strings")
def test_wrapper_strings(case):
    if isinstance(case["wrappers"], dict):
        with pytest.raises(ValueError):
            parse_wrappers(case["text"])
    else:
        assert [[name, texts] for name, texts in parse_wrappers(case["text"])] == case["wrappers"]


@cases("path_join")
def test_path_join(case):
    assert path_join(case["path"], case["name"]) == case["result"]


@pytest.mark.parametrize("case", UNITS.get("resolve_path", {}).get("cases", []), ids=str)
def test_resolve_path(case, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", UNITS["resolve_path"]["CIRTORCH_ROOT"])
    assert resolve_path(case["path"]) == case["result"]


@pytest.mark.parametrize("case", UNITS.get("resolve_path", {}).get("unset", []), ids=str)
def test_resolve_path_without_root_uses_the_checkout(case, monkeypatch):
    monkeypatch.delenv("CIRTORCH_ROOT", raising=False)
    fallback = resolve_path("")  # empty stays empty
    assert fallback == ""
    resolved = resolve_path(case["path"])
    assert resolved.startswith("/") and resolved.endswith(case["path"])


@cases("readers")
def test_readers(case, tmp_path):
    path = tmp_path / case["name"]
    path.write_text(case["text"])
    if "raises" in case.get("result", {}) or "raises" in case:
        with pytest.raises(ValueError):
            _read(path, case)
    else:
        columns = _read(path, case)
        assert columns == case["result"]
        assert list(columns) == list(case["result"])


def _read(path, case):
    with initialize_file_reader(str(path), **case["selector"]) as reader:
        return reader.get()


@cases("rgb_names")
def test_rgb_names(case, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", "/data/root")
    structure = case["params"].get("dir_structure")
    names = image_names(case["input"], structure)
    assert names == case["returned"]
    assert [path_join(resolve_path("out"), name) for name in names] == case["paths"]


@cases("stretch")
def test_stretch(case):
    output = np.asarray(case["chw"], dtype=np.float64)
    pixels = to_pixels(output, case["mean_std"], case["stretch_by"])
    np.testing.assert_array_equal(pixels, np.asarray(case["pixels"], dtype=np.uint8))
    assert pixels.dtype == np.uint8


@pytest.fixture(scope="module")
def epochs(tmp_path_factory):
    source = needs("engine", "checkpoint/epochs")
    folder = tmp_path_factory.mktemp("run") / source.name
    shutil.copytree(source, folder)
    for link, target in CHECKPOINT.get("links", {}).items():
        (folder / link).symlink_to(target)
    return folder


def place(epochs, name):
    return str(epochs if name == "directory" else epochs / name)


def chosen(key):
    names = [name for name, entry in FORWARD.items() if isinstance(entry, dict) and key in entry]
    return pytest.mark.parametrize("name", names)


def golden_input():
    """``float32(sin(FACTOR*arange(COUNT))).reshape(SHAPE)``, as the file words it."""
    text = CHECKPOINT["input"]
    factor = float(re.search(r"sin\(([\d.]+)", text)[1])
    count = int(re.search(r"arange\((\d+)\)", text)[1])
    shape = [int(n) for n in re.search(r"reshape\(([\d, ]+)\)", text)[1].split(",")]
    return torch.from_numpy(np.sin(factor * np.arange(count)).astype(np.float32).reshape(shape))


@chosen("forward")
def test_forward_of_published_checkpoint(name, epochs):
    network = load_network({"path": place(epochs, name), "runtime": None}, "cpu").eval()
    expected = FORWARD[name]["forward"]
    with torch.no_grad():
        output = network(golden_input()).double()
    values = output.flatten().numpy()
    assert list(output.shape) == expected["shape"]
    for what, value in (("mean", values.mean()), ("std", values.std())):
        assert value == pytest.approx(expected[what], abs=TOLERANCE)
    for key, part in expected.items():
        if key.startswith("first"):
            np.testing.assert_allclose(values[: len(part)], part, atol=TOLERANCE)
        elif key.startswith("last"):
            np.testing.assert_allclose(values[-len(part) :], part, atol=TOLERANCE)


@chosen("class")
def test_class_order_and_frozen_flag(name, epochs):
    network = load_network({"path": place(epochs, name)}, "cpu")
    entry = FORWARD[name]
    assert type(network).__name__ == entry["class"]
    if "order" in entry:
        assert list(network.members) == entry["order"]
    if "frozen" in entry:
        assert network.frozen == entry["frozen"]


def test_runtime_overlay_goes_to_the_right_members(epochs):
    entry = FORWARD.get("runtime_overlay")
    if entry is None:
        pytest.skip("this golden set has no runtime overlay")
    network = load_network({"path": str(epochs), "runtime": entry["given"]}, "cpu")
    found = {"network_params.runtime": network.runtime}
    for key, expected in entry.items():
        owner, _, rest = key.partition(".")
        if key == "given":
            continue
        part = network if owner in ("net", "network_params") else network[owner]
        if rest == "runtime":
            found[key] = part.runtime
        elif rest.startswith("wrappers."):
            found[key] = [type(w).__name__ for w in part.wrappers[rest.partition(".")[2]]]
        assert found[key] == expected, key


@pytest.mark.parametrize(
    "name", [n for n, entry in CHECKPOINT.get("files", {}).items() if "content" in entry]
)
def test_state_has_the_published_content(name, epochs):
    expected = CHECKPOINT["files"][name]["content"]
    loaded = torch.load(epochs / name, weights_only=True)
    if "network_params" not in expected:
        states = load_network({"path": str(epochs / name)}, "cpu").state_dict()
        ours = {**states["net"], "_network_names": [n for n in states if n != "net"]}
        assert {key: _describe(ours[key]) for key in expected} == expected
        assert set(ours) == set(loaded)
        return
    ours = load_network({"path": str(epochs / name)}, "cpu").state_dict()["net"]
    assert {key: _describe(value) for key, value in ours.items()} == expected
    assert list(ours["model_state"]) == list(loaded["model_state"])
    for key, tensor in loaded["model_state"].items():
        assert torch.equal(ours["model_state"][key], tensor), key


def _describe(value):
    if isinstance(value, dict):
        return {key: _describe(item) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        return [list(value.shape), str(value.dtype).removeprefix("torch.")]
    return value
