"""The command ``components``: what a scenario can name, with parameters, from the registry."""

import argparse
import functools
import inspect
import json
import re
import textwrap

from mdir import registry
from mdir.registry.plugins import PluginError
from mdir.scenario import step_table
from mdir.scenario.plan import FUNCTION
from mdir.scenario.program import program

STEP = "step"
DESCRIPTION = """\
Show what a scenario can name: all kinds, the components of a kind, the parameters of a component.
Steps are listed as a kind, too. The name '' stands for a section that names no component.
"""


def main(arguments: list[str]) -> int:
    """Print what was asked for; an unknown kind or name ends with exit code 2."""
    parser = argparse.ArgumentParser(prog=f"{program()} components", description=DESCRIPTION)
    parser.add_argument("kind", nargs="?", metavar="KIND")
    parser.add_argument("name", nargs="?", metavar="NAME")
    options = parser.parse_args(arguments)
    kinds = {STEP: FUNCTION, **{name: kind.key for name, kind in registry.KINDS.items()}}
    if options.kind is None:
        print(_columns((kind, f"named by {key}" if key else "") for kind, key in kinds.items()))
        return 0
    if options.kind not in kinds:
        parser.error(registry.unknown("kind", options.kind, kinds))
    names = component_names(options.kind)
    if options.name is None:
        print(_columns((name or "''", _summary(options.kind, name)) for name in names))
        return 0
    if options.name not in names:
        parser.error(registry.unknown(options.kind, options.name, names))
    try:
        print(_page(options.kind, options.name, kinds[options.kind]))
    except PluginError as error:
        parser.error(f"the {options.kind} {options.name!r} cannot be imported: {error}")
    return 0


def component_names(kind: str) -> list[str]:
    """All names of a kind, or of the steps."""
    return step_table.names() if kind == STEP else registry.names(kind)


def find_component(kind: str, name: str):
    """The component, or the typed function of a step (the step where it declares no parameters).

    Raises:
        PluginError: a step of another package cannot be imported.
    """
    if kind != STEP:
        return registry.lookup(kind, name)
    step = step_table.load(name)
    return getattr(step, "function", step)


def documentation(component) -> str:
    """The docstring, and below it that of the constructor; not that of a base class."""
    if isinstance(component, functools.partial):
        component = component.func
    texts = [component.__doc__]
    if inspect.isclass(component):
        texts.append(vars(component).get("__init__", component).__doc__)
    text = "\n\n".join(inspect.cleandoc(text) for text in dict.fromkeys(filter(None, texts)))
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", text)


def argument_texts(documentation: str) -> dict[str, str]:
    """What the paragraph ``Args:`` of a docstring says of each parameter."""
    texts: dict[str, str] = {}
    paragraph = re.search(r"^Args:\n((?: .*\n?|\n)+)", documentation, re.M)
    for entry in re.findall(r"^ {4}(\S.*(?:\n {5,}.*)*)", paragraph[1] if paragraph else "", re.M):
        names, _, text = entry.partition(":")
        texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return texts


def _summary(kind, name):
    try:
        component = find_component(kind, name)
    except PluginError as error:
        return f"cannot be imported: {error}"
    return documentation(component).partition("\n")[0]


def _page(kind, name, key):
    component = find_component(kind, name)
    head = f"{kind} {name}" if name else f"{kind}, unnamed"
    parts = [f"{head} ({key}: {name})" if name and key else head, documentation(component)]
    is_typed = kind != STEP or component is not step_table.load(name)
    parameters = (_columns(_parameters(component)) or "none") if is_typed else "not declared: any"
    parts.append("parameters:\n" + textwrap.indent(parameters, "  "))
    return "\n\n".join(filter(None, parts))


def _parameters(component, indent=""):
    """``(name, words)`` of each parameter, those inside a mapping indented below it."""
    fields, others = registry.schema(component)
    for name, field in fields.items():
        yield indent + name, f"{registry.in_words(field.annotation)}; {_need(field)}"
        for nested in filter(None, map(_keys, registry.arms(field.annotation))):
            yield from _parameters(nested, indent + "  ")
    if others is not None:
        yield f"{indent}any other", registry.in_words(others)


def _need(field):
    if field.default is ...:
        return "optional"
    if field.default is field.empty:
        return "required"
    return f"default {json.dumps(field.default, default=repr)}"


def _keys(arm):
    """What declares the keys of a mapping, besides those of the component that it names."""
    return getattr(arm, "signature", None) or getattr(arm, "beside", None)


def _columns(lines):
    lines = list(lines)
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(f"{name:{width}}  {words}".rstrip() for name, words in lines)
