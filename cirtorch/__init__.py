"""Image retrieval in PyTorch, with the interface of cnnimageretrieval-pytorch."""

from cirtorch._on_demand import on_demand

__getattr__ = on_demand(__name__, ("datasets", "examples", "layers", "networks", "search", "utils"))
