"""Modules as attributes of their package, imported when they are first used."""

import importlib


def on_demand(package, names):
    """A ``__getattr__`` for a package: ``package.name`` imports the module of that name."""

    def imported(name):
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return imported
