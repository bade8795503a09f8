"""``python -m benchmarks [NAME ...]``: all benchmarks of a CPU or those named, in one table.

Each has its twin beside it and its share of what this machine can do at all. ``benchmarks.gpu`` is
made for a card and has a command of its own.
"""

import importlib
import sys

from benchmarks import running

MODULES = ("retrieval", "contrastive", "proxies", "reid", "generators", "decoded", "serve", "index")


def main(arguments: list[str] | None = None) -> dict:
    """Run the cases that are named; returns the results."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in MODULES]
    parser = running.command_line("benchmarks", __doc__, ", ".join(MODULES))
    cases = [case for module in modules for case in module.cases()]
    return running.main(parser, parser.parse_args(arguments), cases)


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
