"""Golden parity of contrastive losses, memories and recall."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mdir.losses.moco import MoCoLoss
from mdir.losses.npid import NPIDLoss
from mdir.losses.proxies import ProxyAnchorLoss, SoftTripleLoss
from mdir.losses.simclr import DaCoLoss, OSSCoLoss, SimCLRLoss
from mdir.losses.simsiam import SimSiamLoss
from mdir.scores.cross_domain_score import CrossDomainRecall
from mdir.scores.measures.cross_domain import cross_domain_recall
from tests.golden.golden import array_cases, load_npz

TOPIC = "contrastive"


def close_to_largest(actual, expected, relative, absolute=0.0):
    expected = np.asarray(expected)
    bound = max(relative * np.abs(expected).max(), absolute)
    assert np.abs(np.asarray(actual) - expected).max() <= bound


PAIR_LOSSES = {
    "simclr": (2, lambda T, lamda: SimCLRLoss(temperature=T)),
    "daco": (4, lambda T, lamda: DaCoLoss(temperature=T, lamda=lamda)),
    "ossco": (3, lambda T, lamda: OSSCoLoss(temperature=T)),
    "simsiam": (4, lambda T, lamda: SimSiamLoss()),
}


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "pair_losses*.npz", "temperature"))
@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_pair_losses(name, case, loss):
    arrays = load_npz(TOPIC, name)
    if f"{case}_{loss}_loss" not in arrays:
        pytest.skip(f"{name} has no {loss} for case {case}")
    inputs = [torch.tensor(arrays[f"{case}_p{i}"]).requires_grad_() for i in range(1, 5)]
    count, make = PAIR_LOSSES[loss]
    criterion = make(float(arrays[f"{case}_temperature"]), float(arrays[f"{case}_lamda"]))
    value = criterion(*inputs[:count])
    value.backward()
    expected = arrays[f"{case}_{loss}_loss"]
    assert abs(value.item() - expected) <= 2e-6 * max(1, abs(expected))
    for i, tensor in enumerate(inputs, start=1):
        gradient = arrays.get(f"{case}_{loss}_grad{i}")
        if gradient is not None:
            close_to_largest(tensor.grad, gradient, 5e-6, 5e-6)
        else:
            assert tensor.grad is None or not tensor.grad.any()


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "npid*.npz", "bank0"))
def test_npid(name, case):
    arrays = load_npz(TOPIC, name)
    _, negs, _, _, steps = arrays[f"{case}_cfg"]
    criterion = NPIDLoss(
        temperature=float(arrays[f"{case}_temperature"]),
        negs=int(negs),
        momentum=float(arrays[f"{case}_momentum"]),
    )
    criterion.bank = torch.tensor(arrays[f"{case}_bank0"])
    for step in range(1, steps + 1):
        expected = {
            key: arrays[f"{case}_s{step}_{key}"] for key in ("loss", "grad", "z", "bank", "proj")
        }
        positives = torch.tensor(arrays[f"{case}_s{step}_pos_index"])
        index = torch.tensor(arrays[f"{case}_s{step}_index"])
        proj = torch.tensor(expected["proj"]).requires_grad_()
        loss = criterion(proj, positives, index)
        loss.backward()
        criterion.enqueue(proj, positives)
        close_to_largest(loss.item(), expected["loss"], 5e-6)
        close_to_largest(proj.grad, expected["grad"], 5e-6)
        close_to_largest(criterion.z, expected["z"], 5e-6)
        close_to_largest(criterion.bank, expected["bank"], 0, 1e-6)


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "moco*.npz", "queue0"))
def test_moco(name, case):
    arrays = load_npz(TOPIC, name)
    queue = torch.tensor(arrays[f"{case}_queue0"])
    criterion = MoCoLoss(temperature=float(arrays[f"{case}_temperature"]), negs=len(queue))
    criterion.set_queue(queue)
    steps = sum(key.startswith(f"{case}_s") and key.endswith("_query") for key in arrays)
    for step in range(1, steps + 1):
        expected = {
            key: arrays[f"{case}_s{step}_{key}"]
            for key in ("query", "key", "loss", "grad", "queue")
        }
        query, key = torch.tensor(expected["query"]).requires_grad_(), torch.tensor(expected["key"])
        loss = criterion(query, key)
        loss.backward()
        criterion.enqueue(key)
        close_to_largest(loss.item(), expected["loss"], 5e-6)
        close_to_largest(query.grad, expected["grad"], 5e-6)
        assert np.array_equal(criterion.queue, expected["queue"])


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "proxy_losses*.npz", "labels"))
@pytest.mark.parametrize(
    "loss, make, parameter",
    [("proxyanchor", ProxyAnchorLoss, "proxies"), ("softtriple", SoftTripleLoss, "fc")],
)
def test_proxy_losses(name, case, loss, make, parameter):
    arrays = load_npz(TOPIC, name)
    embeddings = torch.tensor(arrays[f"{case}_embeddings"]).requires_grad_()
    labels = torch.tensor(arrays[f"{case}_labels"])
    criterion = make()
    criterion.start(len(arrays[f"{case}_proxies"]), embeddings.shape[1])
    weights = getattr(criterion.loss, parameter)
    weights.data = torch.tensor(arrays[f"{case}_{parameter}"])
    value = criterion(embeddings, labels)
    value.backward()
    close_to_largest(value.item(), arrays[f"{case}_{loss}_loss"], 5e-6)
    close_to_largest(embeddings.grad, arrays[f"{case}_{loss}_grad"], 5e-5, 1e-6)
    close_to_largest(weights.grad, arrays[f"{case}_{loss}_{parameter}_grad"], 5e-5, 1e-6)


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "recall*.npz", "vectors"))
def test_recall(name, case):
    arrays = load_npz(TOPIC, name)
    vectors, labels, ranks = (
        torch.tensor(arrays[f"{case}_{key}"]) for key in ("vectors", "labels", "ranks")
    )
    domains = (torch.arange(len(vectors)) >= len(vectors) // 2).long()
    recall = cross_domain_recall(vectors, domains, labels, ranks.tolist())
    for direction in ("ab", "ba", "cross"):
        close_to_largest(recall[direction], arrays[f"{case}_{direction}"], 0, 1e-6)
    for naming in ("daco", "ossco"):
        if f"{case}_{naming}_precise" in arrays:
            score = SimpleNamespace(
                naming=naming, ranks=ranks.tolist(), dataset=SimpleNamespace(domains=["a", "b"])
            )
            precise = CrossDomainRecall.averages(score, recall)["val_precise"]
            close_to_largest(precise, arrays[f"{case}_{naming}_precise"], 0, 1e-6)
