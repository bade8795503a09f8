"""Images, test sets and training tuples."""

from cirtorch._on_demand import on_demand

__getattr__ = on_demand(
    __name__, ("datahelpers", "genericdataset", "mining", "testdataset", "traindataset")
)
