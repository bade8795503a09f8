"""Poolings, normalizations and losses."""

from cirtorch._on_demand import on_demand

__getattr__ = on_demand(__name__, ("functional", "loss", "normalization", "pooling"))
