"""Files of networks whose sections are of the wrong kind, damaged or made to do harm."""

import copy
import json

import numpy as np
import pytest
import torch

from cirtorch.networks.imageretrievalnet import init_network
from cirtorch.networks.imageretrievalnet import load_network as load_published
from cirtorch.utils.errors import DamagedFile, DataError
from cirtorch.utils.weight_files import save_weights
from mdir.errors import USER_ERRORS, UserError
from mdir.networks.factory import load_network
from mdir.networks.files import network_files
from mdir.networks.portable import write_network, write_whitening
from mdir.networks.whitening import read_whitening
from tests.sections import build, generator, sequence

OTHERS = [None, 5, "x", [], {}, [1, 2], {"a": 1}, True, {1: 2}, torch.ones(2)]


def places(value, path=()):
    """Paths of the outer parts of nested mappings and lists."""
    yield path
    keys = range(len(value)) if isinstance(value, list) else value
    for key in list(keys)[:4] if isinstance(value, (dict, list)) and len(path) < 3 else ():
        yield from places(value[key], (*path, key))


def replaced(value, path, other):
    if not path:
        return other
    value = copy.copy(value)
    value[path[0]] = replaced(value[path[0]], path[1:], other)
    return value


def refused_by_name(load, path):
    """Whether the file is refused; never by another error than one that names it."""
    try:
        load(path)
    except USER_ERRORS as error:
        assert path.stem in str(error), error
        return True
    return False


@pytest.mark.parametrize("section", [generator(), sequence()], ids=["single", "sequence"])
def test_sections_of_another_kind(root, section):
    files, odd = network_files(build(section).state_dict()), []
    for name, state in files.items():
        save_weights(state, root / f"folder/{name}_best.pth")
    for place in places(files["net"]):
        for other in OTHERS:
            save_weights(replaced(files["net"], place, other), root / "folder/net_best.pth")
            if not refused_by_name(load_portable, root / "folder"):
                odd.append((place, type(other)))
    kinds = {place: kind for place, kind in odd if len(place) == 1}
    assert set(kinds) <= {("frozen",), ("network_hierarchy",)}
    assert set(kinds.values()) <= {bool, dict}


def test_messages_of_sections(root):
    (state,) = build(generator()).state_dict().values()
    for key, other, message in (
        ("model_state", {"w": [1]}, "model_state: expected tensors by name, the file has dict"),
        ("network_params", 5, "network_params: expected a mapping, the file has int 5"),
        ("frozen", "no", "frozen: expected true or false, the file has str 'no'"),
        ("type", [1], r"unknown type \[1\]"),
    ):
        save_weights({**state, key: other}, root / "net.pth")
        with pytest.raises(UserError, match=rf"net\.pth: network 'net': {message}"):
            load_network({"path": "net.pth"}, "cpu")


def test_published_sections_of_another_kind(root):
    net = init_network({"architecture": "squeezenet1_1", "pretrained": False})
    meta = {key: net.meta[key] for key in ("architecture", "pooling", "mean", "std")}
    state = {"meta": meta, "state_dict": net.state_dict()}
    path, refused = root / "published.pth", 0
    for place in [(), *[(key,) for key in state], *[("meta", key) for key in meta]]:
        for other in OTHERS:
            save_weights(replaced(state, place, other), path)
            for load in (load_published, lambda p: load_network({"path": str(p)}, "cpu")):
                refused += refused_by_name(load, path)
    assert refused > 80
    save_weights({**state, "state_dict": "other.pth"}, path)
    with pytest.raises(DataError, match=r"published\.pth: not a retrieval network"):
        load_published(path)


@pytest.fixture
def portable(root):
    path = root / "portable.safetensors"
    write_network(build(generator()).state_dict(), path)
    return path


def load_portable(path):
    return load_network({"path": str(path)}, "cpu")


def test_no_bit_of_the_two_files_may_change(portable):
    load_portable(portable)
    for path in (portable, portable.with_suffix(".json")):
        content = path.read_bytes()
        refused = 0
        for position in np.random.RandomState(0).randint(8 * len(content), size=60):
            changed = bytearray(content)
            changed[position // 8] ^= 1 << position % 8
            path.write_bytes(changed)
            refused += refused_by_name(load_portable, portable)
        assert refused >= 58  # white space of JSON may change
        path.write_bytes(content)
    notes = json.loads(portable.with_suffix(".json").read_text())
    notes["networks"]["net"]["frozen"] = True
    portable.with_suffix(".json").write_text(json.dumps(notes))
    with pytest.raises(DamagedFile, match="was changed by hand"):
        load_portable(portable)
    del notes["sha256"]
    portable.with_suffix(".json").write_text(json.dumps(notes))
    assert load_portable(portable).frozen


def test_json_of_another_kind(portable):
    place = portable.with_suffix(".json")
    content, others = json.loads(place.read_text()), [o for o in OTHERS if not torch.is_tensor(o)]
    del content["sha256"]
    for path in [(), ("networks",), ("networks", "net"), ("networks", "net", "keys"), ("format",)]:
        for other in others:
            place.write_text(json.dumps(replaced(content, path, other)))
            assert refused_by_name(load_portable, portable), (path, other)


def header(fields, body):
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_headers_of_safetensors(portable):
    content = portable.read_bytes()
    length = int.from_bytes(content[:8], "little")
    fields, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    first, second = [key for key in fields if key != "__metadata__"][:2]
    overlap, huge, kind = (copy.deepcopy(fields) for _ in range(3))
    overlap[first]["data_offsets"] = fields[second]["data_offsets"]
    huge[first]["shape"] = [10**15]
    kind[first]["dtype"] = "F99"
    for damaged in (
        (1 << 62).to_bytes(8, "little") + content[8:],
        header(b"{no json", body),
        header(b"\xff\xfe", body),
        *[header(other, body) for other in (overlap, huge, kind, [], {"a": 5})],
        content[:50],
        content[:-7],
        b"",
    ):
        portable.write_bytes(damaged)
        with pytest.raises(USER_ERRORS, match=r"portable\.safetensors: not a readable safetensors"):
            load_portable(portable)


def test_whitenings_of_another_kind(root):
    path = root / "w.safetensors"
    write_whitening(np.ones((3, 1)), np.eye(3), path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DamagedFile, match=r"w\.safetensors: not a readable"):
        read_whitening(str(path))
    write_network(build(generator()).state_dict(), path)
    with pytest.raises(DataError, match=r"w\.safetensors: holds mdir-network-1, not mdir-whiten"):
        read_whitening(str(path))
