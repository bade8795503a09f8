"""The command ``schema``: a JSON Schema of scenario files, for editors (yaml-language-server)."""

import argparse
import functools
import json
import typing

from mdir import registry
from mdir.registry.plugins import PluginError
from mdir.scenario import step_table
from mdir.scenario.assist.components import STEP, find_component
from mdir.scenario.assist.definitions import Definitions
from mdir.scenario.overlay import TEMPLATE
from mdir.scenario.plan import FUNCTION
from mdir.scenario.program import program

DESCRIPTION = """\
Write a JSON Schema of scenarios, overlays and templates to standard output. An editor with
yaml-language-server takes it by the first line of a file: # yaml-language-server: $schema=FILE
"""
DOC = "__doc__"


def main(arguments: list[str]) -> int:
    """Print the schema."""
    parser = argparse.ArgumentParser(prog=f"{program()} schema", description=DESCRIPTION)
    parser.parse_args(arguments)
    print(json.dumps(scenario_schema(), separators=(",", ":")))
    return 0


def scenario_schema() -> dict:
    """The schema (draft 7) of every file that a scenario is made of.

    A file is taken for a scenario where it holds mappings of mappings only (targets of steps), else
    for a template: parameters of a step, or a section.
    """
    definitions = Definitions()
    scenario, template = _scenario(definitions), _template(definitions)
    parameters = {"propertyNames": {"pattern": _parameter_names(definitions)}}
    nested = {"type": "object", "additionalProperties": {"type": "object"}, **_aside()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Scenario of image retrieval across domains",
        "$defs": definitions.defs,
        "type": "object",
        "if": {"additionalProperties": nested, **_aside(), "not": parameters},
        "then": scenario,
        "else": {"anyOf": [scenario, *template]},
    }


def _aside():
    """Keys of scenarios and targets that are neither targets nor steps."""
    text = {"type": "string"}
    return {"properties": {TEMPLATE: text, DOC: text, "<<": {}}, "patternProperties": {"^_": {}}}


def _scenario(definitions):
    step = definitions.define("step", lambda: _step(definitions))
    target = {"type": "object", **_aside(), "additionalProperties": step}
    target = definitions.define("target", lambda: target)
    return {**_aside(), "additionalProperties": target}


def _step(definitions):
    cases, names, routes, components = [], [], [], []
    for name in step_table.names():
        try:
            component = find_component(STEP, name)
        except PluginError:
            continue
        names.append(name)
        if component is step_table.load(name):  # its parameters are not declared
            continue
        given = {"properties": {FUNCTION: {"const": name}}, "required": [FUNCTION]}
        make = functools.partial(definitions.described, component, {FUNCTION: {"const": name}})
        cases.append({"if": given, "then": definitions.define(f"step.{name}", make)})
        routes += definitions.routes.of_component(component)
        components.append(component)
    dotted = definitions.dotted("step", routes)
    for case in cases:
        schema = definitions.defs[case["then"]["$ref"].rpartition("/")[2]]
        if schema["additionalProperties"] is False:
            case["then"] = {"allOf": [case["then"], dotted]}
    # Steps that take any parameter hold plain values mostly; a misspelt section is not.
    plain, function = {"not": {"type": "object"}}, {FUNCTION: {"enum": names}}
    unknown = definitions.define("step.*", lambda: definitions.union(components, function, plain))
    absent = {"not": {"required": [FUNCTION]}}
    known = {"properties": {FUNCTION: {"enum": names}}}
    return {
        "type": ["object", "null"],
        "allOf": [known, *cases, {"if": absent, "then": {"allOf": [unknown, dotted]}}],
    }


def _template(definitions):
    sections = list(definitions.sections.values())
    data = definitions.value(dict[str, typing.Annotated[dict, registry.Section("data")]])
    return [{"$ref": "#/$defs/step"}, *sections, data]


def _parameter_names(definitions):
    names = [name for name in definitions.defs["step.*"]["properties"] if name != FUNCTION]
    return f"^(?:{'|'.join(names)})(?:[*+?.]|$)"
