"""The text of ``transforms``: ``"pil2np | scalecrop:256_256:0.8_1 | totensor | normalize"``."""

import inspect

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.registry import ComponentError


class Compose:
    """Transforms one after the other: all images of a tuple in, one image or a tuple out."""

    def __init__(self, transforms):
        self.transforms = list(transforms)

    def __call__(self, *images):
        for transform in self.transforms:
            images = transform(*images)
        return images[0] if len(images) == 1 else images

    def __repr__(self):
        lines = "".join(f"\n    {transform!r}" for transform in self.transforms)
        return f"Compose({lines}\n)"


def parse_transforms(text: str | None, mean_std=None) -> Compose:
    """Build a pipeline.

    Args:
        text: transforms separated by ``|``, arguments by ``:``; None is the empty pipeline.
        mean_std: pair of lists, handed to the transforms that normalize.

    Raises:
        DataError: names the transform, what was given, and what it takes.
    """
    parts = [part.strip() for part in (text or "").split("|")]
    return Compose([_parse_one(part, mean_std) for part in parts if part])


def check_transforms(text: str) -> None:
    """Raise the DataError of :func:`parse_transforms`, without needing a ``mean_std``."""
    parse_transforms(text, ([0.5], [0.5]))


def _parse_one(text, mean_std):
    name, *arguments = (part.strip() for part in text.split(":"))
    try:
        component = registry.lookup("transform", name)
    except ComponentError as error:
        raise DataError(error.problems[0].message) from None
    given = ()
    if _takes_mean_std(component):
        if mean_std is None:
            raise DataError(f"transform {name!r} needs the mean_std of the data section")
        given = tuple(mean_std)
    fields, _ = registry.schema(component)
    try:
        return component(*given, **_convert(fields, arguments))
    except ValueError as error:
        raise DataError(f"transform {text!r}: {error}. It is written {_usage(component)}") from None


def _takes_mean_std(component) -> bool:
    """Positional parameters are what the engine hands over: here mean and std."""
    kinds = (p.kind for p in inspect.signature(component).parameters.values())
    return inspect.Parameter.POSITIONAL_OR_KEYWORD in kinds


def _convert(fields, arguments):
    if len(arguments) > len(fields):
        raise DataError(f"{len(arguments)} arguments given, at most {len(fields)} allowed")
    values = {
        name: _value(name, parameter.annotation, argument)
        for (name, parameter), argument in zip(fields.items(), arguments, strict=False)
    }
    for name, parameter in fields.items():
        if name not in values and parameter.default is parameter.empty:
            raise DataError(f"argument {name!r} is missing")
    return values


def _value(name, annotation, text):
    if annotation is bool:
        return text.lower() != "false"
    if annotation in (int, float):
        try:
            return annotation(text)
        except ValueError:
            number = "whole number" if annotation is int else "number"
            raise DataError(f"argument {name!r} has to be a {number}, got {text!r}") from None
    return text


def _usage(component) -> str:
    fields, _ = registry.schema(component)
    parts = [
        f":{name}" if parameter.default is parameter.empty else f"[:{name}={parameter.default}]"
        for name, parameter in fields.items()
    ]
    names = (n for n in registry.names("transform") if registry.lookup("transform", n) is component)
    return "/".join(names) + "".join(parts)
