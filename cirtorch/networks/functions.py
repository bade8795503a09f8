"""Functions that a text may name to make a network: those of few packages, and no others."""

import importlib
import inspect
import typing
from importlib.metadata import entry_points

from torch import nn

from cirtorch.utils.errors import DataError, suggest

SCHEME = "python.lib://"
GROUP = "mdir.components"
PACKAGES = ("torchvision.models", "cirtorch", "mdir")


def named_function(source: str, architecture: str):
    """The function of ``python.lib://PACKAGE.MODULE.FUNCTION/key=value,...`` and its arguments.

    It has to be one of :data:`PACKAGES` that is annotated to return a module (a class of modules
    does, too), or any public one of an installed package that announces components by an entry
    point ``mdir.components``. Nothing of other packages is imported.

    Args:
        source: ``[architecture]`` in it is replaced; ``True`` and ``False`` are no text.

    Raises:
        DataError: it names anything else, or arguments that the function does not take.
    """
    place, _, arguments = source.removeprefix(SCHEME).partition("/")
    path = place.replace("[architecture]", architecture)
    pairs = (pair.partition("=") for pair in arguments.split(",") if pair)
    values = {
        key: {"True": True, "False": False}.get(text, text.replace("[architecture]", architecture))
        for key, _, text in pairs
    }
    try:
        function = _found(path)
        inspect.signature(function).bind(**values)
    except (DataError, TypeError) as error:
        raise DataError(f"{source!r}: {error}") from None
    return function, values


def _found(path):
    parts = path.split(".")
    own, announced = _is_below(path, PACKAGES), _is_below(path, _announced())
    if not (own or announced) or any(not part or part.startswith("_") for part in parts):
        raise DataError(
            f"{path} is not called; only functions of {', '.join(PACKAGES)} that make a network, "
            f"and those of packages with an entry point {GROUP}, are"
        )
    module, name = ".".join(parts[:-1]), parts[-1]
    try:
        known = vars(importlib.import_module(module))
    except ImportError as error:
        raise DataError(f"{module} cannot be imported ({error})") from error
    allowed = [key for key, value in known.items() if _is_admitted(key, value, own)]
    if name not in allowed:
        raise DataError(
            f"{module} has no function {name} that makes a network.{suggest(name, allowed)}"
        )
    return known[name]


def _is_admitted(name, value, own):
    """What a module only imports is not its own: it may be anything."""
    if name.startswith("_") or not callable(value):
        return False
    home = getattr(value, "__module__", None) or ""
    if not own:
        return _is_below(home, _announced())
    return _is_below(home, PACKAGES) and _makes_network(value)


def _makes_network(value):
    if not inspect.isclass(value):
        try:
            value = typing.get_type_hints(value).get("return")
        except (NameError, TypeError):
            return False
    return inspect.isclass(value) and issubclass(value, nn.Module)


def _announced():
    return {point.module.partition(".")[0] for point in entry_points(group=GROUP)}


def _is_below(path, packages):
    return any(path.startswith(package + ".") for package in packages)
