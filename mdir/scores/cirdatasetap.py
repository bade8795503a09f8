"""Mean average precision of retrieval on a test set (published project: mdir, gandtr)."""

import math
import time
from typing import Annotated

import numpy as np
import torch

from cirtorch.datasets.testdataset import DATASETS
from cirtorch.search.ranking import RankPositions, count_ranks
from cirtorch.utils.evaluate import compute_map_and_print, split_protocols
from cirtorch.utils.finite import require_finite
from cirtorch.utils.protocol import make_protocol
from mdir.data.datasets.images import CirImageList
from mdir.data.loading import make_pipeline
from mdir.data.sections import Gibibytes
from mdir.data.transforms.parse import check_transforms
from mdir.inference.descriptors import extract_descriptors
from mdir.networks.base import wrappers_of
from mdir.registry import Check, register, unknown
from mdir.registry.ranges import at_least
from mdir.scores.reranking import Reranking, RerankSection, check_rerank
from mdir.scores.result import ScoreResult
from mdir.scores.retrieval_sets import load_named_set, load_table_set
from mdir.scores.samples import Sample

_TABLE_KEYS = {"name", "queries", "db", "imgdir"}
_SHOWN_RANKS = 10


def check_test_set(dataset: str | dict) -> None:
    """ValueError unless it is a published test set's name or a mapping of two tables."""
    if isinstance(dataset, dict):
        for key in sorted(set(dataset) - _TABLE_KEYS):
            raise ValueError(unknown("key", key, _TABLE_KEYS, dataset))
        if set(dataset) != _TABLE_KEYS or not all(isinstance(v, str) for v in dataset.values()):
            raise ValueError(f"expected exactly the keys {', '.join(sorted(_TABLE_KEYS))} (texts)")
    elif dataset.lower() not in DATASETS:
        raise ValueError(unknown("test set", dataset, DATASETS))


@register("score", "cirdatasetap", check=check_rerank)
class CirDatasetAp:
    """Describe database and queries, rank, and measure average precision.

    The rank of each image of the ground truth is counted and the first places of each ranking are
    searched for; no ranking is held whole, so memory does not grow with images times queries.

    Revisited sets give ``map_easy``, ``map_medium``, ``map_hard``; all others ``map``. Images that
    are both query and database are left out only where the ground truth calls them junk.
    Re-ranked numbers stand beside the others, with ``_reranked`` behind their names.

    Args:
        dataset: oxford5k, paris6k, roxford5k, rparis6k, 247tokyo1k, or a mapping ``name``,
            ``queries``, ``db``, ``imgdir`` (see :func:`mdir.scores.retrieval_sets.load_table_set`).
        image_size: longest side in pixels; a query's box is shrunk as its image would be. Null: as
            the files are.
        transforms, mean_std: null: those of the network.
        strict_images, decoded_cache: as of a data section.
        data_root: folder that holds ``test/<dataset>``, relative to the root.
        rerank: re-rankings by name; null: none.

    Raises:
        DataError: when made, if the set is incomplete: nothing is computed in vain.
    """

    def __init__(
        self,
        *,
        dataset: Annotated[str | dict, Check(check_test_set)],
        image_size: Annotated[int | float, at_least(1)] | None,
        transforms: Annotated[str, Check(check_transforms)] | None = None,
        mean_std: list | tuple | None = None,
        data_root: str = "data",
        strict_images: bool = False,
        decoded_cache: Gibibytes | None = None,
        rerank: RerankSection | None = None,
    ):
        if isinstance(dataset, dict):
            self.set = load_table_set(**dataset)
        else:
            self.set = load_named_set(dataset, data_root)
        self.protocols = split_protocols(self.set.name, self.set.gnd)
        self.main = "" if "" in self.protocols else "medium"
        self.image_size, self.transforms, self.mean_std = image_size, transforms, mean_std
        self.strict_images, self.decoded_cache = strict_images, decoded_cache
        self.rerankings = [Reranking(section) for section in ({}, rerank) if section is not None]

    @property
    def decisive(self) -> str:
        """The average that tells which network is best."""
        return f"score_avg:{_named('map', self.main)}"

    @torch.no_grad()
    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        vecs, qvecs = self._extract(network)
        extracted = time.time()
        protocol = self._protocol(network)
        result = ScoreResult(protocol=protocol.as_dict())
        for reranking in self.rerankings:
            self._measure(result, reranking, vecs.t(), qvecs.t(), network.device, protocol)
        end = time.time()
        result.timings = {
            "extract_descriptors": extracted - begin,
            "compute_score": end - extracted,
            "total_s": end - begin,
        }
        return result

    def _measure(self, result, reranking, database, queries, device, protocol):
        """Add the averages and values of queries of one ranking, and show it."""
        name, ending = self.set.name, ""
        if reranking.parts:
            result.protocol["re-ranking"] = str(reranking)
            name, ending = f"{name}, re-ranked by {reranking}", "_reranked"
        shown = max(_SHOWN_RANKS, reranking.top + 1)
        found = reranking.search(queries, database, shown, self.set.own_rows, device=device)
        ranks = count_ranks(found.database, found.queries.t(), self.set.gnd, device=device)
        if reranking.top:
            ranks = _reordered(ranks, found.indices)
        averages, per_query = compute_map_and_print(name, ranks, self.set.gnd, protocol=protocol)
        result.averages |= {key + ending: value for key, value in averages.items()}
        result.per_query |= {
            key + ending: np.asarray(values).tolist() for key, values in per_query.items()
        }
        for protocol_name in self.protocols:
            values = per_query[_named("ap", protocol_name)]
            result.samples[_named("map", protocol_name) + ending] = Sample(values)
        aps = per_query[_named("ap", self.main)]
        result.rankings = self._rankings(found.indices[:, :_SHOWN_RANKS], aps)

    def _extract(self, network):
        data = network.preprocessing
        transform = make_pipeline(
            self.transforms or data.get("transforms"),
            self.mean_std or data.get("mean_std"),
            self.decoded_cache,
        )
        vecs = self._vectors(network, transform, "database", self.set.image_paths, None)
        if self.set.queries_are_database:
            return vecs, vecs
        return vecs, self._vectors(
            network, transform, "queries", self.set.query_paths, self.set.boxes
        )

    def _vectors(self, network, transform, what, paths, boxes):
        columns = (paths,) if boxes is None else (paths, boxes)
        images = CirImageList(transform, columns, image_dir="", image_size=self.image_size)
        images.strict_images = self.strict_images
        vectors = extract_descriptors(network, images, what=f"{self.set.name} {what}")
        require_finite(vectors.T, paths, f"{self.set.name} {what}")
        return vectors

    def _protocol(self, network):
        wrappers = wrappers_of(network, "eval")
        scales = next((w.scales for w in wrappers if hasattr(w, "scales")), (1,))
        whitening = next((w.source for w in wrappers if hasattr(w, "source")), None)
        return make_protocol(self.set.cfg(), self.image_size, scales, whitening)

    def _rankings(self, found, aps):
        truths = self.protocols[self.main]
        return [
            {
                "name": self.set.queries[query],
                "path": self.set.query_paths[query],
                "box": self.set.boxes[query],
                "ap": None if math.isnan(aps[query]) else float(aps[query]),
                "found": [self._answer(image, truths[query]) for image in found[query].tolist()],
            }
            for query in range(len(self.set.queries))
        ]

    def _answer(self, image, truth):
        junk = image in truth.get("junk", ()) and image not in truth["ok"]
        return {
            "name": self.set.images[image],
            "path": self.set.image_paths[image],
            "right": None if junk else bool(image in truth["ok"]),
        }


def _reordered(ranks, found):
    """Positions where the first images of each query are those, in that order."""
    return RankPositions(
        [
            {image: places.get(image, max(position, len(row))) for image, position in known.items()}
            for known, row in zip(ranks.positions, found.tolist(), strict=True)
            for places in [{image: place for place, image in enumerate(row)}]
        ]
    )


def _named(what, protocol):
    return f"{what}_{protocol}" if protocol else what
