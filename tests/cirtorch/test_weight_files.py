"""Published files load; files that would run something do not."""

import os
import pathlib
import pickle

import numpy as np
import pytest
import torch

from cirtorch.networks.imageretrievalnet import init_network, load_network, network_from_checkpoint
from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_weights, load_whitening, save_weights


class Hostile:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def whitening():
    rng = np.random.RandomState(0)
    return {"m": rng.standard_normal((6, 1)), "P": rng.standard_normal((4, 6))}


@pytest.mark.parametrize("legacy", [False, True])
def test_network_with_whitening_inside_meta(tmp_path, whitening, legacy):
    net = init_network({"architecture": "squeezenet1_1", "pretrained": False})
    meta = {k: net.meta[k] for k in ("architecture", "pooling", "mean", "std", "outputdim")}
    meta["Lw"] = {"retrieval-SfM-120k": {"ss": whitening, "ms": whitening}}
    meta["mean"] = tuple(np.float64(value) for value in meta["mean"])
    optimizer = torch.optim.Adam(net.parameters()).state_dict()
    state = {"epoch": 3, "meta": meta, "state_dict": net.state_dict(), "optimizer": optimizer}
    path = tmp_path / "net.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_network(path)
    assert torch.equal(loaded.features[0].weight, net.features[0].weight)
    stored = loaded.meta["Lw"]["retrieval-SfM-120k"]["ms"]
    np.testing.assert_array_equal(stored["P"], whitening["P"])
    assert loaded.meta["regional"] is False and loaded.meta["outputdim"] == 512


@pytest.mark.parametrize("save", ["pickle", "torch", "legacy"])
def test_whitening_files(tmp_path, whitening, save):
    path = tmp_path / "w.pkl"
    if save == "pickle":
        path.write_bytes(pickle.dumps(whitening, protocol=2))
    else:
        torch.save(whitening, path, _use_new_zipfile_serialization=save == "torch")
    m, P = load_whitening(path)
    np.testing.assert_array_equal(m, whitening["m"])
    np.testing.assert_array_equal(P, whitening["P"])


def test_arrays_and_paths_of_published_training_states(tmp_path):
    state = {
        "array": np.arange(3.0),
        "number": np.float64(2.5),
        "path": pathlib.PosixPath("a/b"),
        "tensor": torch.ones(2),
    }
    torch.save(state, tmp_path / "x.pth")
    loaded = load_weights(tmp_path / "x.pth")
    assert loaded["array"].tolist() == [0, 1, 2]
    assert loaded["number"] == 2.5
    assert str(loaded["path"]) == "a/b"


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "u4", "u8", "i1", "i4", "i8", "f2", "f8", "c8"])
def test_arrays_of_all_numbers_load(tmp_path, dtype):
    array = np.array([0, 1, 2], dtype=dtype)
    torch.save({"array": array, "number": array[1]}, tmp_path / "x.pth")
    loaded = load_weights(tmp_path / "x.pth")
    assert loaded["array"].dtype == dtype and loaded["number"].dtype == dtype
    np.testing.assert_array_equal(loaded["array"], array)


def test_arrays_of_objects_are_refused(tmp_path):
    victim = tmp_path / "victim"
    torch.save(np.array([Hostile(victim)], dtype=object), tmp_path / "x.pth")
    with pytest.raises(DataError, match="refuses to load"):
        load_weights(tmp_path / "x.pth")
    assert not victim.exists()


def test_a_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: is a folder"):
        load_weights(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pth"
    save_weights({"a": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_weights({"a": lambda: 0}, path)
    assert load_weights(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize("save", ["pickle", "torch", "legacy"])
def test_hostile_files_run_nothing(tmp_path, save):
    path, victim = tmp_path / "bad.pth", tmp_path / "victim"
    content = {"m": Hostile(victim), "P": np.eye(2), "meta": {}, "state_dict": {}}
    if save == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=save == "torch")
    for load in (load_weights, load_whitening, load_network):
        with pytest.raises(DataError, match="bad.pth") as caught:
            load(path)
        assert "weights_only" not in str(caught.value)  # torch's advice to load it all the same
    assert not victim.exists()
    if save != "pickle":
        with pytest.raises(DataError, match=r"it names \w+\.mkdir"):
            load_weights(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02}q", "cut"])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "broken.pth"
    if content == "cut":
        torch.save({"state_dict": {"w": torch.zeros(1000)}}, path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    for load in (load_weights, load_whitening):
        with pytest.raises(DataError, match="broken.pth"):
            load(path)
    with pytest.raises(DataError, match="absent.pth"):
        load_weights(tmp_path / "absent.pth")


def test_other_content_is_told(tmp_path):
    with pytest.raises(DataError, match="architecture"):
        network_from_checkpoint({"state_dict": {}, "meta": {}})
    with pytest.raises(DataError, match="meta"):
        network_from_checkpoint([1, 2])
    for content in ([1], {"m": [1.0]}, {"m": np.zeros(3), "P": np.eye(2)}):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(DataError, match="w.pkl"):
            load_whitening(tmp_path / "w.pkl")
