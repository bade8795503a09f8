#!/usr/bin/env python3
# PYTHON_ARGCOMPLETE_OK
"""Perform a target of a scenario; ``--help`` tells how."""

import sys

from mdir.scenario.cli import main

if __name__ == "__main__":
    sys.exit(main())
