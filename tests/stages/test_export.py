"""Steps export and convert: the same answers from every format."""

import builtins
import json
import pickle

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.errors import UserError
from mdir.networks.factory import load_network
from mdir.networks.files import save_network
from mdir.registry import ComponentError
from mdir.stages.convert import convert
from mdir.stages.export import export
from tests.golden.golden import fill
from tests.sections import DATA, build, cirnet, generator, sequence, single

PROXIES = single(
    {
        "architecture": "proxy_embedding",
        "backbone": "inception",
        "feature_dim": 8,
        "classes": 3,
        "pretrained": False,
    },
    wrappers="",
    data=DATA,
)
EMBEDDING = single(cirnet(whitening=True), wrappers="cirmultiscale:True", data=DATA)


TIMM = single(
    {
        "architecture": "timm",
        "name": "test_resnet",
        "pretrained": False,
        "mean_std": DATA["mean_std"],
    },
    wrappers="",
)


@pytest.mark.parametrize(
    ("section", "output"), [(generator(), 4), (EMBEDDING, 2), (PROXIES, 2), (TIMM, 2)]
)
def test_onnx_gives_the_same_for_any_size_and_batch(section, output, root):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = build(section).eval()
    fill(network.model)
    save_network(network.state_dict(), root / "net.pth")
    (metadata,) = export({"network": {"path": "net.pth"}, "target": "out/net"})
    assert [path.rpartition(".")[2] for path in metadata["files"]] == [
        "json",
        "onnx",
        "safetensors",
    ]
    session = onnxruntime.InferenceSession(str(root / "out" / "net.onnx"))
    for shape in ((1, 3, 64, 64), (3, 3, 101, 70)):
        images = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = network.forward_batch(images).numpy()
        (found,) = session.run(None, {"images": images.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-4)
    notes = json.loads((root / "out" / "net.json").read_text())
    assert notes["input"]["transforms"] == "pil2np | totensor | normalize"
    assert len(notes["output"]["axes"]) == output
    assert ("multiples of 4" in notes["output"].get("sizes", "")) == (output == 4)
    with torch.no_grad():
        again = load_network({"path": "out/net.safetensors"}, "cpu").eval().forward_batch(images)
    assert torch.equal(again, torch.from_numpy(expected))


def test_member_of_a_container(root):
    save_network(build(sequence()).state_dict(), root / "s.pth")
    params = {"network": {"path": "s.pth"}, "target": "e", "formats": ["safetensors"]}
    with pytest.raises(UserError, match="choose one by 'member'"):
        export(params)
    export({**params, "member": "embed"})
    assert load_network({"path": "e.safetensors"}, "cpu").type == "SingleNetwork"


def test_missing_onnx_is_said(root, monkeypatch):
    save_network(build(generator()).state_dict(), root / "g.pth")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("onnx"):
            raise ImportError("no", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    params = {"network": {"path": "g.pth"}, "target": "g", "formats": ["onnx"]}
    with pytest.raises(UserError, match=r"pip install 'mdir\[onnx\]'"):
        export(params)
    assert not (root / "g.onnx").exists()


def test_unknown_format(root):
    with pytest.raises(ComponentError, match="formats"):
        export({"network": {"path": "x"}, "target": "t", "formats": ["onx"]})


@pytest.mark.parametrize("section", [generator(), sequence()])
def test_checkpoint_there_and_back(section, root):
    network = build(section)
    save_network(network.state_dict(), root / "a.pth")
    convert({"source": "a.pth", "target": "a.safetensors"})
    convert({"source": "a.safetensors", "target": "b.pth"})
    before, after = (torch.load(root / f"{n}.pth", weights_only=True) for n in "ab")
    assert same(before, after)


def same(one, other):
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return one == other and type(one) is type(other)


def test_whitening_there_and_back(root):
    random = np.random.RandomState(0)
    whitening = {"m": random.rand(6, 1), "P": random.rand(4, 6)}
    (root / "w.pkl").write_bytes(pickle.dumps(whitening))
    convert({"source": "w.pkl", "target": "w.safetensors"})
    convert({"source": "w.safetensors", "target": "back.pkl"})
    back = pickle.loads((root / "back.pkl").read_bytes())
    for key, value in whitening.items():
        assert back[key].dtype == np.float64 and np.array_equal(back[key], value)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("g.pth", "g.pth", "same file"),
        ("g.pth", "g.pkl", "is written as .safetensors or .pth"),
        ("w.pkl", "w.pth", "is written as .safetensors or .pkl"),
    ],
)
def test_targets_that_cannot_be(source, target, message, root):
    save_network(build(generator()).state_dict(), root / "g.pth")
    (root / "w.pkl").write_bytes(pickle.dumps({"m": np.zeros((2, 1)), "P": np.eye(2)}))
    with pytest.raises(UserError, match=message):
        convert({"source": source, "target": target})


@pytest.mark.parametrize("damage", ["json", "weights", "other"])
def test_damaged_files_are_named(damage, root):
    save_network(build(generator()).state_dict(), root / "g.pth")
    convert({"source": "g.pth", "target": "g.safetensors"})
    if damage == "json":
        (root / "g.json").write_text("{")
    elif damage == "weights":
        (root / "g.safetensors").write_bytes(b"short")
    else:
        (root / "g.json").unlink()
    with pytest.raises(DataError, match=r"root/g\."):
        load_network({"path": "g.safetensors"}, "cpu")


def test_what_depends_on_the_size_of_images_is_not_exported_for_any(root):
    """Positions of a transformer would be those of the example for all images."""
    model = {"architecture": "timm", "name": "test_vit", "pretrained": False}
    save_network(build(single(model, wrappers="")).state_dict(), root / "net.pth")
    given = {"network": {"path": "net.pth"}, "target": "out/net"}
    with pytest.raises(UserError, match=r"say image_size: \[height, width\]"):
        export(given)
    export({**given, "formats": ["safetensors"]})
    notes = json.loads((root / "out" / "net.json").read_text())
    assert notes["input"]["mean_std"] == [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
