"""The house: a room uses only what lies below it, and no folder or file outgrows a reader."""

import ast
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import PROJECT

FLOORS = {
    "sweep": 11,
    "scenario": 10,
    "serve": 10,
    "stages": 9,
    "learning": 8,
    "methods": 7,
    "scores": 6,
    "losses": 6,
    "toy_world": 6,
    "photos": 5,
    "inference": 5,
    "networks": 4,
    "data": 3,
    "report": 3,
    "clustering": 2,
    "registry": 2,
    "root": 1,  # modules of mdir that stand in no room
    "cirtorch": 0,
}
# The engine knows of steps what their table says, and starts without any large library.
ENGINE_USES = {"scenario", "registry", "root", "cirtorch"}
TABLE_OF_STEPS = "mdir.stages"
ENGINE_LIBRARIES = sys.stdlib_module_names | {"yaml", "argcomplete"}
# Classes of networks take finished models; what sections and files say is read above them.
NETWORK_CLASSES = {f"mdir.networks.{name}" for name in ("base", "single", "containers")}
MAKING_NETWORKS = {"mdir.registry", "mdir.networks.factory", "mdir.networks.sections"}
MODULES_IN_A_FOLDER, LINES_OF_A_FILE = 20, 400


class House:
    """All modules below a folder, and what they import anywhere in their text."""

    def __init__(self, root: Path):
        self.root = root
        paths = [path for top in ("mdir", "cirtorch") for path in (root / top).rglob("*.py")]
        self.files = {_dotted(path.relative_to(root)): path for path in sorted(paths)}
        self.imports = {name: _imports(name, path) for name, path in self.files.items()}

    def uses(self, module: str) -> set[str]:
        """Modules of the house that one of them imports."""
        return {self._module(name) for name in self.imports[module]} - {None, module}

    def _module(self, name):
        """``mdir.errors.UserError`` -> ``mdir.errors``; None for what is not ours."""
        while name and name not in self.files:
            name = name.rpartition(".")[0]
        return name or None

    def room(self, module: str) -> str:
        top, second = [*module.split("."), ""][:2]
        if top == "mdir":
            return second if (self.root / top / second).is_dir() and second else "root"
        return top

    def floor(self, module: str) -> int | None:
        return FLOORS.get(self.room(module))


def _dotted(path):
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(module, path):
    """Full names, so that ``from . import x`` in ``a.b`` is ``a.x``."""
    parts = [*module.split("."), ""] if path.name == "__init__.py" else module.split(".")
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parts[: -node.level] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def without_floor(house):
    return {house.room(module) for module in house.files} - set(FLOORS)


def upwards(house):
    return {
        f"{module} imports {used}"
        for module in house.files
        for used in house.uses(module)
        if (house.floor(used) or 0) > (house.floor(module) or 0)
    }


def circles(house):
    """Of modules, and of rooms that share a floor."""
    modules = {module: house.uses(module) for module in house.files}
    rooms = {room: set() for room in FLOORS}
    for module, uses in modules.items():
        level = {house.room(used) for used in uses if house.floor(used) == house.floor(module)}
        rooms.setdefault(house.room(module), set()).update(level - {house.room(module)})
    return {found for found in map(_circle, (modules, rooms)) if found}


def _circle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        ring = error.args[1][1:]
        start = ring.index(min(ring))
        return " <- ".join([*ring[start:], *ring[: start + 1]])
    return None


def crowded(house):
    folders = [path.parent for path in house.files.values() if path.name != "__init__.py"]
    return {
        folder.relative_to(house.root).as_posix()
        for folder in folders
        if folders.count(folder) > MODULES_IN_A_FOLDER
    }


def too_long(house):
    return {
        name
        for name, path in house.files.items()
        if len(path.read_text(encoding="utf-8").splitlines()) > LINES_OF_A_FILE
    }


def curious_engine(house):
    """What the engine imports beyond its own libraries, its helpers and the table of steps."""
    engine = [module for module in house.files if house.room(module) == "scenario"]
    inner = {
        (module, used)
        for module in engine
        for used in house.uses(module) - {TABLE_OF_STEPS}
        if house.room(used) not in ENGINE_USES
    }
    tops = {(module, name.split(".")[0]) for module in engine for name in house.imports[module]}
    allowed = ENGINE_LIBRARIES | {"mdir", "cirtorch"}
    outer = {(module, top) for module, top in tops if top not in allowed}
    return {f"{module} imports {used}" for module, used in inner | outer}


def networks_that_make_networks(house):
    return {
        f"{module} imports {used}"
        for module in NETWORK_CLASSES & set(house.files)
        for used in house.uses(module)
        if used in MAKING_NETWORKS or used.startswith("mdir.registry.")
    }


RULES = [
    without_floor,
    upwards,
    circles,
    crowded,
    too_long,
    curious_engine,
    networks_that_make_networks,
]


@cache
def our_house():
    return House(PROJECT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule(rule):
    assert rule(our_house()) == set()


def test_the_whole_house_is_read():
    known = {"mdir", "mdir.errors", "mdir.scenario.plan", "cirtorch"}
    assert known | NETWORK_CLASSES | MAKING_NETWORKS <= set(our_house().files)
    assert "mdir.errors" in our_house().uses("mdir.scenario.cli")


BROKEN = {
    "in a function": (
        upwards,
        {"mdir/data/a.py": "def f():\n    from mdir.networks import b\n", "mdir/networks/b.py": ""},
        "mdir.data.a imports mdir.networks.b",
    ),
    "relative": (
        upwards,
        {"mdir/data/sub/a.py": "from ...networks.b import x\n", "mdir/networks/b.py": ""},
        "mdir.data.sub.a imports mdir.networks.b",
    ),
    "package": (
        upwards,
        {"mdir/data/__init__.py": "from .. import stages\n", "mdir/stages/__init__.py": ""},
        "mdir.data imports mdir.stages",
    ),
    "library": (
        upwards,
        {"cirtorch/a.py": "import mdir.errors\n", "mdir/errors.py": ""},
        "cirtorch.a imports mdir.errors",
    ),
    "unknown room": (without_floor, {"mdir/utils/a.py": ""}, "utils"),
    "modules in a circle": (
        circles,
        {"mdir/data/a.py": "from . import b\n", "mdir/data/b.py": "import mdir.data.a\n"},
        "mdir.data.a <- mdir.data.b <- mdir.data.a",
    ),
    "rooms in a circle": (
        circles,
        {
            "mdir/data/a.py": "from mdir.report import b\n",
            "mdir/report/b.py": "",
            "mdir/report/c.py": "from mdir.data import d\n",
            "mdir/data/d.py": "",
        },
        "data <- report <- data",
    ),
    "crowd": (crowded, {f"mdir/data/m{number}.py": "" for number in range(21)}, "mdir/data"),
    "long file": (too_long, {"cirtorch/a.py": "\n" * 401}, "cirtorch.a"),
    "heavy engine": (
        curious_engine,
        {"mdir/scenario/plan.py": "def f():\n    import torch.nn\n"},
        "mdir.scenario.plan imports torch",
    ),
    "inside of a step": (
        curious_engine,
        {
            "mdir/scenario/step_table.py": "import mdir.stages.train\nfrom mdir.stages import A\n",
            "mdir/stages/__init__.py": "",
            "mdir/stages/train.py": "",
        },
        "mdir.scenario.step_table imports mdir.stages.train",
    ),
    "network that reads sections": (
        networks_that_make_networks,
        {
            "mdir/networks/single.py": "def f():\n    from mdir import registry\n",
            "mdir/registry/__init__.py": "",
        },
        "mdir.networks.single imports mdir.registry",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_found(name, tmp_path):
    rule, files, fault = BROKEN[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert rule(House(tmp_path)) == {fault}
