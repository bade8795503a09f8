"""Evaluation, whitening, files and downloads."""

from cirtorch._on_demand import on_demand

__getattr__ = on_demand(__name__, ("download", "evaluate", "general", "whiten"))
