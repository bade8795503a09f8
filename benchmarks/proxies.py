"""Recall of fine-grained retrieval and losses of proxies beside their plain twins, in one run.

    python3 -m benchmarks.proxies [PART ...] [--scale 0.1]

Parts: recall (beside the matrix of all similarities), growth (ours alone, up to the size of
Stanford Online Products), losses (a step of its 11,318 proxies). ``--scale`` multiplies the numbers
of images and proxies.
"""

import argparse

import torch
import torch.nn.functional as F

from benchmarks.reid import identities, seconds
from benchmarks.retrieval import PeakMemory, compare
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


def recall(scale):
    """Recalls of 8,000 images."""
    rows, ids = identities(int(8000 * scale), _SPREAD, _DIMENSIONS)
    rows, labels = torch.from_numpy(rows), torch.from_numpy(ids)

    def ours():
        found = class_scores(rows, labels, _RANKS)
        return [found.recall(rank) for rank in _RANKS]

    yield compare(
        f"recall, {len(rows)} images",
        lambda: slow_recall(rows, labels, _RANKS),
        ours,
        lambda a, b: max(abs(x - y) for x, y in zip(a, b, strict=True)),
    )


def growth(scale):
    """Time and memory of ours alone; the twin's matrix for comparison."""
    print("images  CPU seconds  MiB more memory  MiB of the matrix")
    for size in _SIZES:
        rows, ids = identities(int(size * scale), _SPREAD, _DIMENSIONS)
        with PeakMemory() as peak:
            _, cpu = seconds(class_scores, torch.from_numpy(rows), ids, _RANKS)
        matrix = 4 * len(rows) ** 2 / 2**20
        print(f"{len(rows):6d} {cpu:12.1f} {peak() / 2**20:16.0f} {matrix:18.0f}", flush=True)
    return ()


def losses(scale):
    """Loss and gradient of 11,318 proxies."""
    generator = torch.Generator().manual_seed(0)
    proxies = int(_PROXIES * scale)
    for batch in _BATCHES:
        shapes = ((batch, _DIMENSIONS), (proxies, _DIMENSIONS))
        rows, others = (F.normalize(torch.randn(s, generator=generator), dim=1) for s in shapes)
        cosines = (rows @ others.T).requires_grad_()
        labels = torch.randint(proxies, (batch,), generator=generator)
        for name, make in _LOSSES.items():
            yield _steps(
                f"{name}, batch of {batch}, {proxies} proxies", make(), name, cosines, labels
            )


def _steps(title, criterion, name, cosines, labels):
    def learn(function):
        for _ in range(_STEPS):
            cosines.grad = None
            loss = function(cosines, labels)
            loss.backward()
        return torch.cat([loss.detach().view(1), cosines.grad.flatten()])

    return compare(
        title,
        lambda: learn(lambda *given: slow_loss(name, *given)),
        lambda: learn(criterion),
        lambda a, b: ((a - b).abs() / (1 + b.abs())).max(),
    )


PARTS = {"recall": recall, "growth": growth, "losses": losses}


def main(arguments=None):
    """Run the parts and print a line each; returns ``[(name, ratio, difference)]``."""
    parser = argparse.ArgumentParser(prog="benchmarks.proxies", description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes")
    args = parser.parse_args(arguments)
    results = []
    for part in args.parts or PARTS:
        for name, ratio, difference in PARTS[part](args.scale):
            results.append((name, ratio, difference))
            print(
                f"{name}: {ratio:.2f} times as fast, results differ by {difference:.1e}", flush=True
            )
    return results


if __name__ == "__main__":
    main()
