"""Every shipped file fits the printed schema, and a misspelt key in it does not."""

import copy
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from mdir.registry import annotations
from mdir.scenario.checks import check_everything
from mdir.scenario.plan import SCENARIOS
from mdir.scenario.tree import ScenarioError
from tests.scenario.test_schema import printed, read, validator  # noqa: F401
from tests.shipped import test_shipped_scenarios

NAMES = [test_shipped_scenarios.name(path) for path in test_shipped_scenarios.FILES]


@cache
def whole(name):
    return read(Path(SCENARIOS, name).read_text())


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("sweeps/")])
def test_shipped_files_fit(validator, name):  # noqa: F811
    assert [error.message for error in validator.iter_errors(whole(name))] == []


def settled_keys(value, path=()):
    """Paths of keys that are texts and whose values hold no variable, which may stand for all."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if not annotations.holds_unresolved(item) and not key.startswith("_"):
            yield (*path, key)
        yield from settled_keys(item, (*path, key))


def misspelt(key):
    """A key whose last part lacks its second letter; None for parts that are too short."""
    lead, part, marker = re.fullmatch(r"(.*\.)?(.*?)([*+?]?)", key).groups()
    return f"{lead or ''}{part[0]}{part[2:]}{marker}" if len(part) > 3 else None


def renamed(tree, path, new):
    tree = copy.deepcopy(tree)
    level = tree
    for key in path[:-1]:
        level = level[key]
    items = list(level.items())
    level.clear()
    level.update({new if key == path[-1] else key: item for key, item in items})
    return tree


def cases():
    """Every key of a scenario misspelt once in its surroundings; settings may hold anything."""
    for name in ("quickstart.yml", "judge.yml", "photos.yml"):
        seen = set()
        for path in settled_keys(whole(name)):
            is_held = len(path) > 3 and path[1].endswith("_settings")
            if len(path) > 2 and not is_held and path[-2:] not in seen and misspelt(path[-1]):
                seen.add(path[-2:])
                yield pytest.param(name, path, id=f"{name} {'.'.join(path)}")


def problems(tree, folder):
    (folder / "s.yml").write_text(yaml.safe_dump(tree))
    try:
        check_everything([str(folder / "s.yml")])
    except ScenarioError as error:
        return [each.problem.message for each in error.problems]
    return []


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """``(name, path)`` -> a part of a scenario around a key, which is checked the sooner."""
    folder = tmp_path_factory.mktemp("surroundings")

    @cache
    def found(name, target, step):
        tree = whole(name)
        steps = {k: v for k, v in tree[target].items() if k == step or k.endswith("_settings")}
        parts = [{target: steps}, {target: tree[target]}]
        sound = (part for part in parts if problems(part, folder) == [])
        return next(sound, tree if target.startswith("_") else parts[1])

    return lambda name, path: found(name, *path[:2])


@pytest.mark.parametrize(("name", "path"), cases())
def test_a_misspelt_key_fits_where_the_engine_takes_it(
    validator,  # noqa: F811
    surroundings,
    tmp_path,
    name,
    path,
):
    tree = renamed(surroundings(name, path), path, misspelt(path[-1]))
    new = repr(misspelt(path[-1]).rpartition(".")[2].rstrip("*+?"))
    found = problems(tree, tmp_path)
    if not found or any(f"parameter {new}" in message for message in found):
        assert validator.is_valid(tree) == (not found)
