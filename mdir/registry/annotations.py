"""Type annotations as schemas: what they admit, in which words, and values made to fit them.

``float`` admits whole numbers and texts such as ``2e-4``, which YAML 1.1 does not read as a
number. ``bool`` and ``int`` are kept apart. Lists and tuples are both written as lists.
"""

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

VARIABLE = re.compile(r"\$\{([A-Za-z0-9_.\-]+)\}|\$<([A-Za-z0-9_.\-]+)>")
_SHOWN = 200  # characters of a value
WORDS = {
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
SPELLINGS = {
    "true": (True, ("true", "yes", "on")),
    "false": (False, ("false", "no", "off")),
    "null": (None, ("null", "none", "~", "")),
}


class Problem(NamedTuple):
    """One mistake in a scenario: where it is (keys from the top of what was checked) and what.

    What is only doubtful (``warns``) is told, and the run goes on.
    """

    path: tuple
    message: str
    warns: bool = False


def within(prefix: tuple, problems: Iterable[tuple]) -> Iterator[Problem]:
    """Problems of a value, plain pairs too, as those of what holds it under ``prefix``."""
    for each in problems:
        problem = Problem(*each)
        yield problem._replace(path=(*prefix, *problem.path))


@dataclass(frozen=True)
class Section:
    """Annotation: a mapping that names and configures a component of ``kind``.

    With ``build``, the component receives the finished one. ``beside`` is a TypedDict of keys in
    the mapping that are not for the named component but for whoever reads the section.
    """

    kind: str
    build: bool = False
    beside: type | None = None


@dataclass(frozen=True)
class Options:
    """Annotation: a mapping of the keyword-only parameters of a class or function.

    A TypedDict needs no mark: as an annotation it is a mapping of its keys.
    """

    signature: Callable


@dataclass(frozen=True)
class Check:
    """Annotation: ``function(value)`` raises ValueError with a message where the value is bad.

    ``annotation`` is what it annotates, filled in by :func:`arms`.
    """

    function: Callable
    annotation: object = None


@dataclass(frozen=True)
class Holds:
    """Annotation: ``contents`` is one of a mapping that its component checks by itself."""

    contents: typing.Any


@dataclass(frozen=True)
class Named:
    """Annotation: parameters of components of ``kind`` by name, which its component checks itself.

    ``prefix`` is the pattern of what stands before a name.
    """

    kind: str
    prefix: str = ""


def is_unresolved(value) -> bool:
    """Whether a value still holds a variable, so that it cannot be checked yet."""
    return isinstance(value, str) and VARIABLE.search(value) is not None


def holds_unresolved(value) -> bool:
    """Whether a variable is left anywhere in a value."""
    if isinstance(value, dict):
        return any(holds_unresolved(each) for pair in value.items() for each in pair)
    if isinstance(value, (list, tuple)):
        return any(map(holds_unresolved, value))
    return is_unresolved(value)


def arms(annotation) -> list:
    """The alternatives of an annotation, with marks in place of the mappings they annotate."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [arm for part in typing.get_args(annotation) for arm in arms(part)]
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *marks = typing.get_args(annotation)
        for mark in marks:
            if isinstance(mark, (Section, Options, Holds, Named)):
                return [mark]
            if isinstance(mark, Check):
                return [replace(mark, annotation=inner)]
        return arms(inner)
    return [Options(annotation)] if typing.is_typeddict(annotation) else [annotation]


def unchecked_arms(annotation) -> list:
    """As :func:`arms`, those with a :class:`Check` as if they had none."""
    return [
        each
        for arm in arms(annotation)
        for each in (arms(arm.annotation) if isinstance(arm, Check) else [arm])
    ]


def in_words(annotation) -> str:
    """An annotation in a user's words: ``'a number or null'``."""
    return " or ".join(dict.fromkeys(_one_in_words(arm) for arm in arms(annotation)))


def expected(annotation, value) -> str:
    """The message for a value that an annotation does not admit."""
    given = repr(value)
    shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}..."
    return f"expected {in_words(annotation)}, got {shown}{_meant(annotation, value)}"


def _meant(annotation, value):
    """A hint where a text is another language's word for what is wanted."""
    text = value.strip().lower() if isinstance(value, str) else None
    for word, (meaning, texts) in SPELLINGS.items():
        if text in texts and any(_matches(arm, meaning) for arm in unchecked_arms(annotation)):
            return f". Did you mean {word}?"
    return ""


def check_plain(annotation, value, path: tuple, check) -> Iterator[Problem]:
    """Problems of a value against one alternative; ``check`` goes deeper (annotation, value)."""
    if isinstance(annotation, Check):
        yield from _check_checked(annotation, value, path, check)
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, tuple) and isinstance(value, (list, tuple)) and arguments:
        inner = _item_annotations(origin, arguments, len(value))
        if inner is None:
            yield Problem(path, expected(annotation, value))
            return
        for index, (argument, item) in enumerate(zip(inner, value, strict=True)):
            yield from check(argument, item, (*path, index))
    elif origin is dict and isinstance(value, dict) and arguments:
        for key, item in value.items():
            if not is_unresolved(key) and not _matches(arguments[0], key):
                yield Problem((*path, key), f"the key must be {in_words(arguments[0])}")
            yield from check(arguments[1], item, (*path, key))
    elif not _matches(annotation, value):
        yield Problem(path, expected(annotation, value))


def is_meant(annotation, value) -> bool:
    """Whether a value is of an annotation's outer kind, so that its mistake lies deeper."""
    if isinstance(annotation, Check):
        return any(is_meant(arm, value) for arm in arms(annotation.annotation))
    return _matches(annotation, value)


def convert(annotation, value, make):
    """A checked value as a component receives it: numbers made floats, sections built.

    Args:
        annotation: what the value was checked against.
        value: plain value.
        make: ``(Section or Options, mapping) -> what the component receives``.
    """
    options = unchecked_arms(annotation)
    for arm in options:
        if isinstance(arm, (Section, Options)):
            if isinstance(value, dict):
                return make(arm, value)
            continue
        origin, arguments = typing.get_origin(arm), typing.get_args(arm)
        if origin in (list, tuple) and isinstance(value, (list, tuple)) and arguments:
            inner = _item_annotations(origin, arguments, len(value))
            if inner is not None:
                return [convert(*pair, make) for pair in zip(inner, value, strict=True)]
        if origin is dict and isinstance(value, dict) and arguments:
            return {key: convert(arguments[1], item, make) for key, item in value.items()}
    admitted = any(_matches(arm, value) for arm in options if arm is not float)
    if float in options and not admitted and as_float(value) is not None:
        return as_float(value)
    return value


def as_float(value):
    """The number that a value stands for, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # The text nan, or 1e999 that overflows, is a slip; inf, .inf and .nan are said on purpose.
    is_slip = isinstance(value, str) and not math.isfinite(number) and "inf" not in value.lower()
    return None if is_slip else number


def _check_checked(annotation, value, path, check):
    problems = list(check(annotation.annotation, value, path))
    yield from problems
    if problems or holds_unresolved(value):
        return
    try:
        annotation.function(convert(annotation, value, lambda mark, mapping: mapping))
    except ValueError as error:
        yield Problem(path, str(error))


def _item_annotations(origin, arguments, count):
    """One annotation an item; None where a tuple has another length."""
    if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        return [arguments[0]] * count
    return list(arguments) if len(arguments) == count else None


def _matches(annotation, value) -> bool:
    if isinstance(annotation, (Section, Options)):
        return False
    if isinstance(annotation, (Holds, Named)):
        return isinstance(value, dict)
    if typing.get_origin(annotation) is typing.Literal:
        return any(
            value == item and type(value) is type(item) for item in typing.get_args(annotation)
        )
    if annotation in (typing.Any, inspect.Parameter.empty):
        return True
    if annotation in (None, types.NoneType):
        return value is None
    if annotation is float:
        return as_float(value) is not None
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(_matches(arm, value) for arm in arms(annotation))
    plain = typing.get_origin(annotation) or annotation
    if plain is tuple:
        plain = (list, tuple)
    return isinstance(value, plain) if isinstance(plain, (type, tuple)) else True


def with_article(noun: str) -> str:
    """``'an optimizer'``, ``'a score'``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _one_in_words(arm) -> str:
    if isinstance(arm, Section):
        return with_article(f"{arm.kind} section")
    if isinstance(arm, (Options, Holds, Named)):
        return WORDS[dict]
    if isinstance(arm, Check):
        return in_words(arm.annotation)
    origin, arguments = typing.get_origin(arm), typing.get_args(arm)
    if origin is typing.Literal:
        return " or ".join(repr(item) for item in arguments)
    if origin is list and arguments:
        return f"a list of {in_words(arguments[0])}"
    if origin is tuple and arguments and Ellipsis not in arguments:
        return f"a list of {len(arguments)}: {', '.join(map(in_words, arguments))}"
    return WORDS.get(origin or arm, getattr(arm, "__name__", str(arm)))
