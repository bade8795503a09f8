"""Networks that embed images."""

from cirtorch._on_demand import on_demand

__getattr__ = on_demand(__name__, ("imageretrievalnet",))
