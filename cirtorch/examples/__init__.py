"""Command-line programs."""

from cirtorch._on_demand import on_demand

__getattr__ = on_demand(__name__, ("extract", "test", "test_e2e", "train"))
