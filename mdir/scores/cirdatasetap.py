"""Mean average precision of retrieval on a test set (published project: mdir, gandtr)."""

import math
import time
from typing import Annotated

import numpy as np
import torch

from cirtorch.datasets.testdataset import DATASETS
from cirtorch.search.exact import Search
from cirtorch.search.ranking import count_ranks
from cirtorch.utils.evaluate import compute_map_and_print, split_protocols
from cirtorch.utils.finite import require_finite
from cirtorch.utils.protocol import make_protocol
from mdir.data.datasets.images import CirImageList
from mdir.data.transforms.parse import check_transforms, parse_transforms
from mdir.inference.descriptors import extract_descriptors, wrappers_of
from mdir.registry import Check, register, unknown
from mdir.registry.ranges import at_least
from mdir.scores.result import ScoreResult
from mdir.scores.retrieval_sets import load_named_set, load_table_set

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


@register("score", "cirdatasetap")
class CirDatasetAp:
    """Describe database and queries, rank, and measure average precision.

    The rank of each image of the ground truth is counted and the first places of each ranking are
    searched for; no ranking is held whole, so memory does not grow with images times queries.

    Revisited sets give ``map_easy``, ``map_medium``, ``map_hard``; all others ``map``. Images that
    are both query and database are left out only where the ground truth calls them junk.

    Args:
        dataset: oxford5k, paris6k, roxford5k, rparis6k, 247tokyo1k, or a mapping ``name``,
            ``queries``, ``db``, ``imgdir`` (see :func:`mdir.scores.retrieval_sets.load_table_set`).
        image_size: longest side in pixels; a query's box is shrunk as its image would be. Null: as
            the files are.
        transforms, mean_std: null: those of the network.
        strict_images: as of a data section.
        data_root: folder that holds ``test/<dataset>``, relative to the root.

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
    ):
        if isinstance(dataset, dict):
            self.set = load_table_set(**dataset)
        else:
            self.set = load_named_set(dataset, data_root)
        self.protocols = split_protocols(self.set.name, self.set.gnd)
        self.main = "" if "" in self.protocols else "medium"
        self.image_size, self.transforms, self.mean_std = image_size, transforms, mean_std
        self.strict_images = strict_images

    @property
    def decisive(self) -> str:
        """The average that tells which network is best."""
        return f"score_avg:{_named('map', self.main)}"

    @torch.no_grad()
    def __call__(self, network) -> ScoreResult:
        protocol, begin = self._protocol(network), time.time()
        vecs, qvecs = self._extract(network)
        extracted = time.time()
        ranks = count_ranks(vecs.t(), qvecs, self.set.gnd, device=network.device)
        averages, per_query = compute_map_and_print(
            self.set.name, ranks, self.set.gnd, protocol=protocol
        )
        _, found = Search(vecs.t(), device=network.device).search(qvecs.t(), _SHOWN_RANKS)
        end = time.time()
        return ScoreResult(
            averages,
            {name: np.asarray(values).tolist() for name, values in per_query.items()},
            {
                "extract_descriptors": extracted - begin,
                "compute_score": end - extracted,
                "total_s": end - begin,
            },
            rankings=self._rankings(found, per_query[_named("ap", self.main)]),
            protocol=protocol.as_dict(),
        )

    def _extract(self, network):
        data = network.runtime.get("data") or {}
        transform = parse_transforms(
            self.transforms or data.get("transforms"), self.mean_std or data.get("mean_std")
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
        wrappers = wrappers_of(network)
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


def _named(what, protocol):
    return f"{what}_{protocol}" if protocol else what
