"""A component is known as soon as its file lies in a package of its kind."""

import ast
import json
import subprocess
import sys

from mdir.registry import KINDS
from tests.conftest import PROJECT

LOOK_UP_ALL = """
import json, sys
from mdir import registry
found = {kind: registry.names(kind) for kind in registry.KINDS}
print(json.dumps(sorted(name for name in sys.modules if name.startswith("mdir."))))
"""


def registering_modules():
    for path in (PROJECT / "mdir").rglob("*.py"):
        decorators = [
            decorator.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            for decorator in getattr(node, "decorator_list", ())
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name)
        ]
        if "register" in decorators:
            yield ".".join(path.relative_to(PROJECT).with_suffix("").parts)


def test_every_registering_module_is_reached_by_the_look_up_of_its_kind():
    registering = set(registering_modules())
    assert len(registering) > len(KINDS)
    done = subprocess.run(
        [sys.executable, "-c", LOOK_UP_ALL], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert registering - set(json.loads(done.stdout)) == set()
