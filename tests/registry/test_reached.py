"""A component is known as soon as its file is in a package of its kind; it is imported later."""

import json
import subprocess
import sys

import pytest

from mdir import registry
from mdir.registry.components import ComponentError, Kind
from tests.conftest import PROJECT

ALL = """
import importlib, json, pkgutil, sys
import mdir
from mdir import registry
from mdir.registry.components import KINDS
from mdir.registry.places import places

told = {kind: registry.names(kind) for kind in KINDS}
early = [name for name in sys.modules if name.startswith(("torch", "numpy"))]
modules = {kind: {} for kind in KINDS}
for package in {package for kind in KINDS.values() for package in kind.packages}:
    for kind, found in places(package).modules.items():
        modules[kind] |= found
for module in pkgutil.walk_packages(mdir.__path__, "mdir."):
    importlib.import_module(module.name)
there = {
    kind: {name: part.__module__ for name, part in family.components.items()}
    for kind, family in KINDS.items()
}
print(json.dumps([told, early, modules, there]))
"""
WRITTEN = {
    "plain": '@register("herb", "dill", "bay", check=print)\nclass Dill:\n    pass\n',
    "long": "@register(\n    'herb',\n    'mint',\n)\nclass Mint:\n    pass\n",
    "dotted": 'from mdir import registry\n\nregistry.register("herb", "")(type("Any", (), {}))\n',
    "called": 'NAMES = ["sage"]\nregister("herb", *NAMES)(dict)\n',
    "partly": '@register("herb", "basil", *["thyme"])\nclass Basil:\n    pass\n',
    "none": "def register(self):\n    self.events.register('herb', 'salt')\n",
}


def test_names_are_read_without_imports_and_are_all_that_modules_register():
    done = subprocess.run(
        [sys.executable, "-c", ALL], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    told, early, modules, there = json.loads(done.stdout)
    assert early == []
    assert modules == there
    assert told == {kind: sorted(found) for kind, found in there.items()}
    assert set(told) == set(registry.KINDS) and all(told.values())


@pytest.fixture
def herbs(tmp_path, monkeypatch):
    """A kind of components whose decorators are written in many ways."""
    package = tmp_path / "herbs_of_tests"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in WRITTEN.items():
        (package / f"{name}.py").write_text(f"from mdir.registry import register\n\n\n{text}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.KINDS, "herb", Kind("name", ("herbs_of_tests",)))
    before = set(sys.modules)
    yield lambda: {name.partition(".")[2] for name in set(sys.modules) - before if "herbs" in name}
    for name in set(sys.modules) - before:
        if "herbs" in name:
            del sys.modules[name]


def test_a_look_up_imports_what_it_needs(herbs):
    names = ["", "basil", "bay", "dill", "mint", "sage", "thyme"]
    assert registry.names("herb") == names
    unclear = {"", "called", "partly"}
    assert herbs() == unclear
    assert registry.lookup("herb", "mint").__name__ == "Mint"
    assert herbs() == unclear | {"long"}
    for other in ("mnit", {"mint": 1}, ["mint"], None):
        with pytest.raises(ComponentError, match="Allowed: basil, bay, dill, mint, sage, thyme"):
            registry.lookup("herb", other)
    assert herbs() == unclear | {"long"}
    assert registry.lookup("herb", "bay") is registry.lookup("herb", "dill")
    assert [registry.lookup("herb", name).__name__ for name in names[:2]] == ["Any", "Basil"]
    assert registry.names("herb") == names and "none" not in herbs()


def test_a_name_of_ours_is_taken_before_its_module_is_imported():
    class Mine:
        pass

    with pytest.raises(RuntimeError, match=r"'fid' is registered by mdir\.scores\.fid already"):
        registry.register("score", "fid")(Mine)
