"""Typed signatures as schemas: which parameters a scenario may write, and which it must."""

import functools
import inspect
import typing
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Field:
    """A parameter that a scenario may write; one without a default (``empty``) it must write."""

    annotation: object
    default: object
    empty: ClassVar = inspect.Parameter.empty


@functools.cache
def schema(component):
    """``({name: Field}, annotation of **others or None)``: the keyword-only parameters.

    ``from __future__`` style string annotations are evaluated; parameters of ``functools.partial``
    objects are those still open. The keys of a TypedDict have the default ``...`` where they may
    be absent.
    """
    if typing.is_typeddict(component):
        return {name: _key(component, name, hint) for name, hint in _hints(component).items()}, None
    function = component.__init__ if inspect.isclass(component) else component
    signature = inspect.signature(component)
    hints = _hints(function.func if isinstance(function, functools.partial) else function)
    fields, others = {}, None
    for name, parameter in signature.parameters.items():
        annotation = hints.get(name, parameter.annotation)
        if parameter.kind is parameter.KEYWORD_ONLY:
            fields[name] = Field(annotation, parameter.default)
        elif parameter.kind is parameter.VAR_KEYWORD:
            others = typing.Any if annotation is inspect.Parameter.empty else annotation
    return fields, others


def _hints(function):
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}


def _key(typed_dict, name, hint):
    while typing.get_origin(hint) in (typing.Required, typing.NotRequired):
        (hint,) = typing.get_args(hint)
    return Field(hint, Field.empty if name in typed_dict.__required_keys__ else ...)
