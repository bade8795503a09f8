"""Every scenario that is shipped: all its targets, steps, components and variables are sound."""

import re

import pytest
import yaml

from mdir.scenario.checks import check_everything, check_scenario_level
from mdir.scenario.plan import SCENARIOS, load_scenario
from tests.scenario.command import PROJECT


def is_overlay(path):
    """Whether a file is laid over others: a ``toy.yml``, or its first line says so."""
    return path.name == "toy.yml" or path.read_text().startswith("# Over ")


def is_scenario(path):
    """Whether a file is performed as it is: no overlay, no template, no sweep.

    Files below ``parameters`` are templates of steps, names with an underscore in front templates
    of scenarios.
    """
    inside = path.relative_to(PROJECT / "scenarios")
    is_template = {"parameters", "sweeps"} & set(inside.parts) or path.name.startswith("_")
    return not is_template and not is_overlay(path)


FILES = sorted((PROJECT / "scenarios").rglob("*.yml"))
SHIPPED = [path for path in FILES if is_scenario(path)]


def name(path):
    return str(path.relative_to(PROJECT / "scenarios"))


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_layers_steps_and_variables(path):
    """What needs none of the libraries that steps need: pre-commit runs it without them."""
    scenario = load_scenario([str(path)])
    assert all(check_scenario_level(scenario, target).steps for target in scenario.targets)


def given(path):
    """What a scenario asks for on the command line."""
    if name(path) == "backbones/eval.yml":
        commits = ("cosplace", "eigenplaces", "megaloc", "boq", "dinov2")
        return [
            "photos.00_settings.photos=photos",
            "photos.00_settings.mobilenet=mobilenet.safetensors",
            "hub.00_settings.trust=true",
            *(f"hub.00_settings.{key}={'c0ffee' * 6}abcd" for key in commits),
        ]
    names = ("all", "index", "off_the_shelf", "adapt")
    targets = names if path.name == "photos.yml" else ()
    return [f"{target}.00_settings.photos=photos" for target in targets]


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_validate(path):
    assert check_everything([str(path), *given(path)])[1] == []


def covered():
    """Scenarios with an overlay: what it names, and a toy.yml its whole family."""
    for overlay in filter(is_overlay, FILES):
        named = re.findall(r"^#.*perform_scenario.py \S+ (\S+)", overlay.read_text(), re.M)
        paths = [PROJECT / "scenarios" / path for path in named]
        if overlay.name == "toy.yml":
            paths += [path for path in SHIPPED if overlay.parent in path.parents]
        for path in paths:
            yield pytest.param(path, overlay, id=f"{name(path)} {overlay.name}")


@pytest.mark.parametrize(("path", "overlay"), list(covered()))
def test_validate_with_an_overlay(path, overlay):
    assert check_everything([str(path), str(overlay), *given(path)])[1] == []


@pytest.mark.parametrize("path", [path for path in FILES if not is_scenario(path)], ids=name)
def test_templates_and_overlays_are_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_scenarios_are_there():
    assert SHIPPED
    assert (PROJECT / "scenarios").samefile(SCENARIOS)
