"""Recall of fine-grained retrieval and losses of proxies beside their plain twins, in one run.

    python3 -m benchmarks.proxies [NAME ...] [--scale 0.1]

Names: recall (beside the matrix of all similarities), growth (ours alone, up to the size of
Stanford Online Products), losses (a step of its 11,318 proxies). ``--scale`` multiplies the numbers
of images and proxies.
"""

import sys

import torch
import torch.nn.functional as F

from benchmarks import running
from benchmarks.measuring import PeakMemory, Work, compare, figures
from benchmarks.reid import all_pairs, identities, seconds
from benchmarks.running import Case
from mdir.losses.proxy_cosines import BalancedProxyLoss, ProxyAnchorCosineLoss
from mdir.scores.measures.class_recall import class_scores

_RANKS, _SPREAD, _DIMENSIONS = (1, 2, 4, 8), 2.0, 512
_SIZES = (7_500, 15_000, 30_000, 60_502)
_PROXIES, _BATCHES, _STEPS = 11_318, (64, 180), 10
_LOSSES = {"proxy_anchor": ProxyAnchorCosineLoss, "balanced_proxy": BalancedProxyLoss}


def slow_recall(rows, labels, ranks):
    """Recall out of the matrix of all similarities, as published."""
    similarities = rows @ rows.T
    similarities.fill_diagonal_(float("-inf"))
    found = labels[similarities.topk(max(ranks)).indices] == labels[:, None]
    return [found[:, :rank].any(dim=1).double().mean().item() for rank in ranks]


def slow_loss(name, cosines, labels, scale=32.0, margin=0.1):
    """Exponentials of all cosines, for positives and for negatives, as published."""
    positive = F.one_hot(labels, cosines.shape[1])
    negative = 1 - positive
    zeros = torch.zeros_like(cosines)
    attracted = torch.where(positive == 1, torch.exp(-scale * (cosines - margin)), zeros).sum(0)
    repelled = torch.where(negative == 1, torch.exp(scale * (cosines + margin)), zeros).sum(0)
    if name == "balanced_proxy":
        attracted = attracted / positive.sum(0).clamp(min=1)
        return torch.log(1 + attracted + repelled / negative.sum(0).clamp(min=1)).mean()
    here = (positive.sum(0) > 0).sum()
    return torch.log(1 + attracted).sum() / here + torch.log(1 + repelled).mean()


def recall(bench):
    """Recalls of 8,000 images."""
    rows, ids = identities(int(8000 * bench.scale), _SPREAD, _DIMENSIONS)
    work, rows, labels = all_pairs(rows), torch.from_numpy(rows), torch.from_numpy(ids)

    def ours():
        found = class_scores(rows, labels, _RANKS)
        return [found.recall(rank) for rank in _RANKS]

    return compare(
        bench,
        f"{len(rows)} images",
        lambda: slow_recall(rows, labels, _RANKS),
        ours,
        lambda a, b: max(abs(x - y) for x, y in zip(a, b, strict=True)),
        work,
    )


def growth(bench, images):
    """Time and memory of ours alone; the twin's matrix for comparison."""
    rows, ids = identities(int(images * bench.scale), _SPREAD, _DIMENSIONS)
    with PeakMemory() as peak:
        wall, cpu = seconds(class_scores, torch.from_numpy(rows), ids, _RANKS)
    told = figures(bench, f"{len(rows)} images", [wall], all_pairs(rows))
    matrix = 4 * len(rows) ** 2 / 2**20
    return {**told, "cpu_seconds": cpu, "peak_mib": peak() / 2**20, "twin_matrix_mib": matrix}


def losses(bench, name, batch):
    """Loss and gradient of 11,318 proxies."""
    generator = torch.Generator().manual_seed(0)
    proxies = int(_PROXIES * bench.scale)
    shapes = ((batch, _DIMENSIONS), (proxies, _DIMENSIONS))
    rows, others = (F.normalize(torch.randn(s, generator=generator), dim=1) for s in shapes)
    cosines = (rows @ others.T).requires_grad_()
    labels = torch.randint(proxies, (batch,), generator=generator)

    def learn(function):
        for _ in range(_STEPS):
            cosines.grad = None
            loss = function(cosines, labels)
            loss.backward()
        return torch.cat([loss.detach().view(1), cosines.grad.flatten()])

    return compare(
        bench,
        f"{_STEPS} steps, {proxies} proxies, batch {batch}",
        lambda: learn(lambda *given: slow_loss(name, *given)),
        lambda: learn(_LOSSES[name]()),
        lambda a, b: ((a - b).abs() / (1 + b.abs())).max(),
        Work(nbytes=_STEPS * 2 * cosines.nbytes),
    )


def cases():
    """All of them."""
    made = [Case("proxies.recall", recall)]
    for batch in _BATCHES:
        for name in _LOSSES:
            made.append(Case(f"proxies.losses.{name}.{batch}", losses, None, (name, batch)))
    return made + [Case(f"proxies.growth.{size}", growth, None, (size,)) for size in _SIZES]


def main(arguments=None):
    """Run the cases that are named; returns the results."""
    parser = running.command_line("benchmarks.proxies", __doc__)
    return running.main(parser, parser.parse_args(arguments), cases(), "proxies")


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
