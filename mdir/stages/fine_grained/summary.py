"""What a report shows of a training by proxies: recalls, maps, and what was found for queries."""

import csv
from pathlib import Path

import numpy as np
import torch

from cirtorch.search.precision import full_precision
from mdir.artifacts import used
from mdir.errors import UserError
from mdir.learning.compute import default_device
from mdir.report.figures import PALETTE
from mdir.report.pictures import spread
from mdir.report.sections.classes import ClassMap, ClassResults
from mdir.scores.measures.class_recall import ClassScores, class_scores
from mdir.scores.measures.tsne import class_map
from mdir.stages.fine_grained.data_base import DataBase, Rows, local_places

_RANKS = 64  # of the curve
_DATA_BASE, _STATISTICS = "_data_base.pth", "_statistics.csv"


def score_data_base(base: DataBase, found: int) -> ClassScores:
    """Search each test image among the others; so many answers of each are kept."""
    features = base.test.features.to(default_device())
    ranks = range(1, min(_RANKS, len(features) - 1) + 1)
    return class_scores(features, base.test.labels, ranks, shown=found)


def class_results(base: DataBase, scores: ClassScores) -> ClassResults:
    """Recalls of a database and, where its table stands beside it, of all epochs; and maps."""
    ranks = range(1, min(_RANKS, len(base.images) - 1) + 1)
    maps = {}
    if base.train is not None:
        maps["train"] = _map(base.train, base.proxies)
    maps["test"] = _map(base.test, base.proxies, known=False)
    return ClassResults([scores.recall(rank) for rank in ranks], _epochs(base.path), maps)


def _epochs(path):
    """``{"R@1": [(epoch, percent)]}`` of the table beside a database, if there is one."""
    table = Path(path.removesuffix(_DATA_BASE) + _STATISTICS)
    if not path.endswith(_DATA_BASE) or not table.exists():
        return {}
    used(table)
    try:
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in (rows[0] if rows else ()) if name.startswith("test_recall@")]
        return {
            name.replace("test_recall", "R"): [
                (int(row["epoch"]), float(row[name])) for row in rows
            ]
            for name in names
        }
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"report: {table} is not a table of a training ({error})") from error


def _map(rows: Rows, proxies: torch.Tensor | None, known: bool = True) -> ClassMap | None:
    """t-SNE of some classes' features and of all proxies, ``known``: which have their labels."""
    labels = np.array(rows.labels)
    shown = np.unique(labels)
    shown = shown[spread(len(shown), len(PALETTE))]  # the colour alone tells a proxy's class
    chosen, points = class_map(rows.features, labels, shown, proxies)
    if points is None:
        return None
    at = len(chosen)
    numbers = [number if known else None for number in range(len(points) - at)]
    return ClassMap(points[:at], labels[chosen].tolist(), points[at:], numbers)


def class_rankings(base: DataBase, scores: ClassScores, data_path: str) -> dict:
    """What was found for each test image, as galleries take it; ``ap`` is that of MAP@R."""
    images = [
        {"name": Path(name).name, "path": str(place), "class": label, "upright": base.upright}
        for name, place, label in zip(
            base.images, local_places(base.images, data_path), base.test.labels, strict=True
        )
    ]
    first = _first_ranks(base.test, scores)
    queries = [
        {
            **images[query],
            "ap": float(scores.precision_at_r[query]),
            "first": int(first[query]),
            "found": [
                {
                    "name": f"class {images[at]['class']}",
                    "path": images[at]["path"],
                    "upright": base.upright,
                    "right": images[at]["class"] == images[query]["class"],
                }
                for at in nearest
            ],
        }
        for query, nearest in enumerate(scores.nearest)
    ]
    return {"queries": queries}


@full_precision()
def _first_ranks(rows: Rows, scores: ClassScores) -> np.ndarray:
    """Ranks of the first right answers, however late; 0 of an image that is alone in its class."""
    ranks, labels = scores.first.copy(), torch.tensor(rows.labels)
    for query in np.flatnonzero((ranks == 0) & ~np.isnan(scores.r_precision)):
        similarities = rows.features @ rows.features[query]
        similarities[query] = -torch.inf
        order = similarities.argsort(descending=True, stable=True)
        ranks[query] = 1 + int((labels[order] == labels[query]).int().argmax())
    return ranks
