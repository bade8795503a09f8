"""The score ``reid``: queries against a gallery, as SpCL and Cluster Contrast report them."""

import time
from collections.abc import Iterator
from typing import Annotated, TypedDict

import numpy as np
import torch

from mdir.data.image_files import as_seen
from mdir.data.loading import make_dataset
from mdir.data.sections import Gibibytes, data_section
from mdir.data.transforms.parse import check_transforms
from mdir.errors import UserError
from mdir.inference.descriptors import extract_unit_rows
from mdir.registry import Check, Section, register
from mdir.registry.ranges import at_least, between
from mdir.scores.measures.cmc import distance_blocks, reid_scores
from mdir.scores.measures.rerank import reranked_blocks
from mdir.scores.measures.tsne import class_map
from mdir.scores.result import ScoreResult
from mdir.scores.samples import Sample

_SHOWN_RANKS = 10
_CMC_RANKS = 50


class Rerank(TypedDict, total=False):
    """k-reciprocal re-ranking, see :func:`mdir.scores.measures.rerank.reranked_blocks`.

    Args:
        k1: neighbours that make a set; 20. k2: rows whose encodings are averaged; 6.
        weight: of the distance itself; 0.3.
        power: 2 squares the squared distances again, as published by SpCL; 1 does not.
    """

    k1: Annotated[int, at_least(1)]
    k2: Annotated[int, at_least(1)]
    weight: Annotated[float, between(0, 1)]
    power: float


@register("score", "reid")
class ReidScore:
    """Find each query's identity in pictures by other cameras.

    ``mAP``, ``mINP`` and ``top1``, ``top5``, ... (the share of queries with a match among so many),
    the same with ``_reranked`` behind where re-ranking is asked for. An epoch is the best one if
    its mAP is above all before, and the last epoch is measured whenever any is, as in the published
    projects: they choose on the pictures that they report on. An mAP is never 0, so that there
    always is a best epoch.

    Args:
        dataset: a ``reid`` section of split ``test``.
        ranks: of the matches.
        rerank: ``{}`` for the published re-ranking, or its settings; null: none.
        transforms, mean_std: null: those of the network.
        strict_images, decoded_cache: as of a data section.
        batch_size: images that go through the network together.
    """

    decisive, ties_are_best, at_end = "score_avg:mAP", False, True

    def __init__(
        self,
        *,
        dataset: Annotated[dict, Section("dataset")],
        ranks: list[Annotated[int, at_least(1)]] = (1, 5, 10),
        rerank: Rerank | None = None,
        transforms: Annotated[str, Check(check_transforms)] | None = None,
        mean_std: list | tuple | None = None,
        strict_images: bool = False,
        decoded_cache: Gibibytes | None = None,
        batch_size: Annotated[int, at_least(1)] = 64,
    ):
        section = data_section(
            dataset=dataset,
            transforms=transforms,
            mean_std=mean_std,
            strict_images=strict_images,
            decoded_cache=decoded_cache,
        )
        self.dataset = make_dataset(section)
        if not 0 < getattr(self.dataset, "queries", 0) < len(self.dataset):
            raise UserError("the score reid needs queries and a gallery: a reid set's split 'test'")
        self.name = dataset.get("set", dataset["name"])
        self.ranks, self.rerank, self.batch_size = ranks, rerank, batch_size

    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        rows = self.extract(network).to(network.device)
        result = ScoreResult(timings={"extract_descriptors": time.time() - begin})
        queries, gallery = rows[: self.dataset.queries], rows[self.dataset.queries :]
        shown = _Nearest()
        cmc = {"cmc": self.measure(result, shown.watch(distance_blocks(queries, gallery)), "")}
        precision = result.per_query.pop("ap")
        if self.rerank is not None:
            shown = _Nearest()
            again = reranked_blocks(queries, gallery, **self.rerank)
            cmc["cmc_reranked"] = self.measure(result, shown.watch(again), "_reranked")
            precision = result.per_query.pop("ap_reranked")
        result.rankings = self.rankings(shown.places, precision)
        result.timings["total_s"] = time.time() - begin
        result.protocol = self.protocol(len(gallery))
        result.details = lambda: cmc | {"map": self.map(rows)}
        return result

    def extract(self, network) -> torch.Tensor:
        """Unit rows ``[N, D]`` of all images, queries first."""
        loader = {"batch_size": self.batch_size}
        return extract_unit_rows(network, self.dataset, loader, "features")

    def measure(self, result, distances, ending):
        """Add the averages and each query's average precision under names of that ending.

        Returns:
            The CMC, ``[50]`` or as long as the highest rank asked for.
        """
        names = np.array(self.dataset.identities), np.array(self.dataset.cameras)
        query, gallery = zip(*(np.split(one, [self.dataset.queries]) for one in names), strict=True)
        found = reid_scores(distances, query, gallery, topk=max(*self.ranks, _CMC_RANKS))
        averages = {"mAP": found.mean_ap, "mINP": found.mean_inp}
        averages |= {f"top{rank}": float(found.cmc[rank - 1]) for rank in self.ranks}
        result.averages |= {name + ending: value for name, value in averages.items()}
        samples = {"mAP": Sample(found.average_precision), "mINP": Sample(found.inverse_penalty)}
        samples |= {f"top{rank}": Sample(found.hits(rank), hits=True) for rank in self.ranks}
        result.samples |= {name + ending: sample for name, sample in samples.items()}
        result.per_query[f"ap{ending}"] = found.average_precision.tolist()
        return found.cmc.tolist()

    def map(self, rows) -> dict:
        """t-SNE ``points`` of some queries' identities, with their ``identities``, ``cameras``."""
        about = np.array(self.dataset.identities), np.array(self.dataset.cameras)
        chosen, points = class_map(rows, about[0], np.unique(about[0][: self.dataset.queries]))
        identities, cameras = (one[chosen].tolist() for one in about)
        return {"points": points, "identities": identities, "cameras": cameras}

    def rankings(self, places, precision) -> list[dict]:
        """The nearest pictures of each query; those of its own camera and identity do not count."""
        return [
            {
                **self._named(query),
                "box": None,
                "ap": None if np.isnan(ap) else ap,
                "found": [self._judged(query, self.dataset.queries + place) for place in nearest],
            }
            for query, (nearest, ap) in enumerate(zip(places, precision, strict=True))
        ]

    def _judged(self, query, index):
        same = self.dataset.identities[query] == self.dataset.identities[index]
        junk = same and self.dataset.cameras[query] == self.dataset.cameras[index]
        return {**self._named(index), "right": None if junk else same}

    def _named(self, index):
        path = self.dataset.files[index]
        named = {"name": path.stem, "path": str(path)}
        return named | as_seen(self.dataset)

    def protocol(self, images) -> dict:
        """The conditions of the numbers; ``images`` are those of the gallery."""
        told = {"dataset": self.name, "queries": self.dataset.queries, "images": images}
        told["left out"] = "pictures of the query's identity by its own camera"
        if self.rerank is not None:
            told["re-ranking"] = self.rerank or "as published"
        return told


class _Nearest:
    """Remembers the first places of rankings whose distances pass by."""

    def __init__(self):
        self.places: list[list[int]] = []

    def watch(self, blocks) -> Iterator[np.ndarray]:
        for block in blocks:
            for row in block:
                count = min(_SHOWN_RANKS, len(row))
                first = np.flatnonzero(row <= np.partition(row, count - 1)[count - 1])
                order = np.argsort(row[first], kind="stable")[:count]
                self.places.append(first[order].tolist())
            yield block
