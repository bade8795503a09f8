"""The command's name in messages: the one it was called by."""

import sys
from pathlib import Path

CHECKOUT = "perform_scenario.py"
INSTALLED = "mdir"


def program() -> str:
    """``mdir`` where an installation's command runs, else ``perform_scenario.py``."""
    return INSTALLED if Path(sys.argv[0]).stem == INSTALLED else CHECKOUT


def call() -> str:
    """What a person types before a target."""
    return INSTALLED if program() == INSTALLED else f"python3 {CHECKOUT}"
