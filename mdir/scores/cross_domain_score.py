"""The score ``cross_domain_recall`` of two-domain image sets (leftthomas/DaCo, OSSCo)."""

import time
from typing import Annotated, Literal

import numpy as np
import torch

from cirtorch.utils.finite import require_finite
from mdir.data.loading import make_dataset
from mdir.data.sections import Gibibytes, data_section
from mdir.data.transforms.parse import check_transforms
from mdir.inference.descriptors import Views, extract_descriptors
from mdir.registry import Check, Section, register
from mdir.scores.measures.cross_domain import check_ranks, direction_ranks, hits
from mdir.scores.reranking import Reranking, RerankSection, check_rerank
from mdir.scores.result import ScoreResult
from mdir.scores.samples import Sample

_SHOWN_RANKS = 10


@register("score", "cross_domain_recall", check=check_rerank)
class CrossDomainRecall:
    """Find each image's counterpart in the other domain.

    An epoch is the best one if it is better than all before, and the last epoch is measured
    whenever any is, as in the published projects.

    Features are the first output of the network, one per image. The images are those that the run
    reports on: an epoch chosen by this score is chosen on them, as in the published projects.

    Args:
        dataset: a ``TwoDomains`` section, usually of split ``val``.
        ranks: of the recalls.
        naming: ``daco``: ``val_precise`` is the mean of the three recalls at the first rank;
            ``ossco``: the recall over both domains at the first rank, and the names of the domains
            are in those of the recalls.
        transforms, mean_std: null: those of the network.
        strict_images, decoded_cache: as of a data section.
        batch_size: images of one size that go through the network together.
        rerank: re-rankings by name, for numbers with ``_reranked`` behind their names, each
            direction by itself; null: none.
    """

    decisive, ties_are_best, at_end = "score_avg:val_precise", False, True

    def __init__(
        self,
        *,
        dataset: Annotated[dict, Section("dataset")],
        ranks: list[int] = (1, 2, 4, 8),
        naming: Literal["daco", "ossco"] = "daco",
        transforms: Annotated[str, Check(check_transforms)] | None = None,
        mean_std: list | tuple | None = None,
        strict_images: bool = False,
        decoded_cache: Gibibytes | None = None,
        batch_size: int = 16,
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
        self.ranks, self.naming, self.batch_size = sorted(ranks), naming, batch_size
        second = sum(self.dataset.domain_of)
        check_ranks(self.ranks, len(self.dataset) - second, second)
        self.rerankings = [Reranking(section) for section in ({}, rerank) if section is not None]

    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        vectors = self.vectors(network)
        spent = time.time() - begin
        result = self.evaluate(vectors)
        result.timings = {"extract_descriptors": spent, "total_s": time.time() - begin}
        return result

    def evaluate(self, vectors) -> ScoreResult:
        """The result of features that :meth:`vectors` gave."""
        require_finite(vectors, self.dataset.files)
        domains = torch.tensor(self.dataset.domain_of)
        labels = torch.tensor(self.dataset.labels)
        result = ScoreResult(
            protocol={
                "dataset": self.dataset.name,
                "domains": " / ".join(self.dataset.domains),
                "images": len(self.dataset),
                "candidates": "the other domain; both domains without the query for <->",
                "similarity": "dot product of L2-normalised features, ties to the lower index",
                "epoch": "chosen on these very images",
            }
        )
        for reranking in self.rerankings:
            ending = "_reranked" if reranking.parts else ""
            first = direction_ranks(vectors, domains, labels, reranking)
            recall = {
                direction: [hits(ranks, rank).mean().item() for rank in self.ranks]
                for direction, ranks in first.items()
            }
            averages, samples = self.averages(recall), self._samples(first, domains)
            result.averages |= {name + ending: value for name, value in averages.items()}
            result.samples |= {name + ending: sample for name, sample in samples.items()}
            result.rankings = self._rankings(vectors, labels, first["cross"].tolist(), reranking)
            if reranking.parts:
                result.protocol["re-ranking"] = str(reranking)
        return result

    def vectors(self, network) -> torch.Tensor:
        """Features (N, D) float32 of all images, domain A first."""
        views = Views(self.dataset)
        loader = {"batch_size": self.batch_size}
        return extract_descriptors(_Features(network), views, loader, "features").T.contiguous()

    def averages(self, recall: dict[str, list[float]]) -> dict[str, float]:
        """``val_precise`` and the recalls by their published names."""
        names, chosen = _names(self.naming, *self.dataset.domains)
        averages = {"val_precise": sum(recall[key][0] for key in chosen) / len(chosen)}
        for position, rank in enumerate(self.ranks):
            for direction, name in names.items():
                averages[f"{name}@{rank}"] = recall[direction][position]
        return averages

    def _samples(self, first, domains):
        """Values of all images by average; NaN of those that a direction does not look up."""
        names, chosen = _names(self.naming, *self.dataset.domains)
        asked = {"ab": domains == 0, "ba": domains == 1, "cross": domains >= 0}

        def values(direction, rank):
            found = np.full(len(domains), np.nan)
            found[asked[direction].numpy()] = hits(first[direction], rank).numpy()
            return found

        # Each image's part in the mean of the directions, whose numbers of queries may differ.
        parts = [
            np.nan_to_num(values(one, self.ranks[0])) * (len(domains) / len(first[one]))
            for one in chosen
        ]
        samples = {"val_precise": Sample(np.mean(parts, axis=0), hits=len(chosen) == 1)}
        for rank in self.ranks:
            for direction, name in names.items():
                samples[f"{name}@{rank}"] = Sample(values(direction, rank), hits=True)
        return samples

    def _rankings(self, vectors, labels, ranks, reranking):
        own = np.arange(len(vectors))
        order = reranking.search(vectors, vectors, _SHOWN_RANKS + 1, own).indices
        others = [[i for i in row if i != query] for query, row in enumerate(order.tolist())]
        return [
            {
                **self._named(query),
                "box": None,
                # The counterpart is the only positive, so that precision is one over its rank.
                "ap": 1 / rank if rank else None,
                "found": [
                    {**self._named(index), "right": bool(labels[index] == labels[query])}
                    for index in found[:_SHOWN_RANKS]
                ],
            }
            for query, (rank, found) in enumerate(zip(ranks, others, strict=True))
        ]

    def _named(self, index):
        path = self.dataset.files[index]
        return {"name": f"{path.parent.name}/{path.stem}", "path": str(path)}


def _names(naming, first, second):
    """Names of the recalls by direction, and the directions that make up ``val_precise``."""
    if naming == "ossco":
        names = {"ab": f"{first}->{second}", "ba": f"{second}->{first}"}
        return {**names, "cross": f"{first}<->{second}"}, ("cross",)
    names = {"ab": "val_ab_recall", "ba": "val_ba_recall", "cross": "val_cross_recall"}
    return names, tuple(names)


class _Features:
    """A network that gives (feature, projection) rows, as one that gives descriptor columns."""

    def __init__(self, network):
        self.network, self.device = network, network.device
        self.wrappers, self.members = network.wrappers, network.members

    def eval(self):
        self.network.eval()

    def __call__(self, images):
        return self.network(images)[0].T
