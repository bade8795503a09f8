"""Training runs of the golden trajectories: networks, methods and what is measured of them."""

import random

import numpy as np
import torch

from mdir import registry
from mdir.learning.optimizers import make_optimizer
from mdir.networks.containers import NetworkSet
from mdir.networks.single import SingleNetwork
from tests.golden import golden

TOPIC = "generators"
BUFFERS = ("running_mean", "running_var")


def make_network(name, case, dtype):
    """One network of a case, with prefixed filled weights."""
    section = {"architecture": case["architecture"], **case["params"]}
    model = golden.fill(registry.build("architecture", section), prefix=f"{name}/").to(dtype)
    runtime = {"wrappers": case.get("wrappers", ""), "frozen": case.get("frozen", False)}
    return SingleNetwork(model, {"model": section, "runtime": runtime})


def make_method(case, name, section, dtype, **params):
    """The method of a case, ready to step; ``section``: {networks, criterion, optimizer}."""
    networks = section["networks"]
    network = NetworkSet({key: make_network(key, item, dtype) for key, item in networks.items()})
    network.train()
    criterion = registry.build("criterion", section["criterion"])
    optimizer = make_optimizer(section["optimizer"], network)
    np.random.seed(case["numpy_seed"])
    random.seed(case["python_seed"])
    return registry.build("method", {"type": name, **params}, network, optimizer, criterion)


def batch_of(case, step, dtype):
    """Random images X and Y of one step."""
    seed = case["data_seed"] + 2 * step
    images = (golden.uniform(seed + i, case["shape"]) for i in range(2))
    return tuple(torch.from_numpy(image).to(dtype) for image in images)


def checksums(network, order, columns):
    """Sum and sum of magnitudes of parameters, of those of several dimensions, of statistics."""
    rows = []
    for name in order:
        model = network[name].model
        parameters = list(model.parameters())
        buffers = [v for k, v in model.named_buffers() if k.rpartition(".")[2] in BUFFERS]
        groups = (parameters, [p for p in parameters if p.dim() > 1], buffers)
        rows.append([value for group in groups for value in _sums(group)])
    return np.array(rows)[:, :columns]


def _sums(tensors):
    tensors = [tensor.detach().double() for tensor in tensors]
    return (
        sum(float(tensor.sum()) for tensor in tensors),
        sum(float(tensor.abs().sum()) for tensor in tensors),
    )


def record_places(method, drawn):
    """Append to ``drawn`` the places (one array a layer) of each comparison of a CUT method."""

    def hook(_module, arguments, result):
        given = len(arguments) > 2
        if not given:
            drawn.append([places.numpy() for places in result[1]])

    method.network["featdown"].model.register_forward_hook(hook)
