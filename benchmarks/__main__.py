"""``python -m benchmarks [NAME ...]``: all benchmarks or those named, with their defaults.

``gpu`` is made for a card alone and takes minutes: it runs where it is named.
"""

import argparse
import importlib
import pkgutil

import benchmarks


def main() -> None:
    """Run the modules of this package that have a ``main``, one after the other."""
    names = [found.name for found in pkgutil.iter_modules(benchmarks.__path__)]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names
               if name != "__main__"}  # fmt: skip
    runnable = {name: module for name, module in modules.items() if hasattr(module, "main")}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run all benchmarks, or those named, with their defaults.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(runnable))
    chosen = parser.parse_args().names or [name for name in runnable if name != "gpu"]
    for name in chosen:
        if name not in runnable:
            parser.error(f"no benchmark {name!r}; there are {', '.join(runnable)}")
    for name in chosen:
        print(f"{name}: {runnable[name].__doc__.splitlines()[0]}", flush=True)
        runnable[name].main([])


if __name__ == "__main__":
    main()
