"""The score ``class_recall``: each image of a set looks for the others of its class."""

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from mdir import distributed
from mdir.data.image_files import as_seen
from mdir.data.loading import make_dataset
from mdir.data.sections import Gibibytes, data_section
from mdir.data.transforms.parse import check_transforms
from mdir.errors import UserError
from mdir.inference.descriptors import extract_unit_rows
from mdir.registry import Check, Section, register
from mdir.registry.ranges import at_least
from mdir.scores.measures.class_recall import class_scores, normalized_mutual_information
from mdir.scores.measures.tsne import class_map
from mdir.scores.reranking import Reranking, RerankSection, check_rerank
from mdir.scores.result import ScoreResult
from mdir.scores.samples import Sample

_SHOWN_RANKS = 10
_NAMED = 5


@dataclass(frozen=True)
class EvaluatedFeatures:
    """What the processor ``proxy_files`` keeps of a test.

    Attributes:
        dataset: whose images these are.
        features: float32 unit rows ``[N, D]`` on the CPU.
        recall: share of queries by rank, in the order of the ranks.
    """

    dataset: object
    features: torch.Tensor
    recall: dict[int, float]


@register("score", "class_recall", check=check_rerank)
class ClassRecall:
    """Find images of each image's class among all others of a data set.

    ``recall@1``, ``recall@2``, ... are shares of all images; one that is alone in its class is
    never found, and a warning says so. ``r_precision`` and ``map@r`` are means over the others,
    ``nmi`` is the mutual information of classes and as many k-means clusters. An epoch is the best
    one if its recall at the first of the ranks is above all before: it is chosen on the images that
    are reported on, as in the published project. Re-ranked numbers have ``_reranked`` behind their
    names; a query then takes no part in its own expansion or order, but in those of others.

    Args:
        dataset: images with identities, such as a ``fine_grained`` section of split ``test``.
        ranks: of the recalls, in any order.
        nmi: false leaves it out, which is slow with thousands of classes.
        transforms, mean_std: null: those of the network.
        strict_images, decoded_cache: as of a data section.
        batch_size: images that go through the network together.
        rerank: re-rankings by name; null: none.
    """

    ties_are_best, at_end = False, True

    def __init__(
        self,
        *,
        dataset: Annotated[dict, Section("dataset")],
        ranks: list[Annotated[int, at_least(1)]] = (1, 2, 4, 8),
        nmi: bool = True,
        transforms: Annotated[str, Check(check_transforms)] | None = None,
        mean_std: list | tuple | None = None,
        strict_images: bool = False,
        decoded_cache: Gibibytes | None = None,
        batch_size: Annotated[int, at_least(1)] = 64,
        rerank: RerankSection | None = None,
    ):
        section = data_section(
            dataset=dataset,
            transforms=transforms,
            mean_std=mean_std,
            strict_images=strict_images,
            decoded_cache=decoded_cache,
        )
        self.dataset = make_dataset(section)
        self.name = dataset.get("set", dataset["name"])
        self.options = {key: value for key, value in dataset.items() if value is True}
        if not hasattr(self.dataset, "identities"):
            raise UserError(
                f"the score class_recall needs classes, which {self.name} does not tell"
            )
        if not ranks:
            raise UserError("the score class_recall needs ranks, such as [1, 2, 4, 8]")
        self.ranks, self.nmi, self.batch_size = ranks, nmi, batch_size
        self.reranking = None if rerank is None else Reranking(rerank)
        self.labels = np.array(self.dataset.identities)
        self.lone = self._lone_classes()
        self.decisive = f"score_avg:recall@{ranks[0]}"

    def _lone_classes(self):
        """Names of classes with one image, told, as one class alone is; refused without others."""
        counts = Counter(self.labels.tolist())
        lone = [self.class_name(label) for label, count in sorted(counts.items()) if count == 1]
        if len(lone) == len(counts):
            raise UserError(f"{self.name}: no class has two images, so that none can be found")
        if len(counts) == 1 and distributed.is_first():
            print(
                f"{self.name}: all images are of one class, which is always found", file=sys.stderr
            )
        if lone and distributed.is_first():
            named = ", ".join(lone[:_NAMED]) + (", ..." if len(lone) > _NAMED else "")
            print(
                f"{self.name}: {len(lone)} of {len(counts)} classes have one image, which is never "
                f"found and counts as a miss: {named}",
                file=sys.stderr,
            )
        return lone

    def class_name(self, label: int) -> str:
        """What the data set calls a class; its number where it has no names."""
        return str(getattr(self.dataset, "classes", {label: label})[label])

    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        rows = extract_unit_rows(network, self.dataset, {"batch_size": self.batch_size}, "features")
        result = ScoreResult(timings={"extract_descriptors": time.time() - begin})
        result.protocol = self._protocol()
        recall = self._measure(result, rows.to(network.device))
        if self.nmi:
            result.averages["nmi"] = normalized_mutual_information(rows.numpy(), self.labels)
        if self.reranking is not None:
            self._measure(result, rows.to(network.device), "_reranked", self.reranking)
            result.protocol["re-ranking"] = str(self.reranking)
        result.kept = EvaluatedFeatures(self.dataset, rows, recall)
        result.details = lambda: {"class_map": self._map(rows)}
        result.timings["total_s"] = time.time() - begin
        return result

    def _measure(self, result, rows, ending="", reranking=None):
        """Add averages, values of queries and what is shown; returns the recalls by rank."""
        found = class_scores(rows, self.labels, self.ranks, _SHOWN_RANKS, reranking)
        recall = {rank: found.recall(rank) for rank in self.ranks}
        averages = {f"recall@{rank}": value for rank, value in recall.items()}
        averages["r_precision"] = float(np.nanmean(found.r_precision))
        averages["map@r"] = float(np.nanmean(found.precision_at_r))
        result.averages |= {name + ending: value for name, value in averages.items()}
        samples = {f"recall@{rank}": Sample(found.hits(rank), hits=True) for rank in self.ranks}
        samples["r_precision"] = Sample(found.r_precision)
        samples["map@r"] = Sample(found.precision_at_r)
        result.samples |= {name + ending: sample for name, sample in samples.items()}
        result.per_query |= {
            f"r_precision{ending}": found.r_precision.tolist(),
            f"ap@r{ending}": found.precision_at_r.tolist(),
        }
        result.rankings = self._rankings(found)
        return recall

    def _map(self, rows):
        """t-SNE ``points`` of some classes' images, with the names of their ``classes``."""
        chosen, points = class_map(rows, self.labels, np.unique(self.labels))
        return {"points": points, "classes": [self.class_name(self.labels[i]) for i in chosen]}

    def _rankings(self, found):
        return [
            {
                **self._named(query),
                "box": None,
                "ap": None if np.isnan(ap) else ap,
                "found": [
                    {**self._named(at), "right": bool(self.labels[at] == self.labels[query])}
                    for at in nearest
                ],
            }
            for query, (nearest, ap) in enumerate(
                zip(found.nearest.tolist(), found.precision_at_r.tolist(), strict=True)
            )
        ]

    def _named(self, index):
        path = Path(self.dataset.files[index])
        label = self.class_name(self.labels[index])
        named = {"name": f"{path.parent.name}/{path.stem}", "path": str(path), "class": label}
        return named | as_seen(self.dataset)

    def _protocol(self):
        told = {
            "dataset": self.name,
            **self.options,
            "images": len(self.labels),
            "classes": len(np.unique(self.labels)),
            "candidates": "all images without the query",
            "similarity": "dot product of L2-normalised features, ties to the lower index",
            "average precision": "MAP@R",
        }
        if self.lone:
            told["images that have no other of their class"] = len(self.lone)
        return told
