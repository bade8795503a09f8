"""Step: the results of a contrastive run in the files of the published projects."""

import csv
import io
import json
from pathlib import Path
from typing import Annotated

import torch
from sklearn.manifold import TSNE

from cirtorch.utils.files import atomic_write
from mdir.artifacts import produced, used
from mdir.learning.runtime import default_device
from mdir.learning.validation import make_score, write_rankings
from mdir.networks.checkpoint import load_network
from mdir.paths import resolve_path
from mdir.registry import Section
from mdir.report.curves import Series, read_events, read_series
from mdir.stages.step import step

_SCORES, _LOSS = "val/learning/score_avg", "train/learning/loss"


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

    ``directory`` receives ``PREFIX_results.csv`` (an epoch a row, recalls in percent),
    ``PREFIX_model.pth`` (state_dict of the encoder), ``PREFIX_vectors.pth`` (features, float32,
    an image a row, domain A first), ``rankings/PREFIX.json`` and ``PREFIX_embedding.json``
    (recalls and a t-SNE of the features, for the report).

    Args:
        network: which encoder, as in the step ``validate``.
        score: a ``cross_domain_recall`` section.
        directory, prefix: of the files; relative to CIRTORCH_ROOT.
        training: folder of the training run that the table is of; null: one row, this evaluation.
        seed: of the t-SNE.

    Returns:
        Metadata: ``eval`` (as the step ``validate``), ``protocol``, ``embedding`` and ``rankings``
        (paths).
    """
    folder = Path(resolve_path(directory))
    net = load_network(network, default_device()).eval()
    measure = make_score(score, net.runtime.get("data") or {})
    with torch.no_grad():
        vectors = measure.vectors(net)
    result = measure.evaluate(vectors)
    rows = _training_rows(training) if training else [{"train_loss": 0.0, **result.averages}]
    _write(folder / f"{prefix}_results.csv", _table(rows).encode())
    _write_tensors(folder / f"{prefix}_model.pth", net.model.state_dict())
    _write_tensors(folder / f"{prefix}_vectors.pth", vectors)
    rankings = folder / "rankings" / f"{prefix}.json"
    write_rankings(rankings, result)
    embedding = folder / f"{prefix}_embedding.json"
    _write(embedding, json.dumps(_embedding(measure, result, vectors, seed)).encode())
    return {
        "eval": {f"val/validation/score_avg:{k}": v for k, v in result.averages.items()},
        "protocol": result.protocol,
        "embedding": str(embedding),
        "rankings": str(rankings),
    }


def _training_rows(training):
    events = Path(resolve_path(training)) / "epochs" / "events.jsonl"
    used(events)
    series = read_series(read_events(events))
    losses = dict(series.get(_LOSS, {}).get("total", Series()).epochs)
    rows = []
    for name, one in series.get(_SCORES, {}).items():
        for place, (epoch, value) in enumerate(one.epochs):
            if place == len(rows):
                rows.append({"epoch": epoch, "train_loss": losses.get(epoch)})
            rows[place][name] = value
    return rows


def _table(rows):
    """CSV; recalls in percent, the loss as it is."""
    text = io.StringIO()
    names = [name for name in rows[0] if name != "epoch"] if rows else []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *names])
    for number, row in enumerate(rows, 1):
        values = [
            row.get(name) if name == "train_loss" else round(100 * row[name], 4) for name in names
        ]
        writer.writerow([row.get("epoch", number), *values])
    return text.getvalue()


def _embedding(measure, result, vectors, seed):
    perplexity = min(30, (len(vectors) - 1) // 3)
    points = TSNE(2, perplexity=perplexity, random_state=seed, init="pca").fit_transform(
        vectors.double().numpy()
    )
    recalls = {key: value for key, value in result.averages.items() if "@" in key}
    return {
        "domains": measure.dataset.domains,
        "domain_of": measure.dataset.domain_of,
        "labels": measure.dataset.labels,
        "points": points.round(4).tolist(),
        "recall": recalls,
    }


def _write(path, content):
    with atomic_write(path) as file:
        file.write(content)
    produced(path)


def _write_tensors(path, tensors):
    with atomic_write(path) as file:
        torch.save(tensors, file)
    produced(path)
