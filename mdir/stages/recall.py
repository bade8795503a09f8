"""Step: the results of a contrastive run in the files of the published projects."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from mdir.artifacts import used, write_bytes
from mdir.data.table_files import csv_text
from mdir.inference.cost import measured
from mdir.learning.compute import default_device
from mdir.learning.score_results import make_score, tell_cost, write_cost, write_rankings
from mdir.learning.seeding import seed_everything
from mdir.metric_names import Metric
from mdir.networks.factory import load_network
from mdir.networks.files import write_tensors
from mdir.paths import resolve_path
from mdir.registry import Section
from mdir.report.curves import read_events, read_series
from mdir.scores.measures.tsne import tsne_points
from mdir.stages.step import step

_SCORES = Metric("val", "learning", "score_avg")
_LOSS = Metric("train", "learning", "loss")


@step
def recall(
    inputs,
    *,
    network: Annotated[dict, Section("network")],
    score: Annotated[dict, Section("score")],
    directory: str,
    prefix: str,
    training: str | None = None,
    seed: int = 0,
):
    """Evaluate a trained encoder between two domains and write what the papers' code writes.

    ``directory`` receives ``PREFIX_results.csv`` (a validation a row, recalls in percent),
    ``PREFIX_model.pth`` (state_dict of the encoder), ``PREFIX_vectors.pth`` (features, float32,
    an image a row, domain A first), ``rankings/PREFIX.json`` and ``PREFIX_embedding.json``
    (recalls, those of the last epoch, and a t-SNE of the features, for the report).

    The table is DaCo's (``epoch``; ``train_loss`` is the epoch's mean) or OSSCo's (``iter`` counts
    validations, ``train_loss`` is the mean of all steps so far, and the last column, ``iteration``,
    is ours: the steps so far), as the score's ``naming`` says.

    Args:
        network: which encoder, as in the step ``validate``.
        score: a ``cross_domain_recall`` section.
        directory, prefix: of the files; relative to CIRTORCH_ROOT.
        training: folder of the training run that the table is of; null: one row, this evaluation.
        seed: of the t-SNE and of weights that no file gives.

    Returns:
        Metadata: ``eval`` and ``intervals`` (as the step ``validate``), ``protocol``, ``embedding``
        and ``rankings`` (paths).
    """
    folder = Path(resolve_path(directory))
    seed_everything(seed)
    net = load_network(network, default_device()).eval()
    measure = make_score(score, net.preprocessing)
    with torch.no_grad(), measured() as cost:
        vectors = measure.vectors(net)
    result = measure.evaluate(vectors)
    if training:
        rows = _training_rows(training)
    else:
        rows = [Row(1, 0, 0.0, 0.0, result.averages)]
        del result.protocol["epoch"]
    write_bytes(folder / f"{prefix}_results.csv", _table(rows, measure.naming).encode())
    write_tensors(folder / f"{prefix}_model.pth", net.model.state_dict())
    write_tensors(folder / f"{prefix}_vectors.pth", vectors)
    rankings = folder / "rankings" / f"{prefix}.json"
    write_rankings(rankings, result)
    write_cost(rankings, cost)
    tell_cost(cost, prefix)
    embedding = folder / f"{prefix}_embedding.json"
    contents = _embedding(measure, result, vectors, seed) | {
        "last": _recalls(rows[-1].scores) if rows else {}
    }
    write_bytes(embedding, json.dumps(contents).encode())
    return {
        "eval": {
            str(Metric("val", "validation", "score_avg", name)): value
            for name, value in result.averages.items()
        },
        "intervals": {
            str(Metric("val", "validation", "score_avg", name)): ends
            for name, ends in result.intervals.items()
        },
        "protocol": result.protocol,
        "embedding": str(embedding),
        "rankings": str(rankings),
    }


@dataclass
class Row:
    """A validation: epoch (from 1), steps so far, mean losses, scores in [0, 1] by name."""

    epoch: int
    steps: int
    epoch_loss: float | None
    running_loss: float | None
    scores: dict[str, float]


def _training_rows(training):
    path = Path(resolve_path(training)) / "epochs" / "events.jsonl"
    used(path)
    events = read_events(path)
    losses, scores = _losses(events), {}
    for name, series in read_series(events).get(_SCORES.key, {}).items():
        for epoch, value in series.epochs:
            scores.setdefault(epoch, {})[name] = value
    rows = []
    for epoch, values in scores.items():
        so_far = [loss for other in losses if other <= epoch for loss in losses[other]]
        rows.append(Row(epoch, len(so_far), _mean(losses.get(epoch)), _mean(so_far), values))
    return rows


def _losses(events):
    """Epoch (from 1) -> contrastive losses of its steps; OSSCo's translators have none."""
    losses = {}
    for event in events:
        if event["key"] == _LOSS.key:
            data = event["data"]
            values = np.atleast_1d(np.array(data.get("contrastive", data.get("total")), float))
            losses[event["epoch"] + 1] = values[~np.isnan(values)].tolist()
    return losses


def _mean(values):
    return float(np.mean(values)) if values else None


def _table(rows, naming):
    """CSV; recalls in percent, losses as they are."""
    names = list(rows[0].scores) if rows else []
    index, more = ("iter", ["iteration"]) if naming == "ossco" else ("epoch", [])
    lines = [[index, "train_loss", *names, *more]]
    for number, row in enumerate(rows, 1):
        scores = [round(100 * row.scores[name], 4) for name in names]
        if naming == "ossco":
            lines.append([number, row.running_loss, *scores, row.steps])
        else:
            lines.append([row.epoch, row.epoch_loss, *scores])
    return csv_text(lines)


def _recalls(scores):
    """Those of plain rankings, which curves show."""
    return {key: value for key, value in scores.items() if key.rpartition("@")[2].isdigit()}


def _embedding(measure, result, vectors, seed):
    return {
        "domains": measure.dataset.domains,
        "domain_of": measure.dataset.domain_of,
        "labels": measure.dataset.labels,
        "points": tsne_points(vectors.double().numpy(), seed),
        "recall": _recalls(result.averages),
    }
