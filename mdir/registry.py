"""Names in scenarios -> components; their typed signatures are their schemas.

A component is a class or function registered under a kind and a name::

    @register("criterion", "triplet")
    class TripletLoss(nn.Module):
        def __init__(self, *, margin: float = 0.1): ...

**Keyword-only parameters are what a scenario may write; positional ones are what the engine
hands over** (a network, a device, a transform). The annotation says what is admitted:

* plain types, ``Literal``, unions, ``list[int]``, ... are checked strictly (a text such as
  ``2e-4``, which YAML 1.1 does not read as a number, is accepted for a float);
* ``Annotated[dict, Section("criterion")]`` is a nested component of that kind, left as a mapping;
  with ``build=True``, :func:`build` hands over the finished object;
* ``Annotated[str, Check(function)]`` calls ``function(value)``, which raises ValueError;
* ``**others: ANNOTATION`` admits further keys of any name with values of that kind.

A component with a ``check_section(section) -> iterable of (path, message)`` attribute adds checks
of its own. Nothing here imports torch; all modules of a kind's packages are imported at its first
look-up, so a component is known as soon as its file lies in the right folder.
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from mdir.errors import UserError


@dataclass
class Problem:
    """One mistake in a scenario: where it is (keys from the top of what was checked) and what."""

    path: tuple
    message: str


class ComponentError(UserError):
    """A component cannot be built from its parameters; ``problems`` lists every reason."""

    def __init__(self, problems):
        self.problems = list(problems)
        super().__init__(
            "\n".join(
                f"{'.'.join(map(str, p.path)) or '(top)'}: {p.message}" for p in self.problems
            )
        )


@dataclass
class Kind:
    """A family of components: the key that names one, and the packages that register them."""

    key: str | None
    packages: tuple[str, ...]
    components: dict = field(default_factory=dict)
    loaded: bool = False


KINDS = {
    "learning": Kind("type", ("mdir.learning",)),
    "training": Kind("type", ("mdir.learning",)),
    "validation": Kind("type", ("mdir.learning",)),
    "optimizer": Kind("algorithm", ("mdir.learning",)),
    "scheduler": Kind("algorithm", ("mdir.learning",)),
    "processor": Kind(None, ("mdir.learning",)),
    "method": Kind("type", ("mdir.methods",)),
    "network": Kind("type", ("mdir.networks",)),
    "architecture": Kind("architecture", ("mdir.networks",)),
    "initializer": Kind("weights", ("mdir.networks",)),
    "wrapper": Kind(None, ("mdir.networks",)),
    "criterion": Kind("loss", ("mdir.losses",)),
    "data": Kind(None, ("mdir.data",)),
    "dataset": Kind("name", ("mdir.data",)),
    "transform": Kind(None, ("mdir.data.transforms",)),
    "score": Kind("type", ("mdir.scores",)),
    "output": Kind("name", ("mdir.stages.outputs",)),
}


@dataclass(frozen=True)
class Section:
    """Annotation: a mapping that names and configures a component of ``kind``."""

    kind: str
    build: bool = False


@dataclass(frozen=True)
class Check:
    """Annotation: ``function(value)`` raises ValueError with a message where the value is bad."""

    function: Callable


def register(kind: str, *names: str):
    """Decorator: make a class or function known as ``names`` of ``kind``."""

    def decorate(component):
        for name in names:
            known = KINDS[kind].components.setdefault(name, component)
            if known is not component and known.__module__ != component.__module__:
                raise RuntimeError(f"{kind} {name!r} is registered by {known.__module__} already")
            KINDS[kind].components[name] = component
        return component

    return decorate


def names(kind: str) -> list[str]:
    """All registered names of a kind, sorted."""
    return sorted(_components(kind))


def lookup(kind: str, name: str):
    """The component of that name; a :class:`ComponentError` names the nearest one otherwise."""
    components = _components(kind)
    if not isinstance(name, str) or name not in components:
        raise ComponentError([Problem((), unknown(kind, name, components))])
    return components[name]


def unknown(what: str, given, allowed) -> str:
    """The message for an unknown name: what was given, what is allowed, the nearest name."""
    allowed = sorted(map(str, allowed))
    message = f"unknown {what} {given!r}"
    near = difflib.get_close_matches(str(given), allowed, n=1)
    if near:
        message += f". Did you mean {near[0]!r}?"
    if allowed:
        message += f" Allowed: {', '.join(allowed)}" if near else f". Allowed: {', '.join(allowed)}"
    return message


def build(kind: str, section: dict, *given, **extra):
    """Check a section and make its component.

    Args:
        section: the mapping as a scenario has it, with the kind's naming key.
        given: positional arguments of the component (what the engine hands over).
        extra: scenario parameters set or overridden by the caller.

    Raises:
        ComponentError: with every problem of the section.
    """
    key = KINDS[kind].key
    section = {**section, **extra}
    problems = list(check(Section(kind), section))
    if problems:
        raise ComponentError(problems)
    component = lookup(kind, section.pop(key))
    return component(*given, **_values(component, section))


def build_named(kind: str, name: str, params: dict, *given):
    """As :func:`build`, for kinds whose name stands outside the section."""
    component = lookup(kind, name)
    problems = list(check_parameters(component, params))
    if problems:
        raise ComponentError(problems)
    return component(*given, **_values(component, params))


def check(annotation, value, path: tuple = ()) -> Iterator[Problem]:
    """Every problem of ``value`` against a type annotation or a :class:`Section`."""
    if is_unresolved(value) or annotation in (typing.Any, inspect.Parameter.empty):
        return
    if isinstance(annotation, Section):
        yield from _check_section(annotation, value, path)
        return
    arms = _arms(annotation)
    sections = [arm for arm in arms if isinstance(arm, Section)]
    if sections and isinstance(value, dict):
        yield from _check_section(sections[0], value, path)
        return
    if sections:
        arms = [arm for arm in arms if not isinstance(arm, Section)]
        if not arms:
            yield Problem(path, f"expected a {sections[0].kind} section (a mapping), got {value!r}")
            return
    failures = []
    for arm in arms:
        found = list(_check_plain(arm, value, path))
        if not found:
            return
        if isinstance(arm, _Checked) and not list(check(arm.annotation, value, path)):
            yield from found  # of the right type, so what the check says is what is wrong
            return
        failures.append(found)
    if len(failures) == 1:
        yield from failures[0]
    else:
        yield Problem(path, f"expected {describe(annotation)}, got {value!r}")


def check_parameters(component, params, path: tuple = (), what: str | None = None):
    """Every problem of a mapping of parameters against a component's typed signature."""
    if not isinstance(params, dict):
        yield Problem(path, f"expected a mapping of parameters, got {params!r}")
        return
    fields, others = schema(component)
    what = what or getattr(component, "__name__", "component")
    for key, value in params.items():
        if is_unresolved(key):
            continue
        if key in fields:
            yield from check(fields[key].annotation, value, (*path, key))
        elif others is not None:
            yield from check(others, value, (*path, key))
        else:
            yield Problem((*path, key), unknown("parameter", key, fields) + f" (of {what})")
    if not any(is_unresolved(key) for key in params):
        for name, parameter in fields.items():
            if name not in params and parameter.default is inspect.Parameter.empty:
                message = f"missing parameter {name!r} of {what}: {describe(parameter.annotation)}"
                yield Problem(path, message)
    extra_check = getattr(component, "check_section", None)
    if extra_check is not None:
        for sub, message in extra_check(params):
            yield Problem((*path, *sub), message)


@functools.cache
def schema(component):
    """``({name: parameter}, annotation of **others or None)``: the keyword-only parameters.

    ``from __future__`` style string annotations are evaluated; parameters of ``functools.partial``
    objects are those still open.
    """
    function = component.__init__ if inspect.isclass(component) else component
    signature = inspect.signature(component)
    target = function.func if isinstance(function, functools.partial) else function
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    fields, others = {}, None
    for name, parameter in signature.parameters.items():
        annotation = hints.get(name, parameter.annotation)
        if parameter.kind is parameter.KEYWORD_ONLY:
            fields[name] = parameter.replace(annotation=annotation)
        elif parameter.kind is parameter.VAR_KEYWORD:
            others = typing.Any if annotation is inspect.Parameter.empty else annotation
    return fields, others


def describe(annotation) -> str:
    """An annotation in a user's words: ``'a number or null'``."""
    parts = list(dict.fromkeys(_describe_one(arm) for arm in _arms(annotation)))
    return " or ".join(parts)


def is_unresolved(value) -> bool:
    """Whether a value still holds a variable, so that it cannot be checked yet."""
    return isinstance(value, str) and ("${" in value or "$<" in value)


def _components(kind):
    family = KINDS[kind]
    if not family.loaded:
        family.loaded = True
        for package in map(importlib.import_module, family.packages):
            for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
                importlib.import_module(module.name)
        _load_entry_points()
    return family.components


@functools.lru_cache(maxsize=1)
def _load_entry_points():
    for entry in entry_points(group="mdir.components"):
        entry.load()


def _check_section(section, value, path):
    kind = KINDS[section.kind]
    if not isinstance(value, dict):
        yield Problem(path, f"expected a {section.kind} section (a mapping), got {value!r}")
        return
    if kind.key not in value:
        components = _components(section.kind)
        default = components.get("")
        if default is None:
            allowed = ", ".join(sorted(components))
            message = f"missing {kind.key!r}, the name of the {section.kind}. Allowed: {allowed}"
            yield Problem(path, message)
            return
        yield from check_parameters(default, value, path, section.kind)
        return
    name = value[kind.key]
    if is_unresolved(name):
        return
    try:
        component = lookup(section.kind, name)
    except ComponentError as error:
        yield Problem((*path, kind.key), error.problems[0].message)
        return
    rest = {key: item for key, item in value.items() if key != kind.key}
    yield from check_parameters(component, rest, path, f"{section.kind} {name}")


def _check_plain(annotation, value, path):
    if isinstance(annotation, _Checked):
        problems = list(check(annotation.annotation, value, path))
        yield from problems
        if not problems:
            try:
                annotation.check.function(value)
            except ValueError as error:
                yield Problem(path, str(error))
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, tuple) and isinstance(value, (list, tuple)) and arguments:
        yield from _check_items(origin, arguments, annotation, value, path)
    elif origin is dict and isinstance(value, dict) and arguments:
        for key, item in value.items():
            yield from check(arguments[1], item, (*path, key))
    elif not _matches(annotation, value):
        yield Problem(path, f"expected {describe(annotation)}, got {value!r}")


def _check_items(origin, arguments, annotation, value, path):
    if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        for index, item in enumerate(value):
            yield from check(arguments[0], item, (*path, index))
    elif len(arguments) != len(value):
        yield Problem(path, f"expected {describe(annotation)}, got {value!r}")
    else:
        for index, (argument, item) in enumerate(zip(arguments, value, strict=True)):
            yield from check(argument, item, (*path, index))


def _matches(annotation, value) -> bool:
    if typing.get_origin(annotation) is typing.Literal:
        return any(
            value == item and type(value) is type(item) for item in typing.get_args(annotation)
        )
    if annotation in (None, types.NoneType):
        return value is None
    if annotation is float:
        return _as_float(value) is not None
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    plain = typing.get_origin(annotation) or annotation
    if plain is tuple:
        plain = (list, tuple)
    return isinstance(value, plain) if isinstance(plain, (type, tuple)) else True


def _as_float(value):
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


@dataclass(frozen=True)
class _Checked:
    annotation: object
    check: Check


def _arms(annotation) -> list:
    """The alternatives of an annotation, with Annotated turned into Section or _Checked."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [arm for part in typing.get_args(annotation) for arm in _arms(part)]
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *marks = typing.get_args(annotation)
        for mark in marks:
            if isinstance(mark, Section):
                return [mark]
            if isinstance(mark, Check):
                return [_Checked(inner, mark)]
        return _arms(inner)
    return [annotation]


def _unchecked_arms(annotation) -> list:
    return [
        inner
        for arm in _arms(annotation)
        for inner in (_arms(arm.annotation) if isinstance(arm, _Checked) else [arm])
    ]


def _describe_one(arm) -> str:
    if isinstance(arm, Section):
        return f"a {arm.kind} section"
    if isinstance(arm, _Checked):
        return describe(arm.annotation)
    if typing.get_origin(arm) is typing.Literal:
        return " or ".join(repr(item) for item in typing.get_args(arm))
    origin, arguments = typing.get_origin(arm), typing.get_args(arm)
    if origin is list and arguments:
        return f"a list of {describe(arguments[0])}"
    words = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        dict: "a mapping",
        list: "a list",
        tuple: "a list",
        None: "null",
        types.NoneType: "null",
        typing.Any: "anything",
        inspect.Parameter.empty: "anything",
    }
    return words.get(origin or arm, getattr(arm, "__name__", str(arm)))


def _values(component, section) -> dict:
    """Parameters as a component receives them: numbers converted, ``build`` sections made."""
    fields, others = schema(component)
    values = {}
    for key, value in section.items():
        annotation = fields[key].annotation if key in fields else others
        values[key] = _value(annotation, value)
    return values


def _value(annotation, value):
    arms = _unchecked_arms(annotation)
    if isinstance(value, dict):
        for arm in arms:
            if isinstance(arm, Section) and arm.build:
                return build(arm.kind, value)
    if float in arms and isinstance(value, (int, str)) and not isinstance(value, bool):
        admitted_as_is = (isinstance(value, str) and str in arms) or (
            isinstance(value, int) and int in arms
        )
        if not admitted_as_is and _as_float(value) is not None:
            return _as_float(value)
    return value
