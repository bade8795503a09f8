"""Which modules register components, read from their text: a look-up imports no other ones."""

import functools
import importlib
import pkgutil
import re
from typing import NamedTuple

# A call, with its kind and names where those are spelt out; what stands before is checked last.
_CALL = re.compile(
    r"register\((?:(?<![\w.]register\()(?<!def register\()|(?<=\bregistry\.register\())"
    r"""(?:\s*["'](\w+)["']\s*,((?:\s*["'][^"'\n]*["']\s*,?)+)\s*(?:check=|\)))?"""
)
_NAME = re.compile(r"""["']([^"']*)["']""")


class Places(NamedTuple):
    """``{kind: {name: module}}``, and the modules whose names only an import tells."""

    modules: dict[str, dict[str, str]]
    unclear: list[str]


@functools.cache
def places(package: str) -> Places:
    """Where the modules of a package, at any depth, register components."""
    found = Places({}, [])
    root = importlib.import_module(package)
    for finder, module, _ in pkgutil.walk_packages(root.__path__, f"{package}."):
        spec = finder.find_spec(module, None)
        read = getattr(spec and spec.loader, "get_source", None)
        text = read(module) if read else None
        for kind, names in _CALL.findall("register(" if text is None else text):
            if kind:
                found.modules.setdefault(kind, {}).update(
                    dict.fromkeys(_NAME.findall(names), module)
                )
            else:
                found.unclear.append(module)
    return found
