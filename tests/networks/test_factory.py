"""Files of networks: every form, what is compared, what is refused."""

import os
import pickle

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.errors import UserError
from mdir.networks.factory import load_network, network_from_state, without_fetching
from mdir.networks.files import network_files, read_network_files, read_weights, save_network
from tests.sections import build, generator, sequence

IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


def write(network, folder, suffix="best"):
    folder.mkdir(exist_ok=True)
    for name, content in network_files(network.state_dict()).items():
        torch.save(content, folder / f"{name}_{suffix}.pth")
    return folder


def same(one, other):
    with torch.no_grad():
        return torch.equal(one.eval()(IMAGE), other.eval()(IMAGE))


def test_folder_single_file_and_file_beside_its_members(tmp_path):
    network = build(sequence())
    folder = write(network, tmp_path / "epochs")
    whole = tmp_path / "whole.pth"
    save_network(network.state_dict(), whole)
    for path in (folder, folder / "net_best.pth", whole):
        loaded = load_network({"path": str(path)}, "cpu")
        assert same(loaded, network)
        assert loaded.state_dict().keys() == network.state_dict().keys()
        assert loaded["augment"].frozen and not loaded["embed"].frozen


def test_member_file_is_a_network_of_its_own(tmp_path):
    network = build(sequence())
    folder = write(network, tmp_path / "epochs")
    embed = load_network({"path": str(folder / "embed_best.pth"), "runtime": {}}, "cpu")
    assert embed.type == "SingleNetwork"
    assert len(embed.wrappers["eval"]) == 1


def test_missing_member_file_is_named(tmp_path):
    folder = write(build(sequence()), tmp_path / "epochs")
    (folder / "embed_best.pth").unlink()
    with pytest.raises(DataError, match="embed_best.pth: there is no such file"):
        load_network({"path": str(folder)}, "cpu")


def test_runtime_replaces_top_level_keys(tmp_path):
    save_network(build(generator()).state_dict(), tmp_path / "g.pth")
    runtime = {"wrappers": "reflectpad_divisible:4", "data": "load_from_checkpoint"}
    network = load_network({"path": str(tmp_path / "g.pth"), "runtime": runtime}, "cpu")
    assert network.runtime["wrappers"] == "reflectpad_divisible:4"
    assert network.runtime["data"] == generator()["runtime"]["data"]
    for nothing in (None, {}, "load_from_checkpoint"):
        network = load_network({"path": str(tmp_path / "g.pth"), "runtime": nothing}, "cpu")
        assert network.runtime == generator()["runtime"]


def test_section_with_a_path(tmp_path):
    network = build(generator(frozen=True))
    path = tmp_path / "g.pth"
    save_network(network.state_dict(), path)
    section = {"type": "SingleNetwork", "path": str(path), "runtime": "load_from_checkpoint"}
    assert build(section).runtime == network.runtime
    section["runtime"] = {"wrappers": "", "data": "load_from_checkpoint"}
    loaded = build(section)
    assert not loaded.frozen and loaded.runtime["data"] == network.runtime["data"]
    assert same(loaded, network)
    section["model"] = {**generator()["model"], "ngf": 3}
    with pytest.raises(UserError, match="model.ngf is 3 in the scenario, but 2"):
        build(section)


def test_two_rules_for_keys_that_are_not_named(tmp_path):
    path = str(tmp_path / "g.pth")
    save_network(build(generator(wrappers="reflectpad_divisible:4")).state_dict(), path)
    data = generator()["runtime"]["data"]
    runtime = {"data": "load_from_checkpoint", "frozen": "load_from_checkpoint"}
    described = build({"type": "SingleNetwork", "path": path, "runtime": runtime})
    assert described.runtime == {"data": data}
    changed = load_network({"path": path, "runtime": runtime}, "cpu")
    assert changed.runtime == {"data": data, "wrappers": "reflectpad_divisible:4"}
    assert build({"path": path, "runtime": runtime}).runtime == changed.runtime


def test_resume_compares_with_the_scenario():
    states = build(sequence()).state_dict()
    assert same(network_from_state(states, section=sequence()), build(sequence()))
    rearranged = network_from_state(states, section=sequence(rearrange_wrappers=False))
    assert len(rearranged["embed"].wrappers["eval"]) == 1
    changed = sequence()
    changed["embed"]["runtime"]["wrappers"] = ""
    with pytest.raises(UserError, match="'embed': runtime.wrappers is ''"):
        network_from_state(states, section=changed)
    with pytest.raises(UserError, match="sequence"):
        network_from_state(states, section=sequence(sequence="embed,augment"))
    by_path = sequence()
    by_path["augment"] = {"type": "SingleNetwork", "path": None, "runtime": {}}
    assert network_from_state(states, section=by_path)["augment"].frozen


@pytest.mark.parametrize("kind", ["NetworkSet", "CirSequentialNetwork"])
def test_resume_refuses_another_class(kind):
    states = build(sequence()).state_dict()
    with pytest.raises(UserError, match="the scenario says"):
        network_from_state(states, section=sequence(kind))


def test_nested_containers_survive(tmp_path):
    network = build({"type": "NetworkSet", "pair": sequence(), "other": generator(5)})
    save_network(network.state_dict(), tmp_path / "n.pth")
    loaded = load_network({"path": str(tmp_path / "n.pth")}, "cpu")
    assert same(loaded["pair"], network["pair"]) and same(loaded["other"], network["other"])
    with pytest.raises(UserError, match="takes no runtime"):
        load_network({"path": str(tmp_path / "n.pth"), "runtime": {"wrappers": ""}}, "cpu")


@pytest.mark.parametrize("change", [{"extra": 1}, {"frozen": None}])
def test_key_sets_are_exact(change, tmp_path):
    states = build(generator()).state_dict()
    states["net"].update(change)
    if None in change.values():
        del states["net"]["frozen"]
    with pytest.raises(UserError, match="missing|unknown"):
        network_from_state(states)


def test_weights_have_to_fit():
    states = build(generator()).state_dict()
    states["net"]["network_params"]["model"]["ngf"] = 3
    with pytest.raises(DataError, match="network 'net': weights do not fit"):
        network_from_state(states)


def test_nothing_is_fetched_where_weights_are_given():
    section = {"architecture": "hed_interpolation", "pretrained": "http://nowhere.invalid/x.pth"}
    assert not without_fetching(section)["pretrained"]


def test_old_name_of_the_single_network():
    states = build(generator()).state_dict()
    states["net"]["type"] = "CirNetwork"
    assert same(network_from_state(states), build(generator()))


def test_types_of_files_are_allowed_by_name():
    states = build(generator()).state_dict()
    states["net"]["type"] = "SingelNetwork"
    allowed = (
        "CirNetwork, CirSequentialNetwork, NetworkSet, SequentialNetwork, SingleNetwork, "
        "SingleNetworkLink"
    )
    with pytest.raises(UserError) as caught:
        network_from_state(states)
    assert str(caught.value) == (f"network 'net': unknown type 'SingelNetwork'. Allowed: {allowed}")


def test_link_is_no_network_to_load():
    link = build(generator()).overlay_params({"runtime": {"wrappers": ""}})
    with pytest.raises(UserError, match="'net': a link has no weights"):
        network_from_state(link.state_dict())


class Command:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_hostile_checkpoint_runs_nothing(tmp_path):
    mark = tmp_path / "executed"
    state = {"type": "SingleNetwork", "x": Command(f"touch {mark}")}
    torch.save(state, tmp_path / "hostile.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(state))
    for name in ("hostile.pth", "plain.pth"):
        with pytest.raises(DataError, match="refuses|not a readable"):
            read_network_files(str(tmp_path / name))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04broken"])
def test_broken_files_are_named(content, tmp_path):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match="broken.pth"):
        read_weights(str(path))


def test_truncated_file_is_named(tmp_path):
    path = tmp_path / "cut.pth"
    save_network(build(generator()).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match="cut.pth"):
        read_network_files(str(path))


def test_file_that_is_no_network(tmp_path):
    torch.save({"a": 1}, tmp_path / "x.pth")
    with pytest.raises(DataError, match="not a network"):
        read_network_files(str(tmp_path / "x.pth"))


def test_url_is_read_from_the_weights_folder(root):
    (root / "weights").mkdir()
    save_network(build(generator()).state_dict(), root / "weights" / "g.pth")
    network = load_network({"path": "http://nowhere.invalid/models/g.pth"}, "cpu")
    assert same(network, build(generator()))


def test_cirtorch_file_becomes_a_network(tmp_path):
    meta = {
        "architecture": "alexnet",
        "pooling": "gem",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "outputdim": 256,
    }
    torch.save({"meta": meta, "state_dict": {}}, tmp_path / "c.pth")
    state = read_network_files(str(tmp_path / "c.pth"))["net"]
    model = state["network_params"]["model"]
    assert model["architecture"] == "cirnet" and model["cir_architecture"] == "alexnet"
    assert model["whitening"] is False and model["pretrained"] is True
    assert state["network_params"]["runtime"]["data"]["mean_std"] == [meta["mean"], meta["std"]]
    torch.save({"meta": {**meta, "odd": 1}, "state_dict": {}}, tmp_path / "c.pth")
    with pytest.raises(DataError, match="odd"):
        read_network_files(str(tmp_path / "c.pth"))


@pytest.mark.parametrize("legacy", [False, True])
def test_cirtorch_file_with_whitenings_as_arrays(legacy, tmp_path):
    whitening = {"m": np.zeros((256, 1)), "P": np.eye(256)}
    meta = {
        "architecture": "alexnet",
        "pooling": "gem",
        "mean": tuple(np.float64(value) for value in (0.485, 0.456, 0.406)),
        "std": [0.229, 0.224, 0.225],
        "Lw": {"retrieval-SfM-120k": {"ss": whitening, "ms": whitening}},
    }
    path = tmp_path / "c.pth"
    content = {"meta": meta, "state_dict": {"pool.p": torch.ones(1)}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    state = read_network_files(str(path))["net"]
    mean = state["network_params"]["runtime"]["data"]["mean_std"][0]
    assert [type(value) for value in mean] == [float] * 3
    assert torch.equal(state["model_state"]["pool.p"], torch.ones(1))


@pytest.mark.parametrize("legacy", [False, True])
def test_hostile_file_among_arrays_runs_nothing(legacy, tmp_path):
    mark = tmp_path / "executed"
    whitening = {"m": np.zeros((2, 1)), "P": np.array([Command(f"touch {mark}")], dtype=object)}
    content = {"meta": {"Lw": {"x": {"ss": whitening}}}, "state_dict": {}}
    torch.save(content, tmp_path / "bad.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DataError, match="bad.pth: refuses to load"):
        read_network_files(str(tmp_path / "bad.pth"))
    assert not mark.exists()
