"""Descriptors of torch.hub: one commit, its own modules, trust, outputs, mistakes."""

import sys
import zipfile

import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.errors import UserError
from mdir.networks.architectures.parts.hub_repository import load_entry
from mdir.networks.factory import load_network
from mdir.networks.files import save_network
from tests import sections

COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40
HALF = [[0.5] * 3, [0.5] * 3]
CONF = """
dependencies = ["torch"]
from layers import Net

def small(width=4, *, norm=False):
    return Net(width)

def several():
    return Net(4, lambda x: (x, x.sum()))

def named():
    return Net(4, lambda x: {"descriptor": x})

def a_map():
    return Net(4, lambda x: x[:, :, None, None].expand(-1, -1, 2, 2))

def no_network():
    return 3

def fails():
    raise RuntimeError("no luck")

def in_turn():
    import torch
    return torch.hub.load("other/code", "inner", pretrained=False)
"""
LAYERS = """
import torch
from torch import nn
WHERE = "{where}"

class Net(nn.Module):
    def __init__(self, width, last=lambda x: x):
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, width, 7), nn.BatchNorm2d(width), last
        self.where = WHERE

    def forward(self, x):
        assert not min(x.shape[2:]) % 7, x.shape
        return self.last(self.norm(self.conv(x)).mean((2, 3)))
"""


def write(folder, conf=CONF, where="first"):
    folder.mkdir(parents=True)
    (folder / "hubconf.py").write_text(conf)
    (folder / "layers.py").write_text(LAYERS.format(where=where))
    return folder


def section(entry="small", **params):
    given = {"architecture": "hub", "path": "code", "entry": entry, "trust": True}
    return {**given, "mean_std": HALF, "size_multiple": 7, **params}


def build(entry="small", **params):
    torch.manual_seed(0)
    return registry.build("architecture", section(entry, **params))


def test_unit_columns_of_images_of_any_size(root):
    write(root / "code")
    model = build(arguments={"width": 6}).eval()
    with torch.no_grad():
        columns = model(torch.rand(2, 3, 40, 53))
    assert columns.shape == (6, 2) and model.meta["out_channels"] == 6
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(2))
    assert build(input_size=[28, 35]).eval()(torch.rand(1, 3, 9, 9)).shape == (4, 1)


@pytest.mark.parametrize(("entry", "output"), [("several", 0), ("named", "descriptor")])
def test_which_part_is_the_descriptor_is_told(root, entry, output):
    write(root / "code")
    assert build(entry, output=output).meta["out_channels"] == 4
    with pytest.raises(UserError, match=r"a tensor \[1, 4\].*say which by output"):
        build(entry)
    with pytest.raises(UserError, match="without an output 'x'"):
        build(entry, output="x")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("a_map", r"gives a tensor \[1, 4, 2, 2\], not \[B, D\]"),
        ("no_network", "gives a int, a torch module is expected"),
        ("fails", "'fails' of .*code fails: RuntimeError: no luck"),
        ("in_turn", "loads code of 'other/code' in turn.*needs: {other/code: COMMIT}"),
    ],
)
def test_entries_that_are_no_descriptors(root, entry, message):
    write(root / "code")
    with pytest.raises(UserError, match=message):
        build(entry)


def test_repositories_have_their_modules_apart(root):
    """Both have a module ``layers``, and so has the user."""
    one, two = write(root / "code"), write(root / "second", where="second")
    mine = sys.modules["layers"] = type(sys)("layers")
    before, path, kept = set(sys.modules), list(sys.path), torch.hub.get_dir()
    try:
        assert [load_entry(f, "small", {}, {}).where for f in (one, two)] == ["first", "second"]
        assert sys.modules["layers"] is mine
    finally:
        del sys.modules["layers"]
    assert set(sys.modules) | {"layers"} == before and sys.path == path
    assert torch.hub.get_dir() == kept
    assert not list(root.rglob("*.pyc"))


def archive(mirror, repository, commit, comment=None, **files):
    place = mirror / "github.com" / repository / "archive" / f"{commit}.zip"
    place.parent.mkdir(parents=True)
    with zipfile.ZipFile(place, "w") as whole:
        for name, text in files.items():
            whole.writestr(f"{repository.rpartition('/')[2]}-{commit}/{name}.py", text)
        whole.comment = (comment or commit).encode()


def test_a_commit_is_fetched_once_with_what_it_needs(root, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    monkeypatch.setenv("CIRTORCH_MIRROR", str(mirror))
    layers = LAYERS.format(where="a")
    archive(mirror, "some/code", COMMIT, hubconf=CONF, layers=layers)
    inner = "from layers import Net\n\ndef inner(pretrained): return Net(9)\n"
    archive(mirror, "other/code", OTHER, hubconf=inner, layers=LAYERS.format(where="b"))
    given = {"path": None, "repository": "some/code", "commit": COMMIT}
    model = build("in_turn", **given, needs={"other/code": OTHER})
    assert model.meta["out_channels"] == 9 and model.model.where == "b"
    assert (root / f"hub/some_code_{COMMIT}/code-{COMMIT}/hubconf.py").is_file()
    monkeypatch.setenv("CIRTORCH_MIRROR", str(tmp_path / "gone"))
    assert build("small", **given).model.where == "a"
    with pytest.raises(
        registry.ComponentError, match="entry: .*no entry 'smal'.*Did you mean 'small'"
    ):
        build("smal", **given)


def test_an_archive_of_another_commit_is_refused(root, tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_MIRROR", str(tmp_path))
    archive(tmp_path, "some/code", COMMIT, comment=OTHER, hubconf=CONF)
    with pytest.raises(DataError, match=f"is of commit {OTHER}, not of {COMMIT}"):
        build(path=None, repository="some/code", commit=COMMIT)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trust": False}, "trust: the code of code runs with all your rights"),
        ({"entry": "smal"}, "entry: .* has no entry 'smal'. Did you mean 'small'.*It has: small"),
        ({"arguments": {"widht": 3}}, "arguments: small takes no 'widht'. Did you mean 'width'"),
        ({"path": "elsewhere"}, "path: .*elsewhere: there is no such folder"),
        ({"commit": COMMIT}, "name either repository and commit, or path"),
        ({"path": None}, "name either repository and commit, or path"),
        ({"path": None, "repository": "a/b"}, "commit: name the whole .*github.com/a/b/commits"),
        (
            {"path": None, "repository": "a/b", "commit": "main"},
            "commit: expected the 40 hexadecimal digits of a commit, got 'main'",
        ),
        (
            {"path": None, "repository": "a/b:main", "commit": COMMIT},
            "repository: expected OWNER/REPOSITORY",
        ),
        ({"needs": {"a/b": "v1.0"}}, "needs.a/b: expected the 40 hexadecimal digits"),
        ({"needs": {"ab": COMMIT}}, "needs.ab: expected OWNER/REPOSITORY"),
    ],
)
def test_mistakes_are_told_before_anything_runs(root, params, message):
    write(root / "code", f"raise SystemExit('it ran')\n{CONF}")
    with pytest.raises(registry.ComponentError, match=message):
        build(**params)


def test_packages_that_its_code_lacks(root):
    write(root / "code", 'dependencies = ["torch", "absent_package"]\ndef small(): pass\n')
    with pytest.raises(registry.ComponentError, match="not installed: absent_package"):
        build()


def test_a_file_alone_runs_no_code(root):
    write(root / "code")
    network = sections.build(sections.single(section(), wrappers="")).eval()
    assert network.preprocessing["mean_std"] == HALF
    save_network(network.state_dict(), root / "net.pth")
    (root / "code/layers.py").write_text("raise SystemExit('it ran')\n")
    with pytest.raises(UserError, match="its file names code of others"):
        load_network({"path": "net.pth"}, "cpu")
    (root / "code/layers.py").write_text(LAYERS.format(where="first"))
    told = {"type": "SingleNetwork", "path": "net.pth", "model": section(), "runtime": {}}
    images = torch.rand(2, 3, 21, 28)
    for again in (load_network(told, "cpu"), sections.build(told)):
        torch.testing.assert_close(again.eval()(images), network(images))


def test_training_keeps_statistics_and_trains_all(root):
    write(root / "code")
    network = sections.build(sections.single(section(), wrappers="")).train()
    assert not network.model.model.norm.training and network.model.model.conv.training
    assert len(network.parameters({"lr": 0.1})) == 4
