"""What the documents name in backticks exists: modules, functions, files, steps."""

import importlib
import re

import pytest

from mdir.scenario import step_table
from mdir.stages import STEPS
from tests.conftest import PROJECT

PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").glob("*.md")),
]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DOTTED = re.compile(r"(?:mdir|cirtorch|tests|benchmarks)(?:\.\w+)+")
FOLDERS = ("mdir", "cirtorch", "tests", "scenarios", "benchmarks", "docs", "requirements")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*")
SCENARIO = re.compile(r"[\w./*-]+/[\w*-]+\.yml")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
# Names of entry points, which no module has.
ENTRY_POINTS = {step_table.GROUP, "mdir.components"}


def quoted(text):
    """What stands in backticks, blocks of code left out."""
    return re.findall(r"`([^`]+)`", FENCED.sub("", text))


def dotted_names(text):
    return [name for name in quoted(text) if DOTTED.fullmatch(name)]


def paths(text):
    return [name for name in quoted(text) if PATH.fullmatch(name) or SCENARIO.fullmatch(name)]


def exists(name):
    """Whether a dotted name is that of a step, a module or something in one."""
    if name in STEPS or name in ENTRY_POINTS:
        return True
    module, attributes = name, []
    while module:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            module, _, attribute = module.rpartition(".")
            attributes.insert(0, attribute)
            continue
        for attribute in attributes:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def is_there(path):
    return any(any(folder.glob(path)) for folder in (PROJECT, PROJECT / "scenarios"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_names_exist(path):
    text = path.read_text(encoding="utf-8")
    assert [name for name in dotted_names(text) if not exists(name)] == []
    assert [name for name in paths(text) if not is_there(name)] == []
    links = LINK.findall(text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_room_has_its_row():
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (PROJECT / "mdir").glob("*/__init__.py")]
    assert [room for room in rooms if f"`mdir/{room}`" not in text] == []


def test_what_is_read_and_what_is_missed():
    text = "`mdir.errors.UserError` and `mdir/errors.py`\n```\n`mdir.not_read`\n```\n`{a,b}.yml`\n"
    assert dotted_names(text) == ["mdir.errors.UserError"] and paths(text) == ["mdir/errors.py"]
    assert exists("mdir.errors.UserError") and exists("mdir.methods.base.Method.step")
    assert exists("mdir.stages.pairs.check_pairs")  # a step's name, not a module's
    for gone in ("mdir.gone", "mdir.errors.Gone", "mdir.methods.base.Method.gone", "gone.mdir"):
        assert not exists(gone)
    assert is_there("iccv23/toy.yml") and is_there("tests/golden/test_*.py")
    assert not is_there("mdir/gone.py")
