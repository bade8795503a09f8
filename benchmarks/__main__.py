"""``python -m benchmarks``: every benchmark with its defaults, one after the other."""

import importlib
import pkgutil

import benchmarks

for found in pkgutil.iter_modules(benchmarks.__path__):
    if found.name != "__main__":
        module = importlib.import_module(f"benchmarks.{found.name}")
        if hasattr(module, "main"):
            print(f"{found.name}: {module.__doc__.splitlines()[0]}", flush=True)
            module.main([])
