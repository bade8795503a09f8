"""Names in scenarios -> components; their typed signatures are their schemas.

A component is a class or function registered under a kind and a name::

    @register("criterion", "triplet")
    class TripletLoss(nn.Module):
        def __init__(self, *, margin: float = 0.1): ...

**Keyword-only parameters are what a scenario may write; positional ones are what the engine
hands over** (a network, a device, a transform); a component that names fewer of them gets the first
ones. The annotation says what is admitted:

* plain types, ``Literal``, unions, ``list[int]``, ... are checked strictly (a text such as
  ``2e-4``, which YAML 1.1 does not read as a number, is accepted for a float);
* ``Annotated[dict, Section("criterion")]`` is a nested component of that kind, left as a mapping;
  with ``build=True``, :func:`make` hands over the finished object;
* a ``TypedDict`` is a mapping of its keys, its docstring their documentation (what reads it has
  the defaults); ``Annotated[dict, Options(function)]`` is one of a function's parameters;
* ``Annotated[str, Check(function)]`` calls ``function(value)``, which raises ValueError;
* ``**others: ANNOTATION`` admits further keys of any name with values of that kind.

``@register(kind, name, check=function)`` adds ``function(section) -> iterable of Problem``, which
sees the parameters of one section together; it becomes the component's ``check_section``, which a
class may as well define itself. Nothing here imports torch. A component is known as soon as its
file lies in a package of its kind; its module is imported when it is looked up, or at the first
look-up of the kind where the decorator does not spell kind and names out.
"""

import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from cirtorch.utils.errors import is_slip, suggest
from mdir.errors import UserError
from mdir.registry.annotations import (
    Options,
    Problem,
    Section,
    arms,
    check_plain,
    convert,
    expected,
    holds_unresolved,
    in_words,
    is_meant,
    is_unresolved,
    with_article,
    within,
)
from mdir.registry.places import places
from mdir.registry.plugins import PluginError, load
from mdir.registry.signatures import Field, schema


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
    "pooling": Kind("type", ("mdir.networks",)),
    "initializer": Kind("weights", ("mdir.networks",)),
    "wrapper": Kind(None, ("mdir.networks",)),
    "criterion": Kind("loss", ("mdir.losses",)),
    "data": Kind(None, ("mdir.data",)),
    "dataset": Kind("name", ("mdir.data",)),
    "sampler": Kind("name", ("mdir.data",)),
    "transform": Kind(None, ("mdir.data.transforms",)),
    "score": Kind("type", ("mdir.scores",)),
    "reranking": Kind(None, ("mdir.scores",)),
    "output": Kind("name", ("mdir.inference.outputs",)),
}


def refuse(problems: Iterable[Problem]) -> None:
    """Raise a :class:`ComponentError` with the problems, if there are any but warnings."""
    problems = [each for each in problems if not each.warns]
    if problems:
        raise ComponentError(problems)


def register(kind: str, *names: str, check: Callable | None = None):
    """Decorator: make a class or function known as ``names`` of ``kind``, with a check of its own.

    Args:
        check: ``(section) -> iterable of Problem``; it may stumble over what is wrong otherwise.
    """
    if kind not in KINDS:
        raise UserError(unknown("kind", kind, KINDS))

    def decorate(component):
        if check is not None:
            component.check_section = check
        for name in names:
            owner = _modules(kind).get(name)  # which may not be imported yet
            known = getattr(KINDS[kind].components.get(name), "__module__", owner)
            if known not in (None, component.__module__):
                raise RuntimeError(f"{kind} {name!r} is registered by {known} already")
            KINDS[kind].components[name] = component
        return component

    return decorate


def names(kind: str) -> list[str]:
    """All registered names of a kind, sorted."""
    _load_unnamed(kind)
    return sorted({*_modules(kind), *KINDS[kind].components})


def lookup(kind: str, name: object):
    """The component of that name; a :class:`ComponentError` names the nearest one otherwise."""
    _load_unnamed(kind)
    components, modules = KINDS[kind].components, _modules(kind)
    if isinstance(name, str):
        if name not in components and name in modules:
            importlib.import_module(modules[name])
        if name in components:
            return components[name]
    raise ComponentError([Problem((), unknown(kind, name, names(kind)))])


def unknown(what: str, given, allowed, taken=()) -> str:
    """The message for an unknown name: what was given, what is allowed, the nearest name.

    Those that are ``taken`` are meant by others already.
    """
    allowed = sorted(str(name) for name in allowed if name != "")  # "" is what no name means
    free = [name for name in allowed if name not in taken]
    hint = suggest(given, free) or suggest(given, allowed)
    return f"unknown {what} {given!r}" + (f".{hint} Allowed: {', '.join(allowed)}" * bool(allowed))


def make(kind: str, section: dict, *given):
    """The component of a section that is checked already, as those inside a step's parameters."""
    params = dict(section)
    return construct(lookup(kind, params.pop(KINDS[kind].key, "")), params, *given)


def construct(component, params: dict, *given):
    """Call a component with positional arguments and parameters that are checked already."""
    return component(*given[: _room(component, len(given))], **values(component, params))


def takes(function, parameter: str) -> bool:
    """Whether a function has a parameter of that name."""
    return parameter in inspect.signature(function).parameters


def build(kind: str, section: dict, *given, **extra):
    """Check a section and make its component.

    Args:
        section: the mapping as a scenario has it, with the kind's naming key.
        given: positional arguments of the component (what the engine hands over).
        extra: scenario parameters set or overridden by the caller.

    Raises:
        ComponentError: with every problem of the section.
    """
    section = {**section, **extra}
    refuse(check(Section(kind), section))
    return make(kind, section, *given)


def check(annotation, value, path: tuple = ()) -> Iterator[Problem]:
    """Every problem of ``value`` against a type annotation, a :class:`Section` or Options."""
    if is_unresolved(value) or annotation in (typing.Any, inspect.Parameter.empty):
        return
    mappings = [arm for arm in arms(annotation) if isinstance(arm, (Section, Options))]
    plain = [arm for arm in arms(annotation) if arm not in mappings]
    if mappings and (isinstance(value, dict) or not plain):
        yield from _check_mapping(mappings[0], value, path)
        return
    failures = []
    for arm in plain:
        found = list(check_plain(arm, value, path, check))
        if not found:
            return
        failures.append((arm, found))
    meant = [found for arm, found in failures if is_meant(arm, value)]
    if len(meant) == 1:
        yield from meant[0]
    elif len(failures) == 1 and not mappings:
        yield from failures[0][1]
    else:
        yield Problem(path, expected(annotation, value))


def check_parameters(component, params, path: tuple = (), what: str | None = None, beside=()):
    """Every problem of a mapping of parameters against a component's typed signature.

    Args:
        beside: keys that the mapping may have for others.
    """
    if not isinstance(params, dict):
        yield Problem(path, f"expected a mapping of parameters, got {params!r}")
        return
    what = what or getattr(component, "__name__", "component")
    problems = [
        *_check_given(component, params, path, what, beside),
        *_missing(component, params, path, what),
    ]
    yield from problems
    yield from _check_further(component, params, path, bool(problems))


def _room(component, count):
    """How many of so many positional arguments a component takes."""
    kinds = [parameter.kind for parameter in inspect.signature(component).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return count
    return sum(kind in (kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD) for kind in kinds)


def values(component, params: dict) -> dict:
    """Checked parameters as a component receives them: numbers converted, sections built."""
    fields, others = schema(component)
    annotations = {key: fields[key].annotation if key in fields else others for key in params}
    return {key: convert(annotations[key], value, _made) for key, value in params.items()}


def _made(mark, mapping):
    """A nested mapping as a component receives it."""
    if isinstance(mark, Options):
        return values(mark.signature, mapping)
    return make(mark.kind, mapping) if mark.build else mapping


def _check_given(component, params, path, what, beside):
    fields, others = schema(component)
    known = [*fields, *beside]
    for key, value in params.items():
        if is_unresolved(key):
            continue
        if key in fields:
            yield from check(fields[key].annotation, value, (*path, key))
        elif others is None or _is_meant_for(key, fields, others, params):
            message = unknown("parameter", key, known, params)
            yield Problem((*path, key), f"{message} (of {what})")
        else:
            yield from check(others, value, (*path, key))


def _is_meant_for(key, fields, others, params):
    """Whether a further key is a slip of a parameter: one that is missing, or it does not fit."""
    slips = [name for name in fields if name not in params and is_slip(str(key), name)]
    is_missing = any(fields[name].default is Field.empty for name in slips)
    return is_missing or (bool(slips) and any(check(others, params[key])))


def _missing(component, params, path, what):
    if any(is_unresolved(key) for key in params):
        return
    for name, parameter in schema(component)[0].items():
        if name not in params and parameter.default is Field.empty:
            message = f"missing parameter {name!r} of {what}: {in_words(parameter.annotation)}"
            yield Problem(path, message)


def _check_further(component, params, path, is_bad):
    """The component's own check; it may stumble over what is known to be bad or not known yet."""
    further = getattr(component, "check_section", None)
    if further is None:
        return
    try:
        problems = list(within(path, further(params)))
    except Exception:
        if is_bad or holds_unresolved(params):
            return
        raise
    yield from problems


@functools.cache
def _modules(kind):
    """The modules of our own components by name."""
    found = (places(package).modules.get(kind, {}) for package in KINDS[kind].packages)
    return {name: module for modules in found for name, module in modules.items()}


@functools.cache
def _load_unnamed(kind):
    """Import what registers components whose names only an import tells, plug-ins among it."""
    for package in KINDS[kind].packages:
        for module in places(package).unclear:
            importlib.import_module(module)
    _load_entry_points()


@functools.cache
def _load_entry_points():
    for entry in entry_points(group="mdir.components"):
        try:
            load(entry)
        except PluginError as error:
            message = f"the components {entry.name!r} ({entry.value}) cannot be imported: {error}"
            raise UserError(message) from error


def _check_mapping(mark, value, path):
    name = str(path[-1]) if path else None
    if isinstance(mark, Options):
        if not isinstance(value, dict):
            yield Problem(path, expected(dict, value))
        else:
            yield from check_parameters(mark.signature, value, path, name)
        return
    if not isinstance(value, dict) or not mark.beside:
        yield from _check_section(mark, value, path)
        return
    keys = schema(mark.beside)[0]
    own = {key: item for key, item in value.items() if key not in keys}
    absent = [key for key in keys if key not in value]
    yield from _check_section(mark, own, path, absent)
    beside = {k: item for k, item in value.items() if k in keys or is_unresolved(k)}
    yield from check_parameters(mark.beside, beside, path, name)


def _check_section(section, value, path, beside=()):
    kind = KINDS[section.kind]
    if not isinstance(value, dict):
        wanted = with_article(f"{section.kind} section")
        yield Problem(path, f"expected {wanted} (a mapping), got {value!r}")
        return
    if kind.key not in value:
        known = names(section.kind)
        slip = next((key for key in value if kind.key and is_slip(str(key), kind.key)), None)
        if slip is not None and isinstance(value[slip], (str, dict)):
            allowed = ", ".join(filter(None, known))
            message = f"unknown key {slip!r}. Did you mean {kind.key!r}, the name of the"
            yield Problem((*path, slip), f"{message} {section.kind}? Allowed there: {allowed}")
            return
        if "" not in known:
            allowed = ", ".join(known)
            message = f"missing {kind.key!r}, the name of the {section.kind}. Allowed: {allowed}"
            yield Problem(path, message)
            return
        default = lookup(section.kind, "")
        yield from check_parameters(default, value, path, section.kind, beside)
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
    yield from check_parameters(component, rest, path, f"{section.kind} {name}", beside)
