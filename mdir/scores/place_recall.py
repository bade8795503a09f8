"""The score ``place_recall``: queries whose place is among the first answers (recall@N)."""

import sys
import time
from typing import Annotated, Literal

import numpy as np

from cirtorch.search.exact import Search
from cirtorch.utils.finite import require_finite
from mdir import distributed
from mdir.data.loading import make_dataset
from mdir.data.sections import Gibibytes, data_section
from mdir.data.transforms.parse import check_transforms
from mdir.errors import UserError
from mdir.inference.descriptors import extract_descriptors
from mdir.registry import Check, Problem, Section, is_unresolved, register
from mdir.registry.ranges import above, at_least
from mdir.scores.measures.place_recall import (
    all_first_hits,
    first_hits,
    merge_crops,
    padded,
    positives_within,
    recall_text,
    recalls,
)
from mdir.scores.place_outputs import PlaceOutputs
from mdir.scores.place_views import PlaceViews, query_treatment, resize
from mdir.scores.reranking import Reranking, RerankSection, check_rerank
from mdir.scores.result import ScoreResult
from mdir.scores.retrieval_sets import check_files
from mdir.scores.samples import Sample

_CROP_RANKS = 20  # each crop's search, as published, even where fewer are asked for
_ALL, _MEAN = "all", "mean"
_OF_ANSWERABLE = "with_positives"
_MERGED = ("nearest_crop", "maj_voting")
Method = Literal[
    "hard_resize", "single_query", "central_crop", "five_crops", "nearest_crop", "maj_voting"
]
Side = Annotated[int, at_least(1)]


def _check(params):
    """Ranks that do not ascend, and a test method without a height and a width."""
    values, size = params.get("recall_values", [1]), params.get("image_size")
    method = params.get("test_method", "hard_resize")
    if all(type(value) is int for value in values) and (
        not values or list(values) != sorted(set(values))
    ):
        yield Problem(("recall_values",), f"expected numbers that ascend, got {list(values)}")
    shaped = isinstance(size, (list, tuple)) or is_unresolved(size) or is_unresolved(method)
    if method != "hard_resize" and not shaped:
        message = f"{method} needs an image_size of two numbers, height and width; got {size}"
        yield Problem(("test_method",), message)
    if method in _MERGED and params.get("rerank") is not None:
        yield Problem(("rerank",), f"{method} merges rankings, which are not to be ranked again")
    yield from check_rerank(params)


@register("score", "place_recall", check=_check)
class PlaceRecall:
    """Recall of visual place recognition, as gmberton/VPR-methods-evaluation measures it.

    ``recall@N`` is the share of queries with a database image of their place, taken within
    ``threshold``, among the N nearest by Euclidean distance of the descriptors, which are compared
    as they are. A query without such an image fails at every N; ``recall@N_with_positives`` leaves
    it out. Where the set has conditions, ``recall@N_CONDITION`` is that of their queries, and
    ``recall@N_mean`` the mean over the conditions where all queries have one. An epoch is the best
    one by its recall at the first of the ranks.

    Beside its rankings, a validation leaves ``LABEL_queries.csv`` (each query's positives and the
    rank of the first), ``LABEL_run.txt`` and ``LABEL_qrels.txt`` (TREC) and ``LABEL_pairs.txt``
    (``query image`` a line, for structure from motion), with names below the set's folder.
    Re-ranked numbers have ``_reranked`` behind their names; these files are then re-ranked, too.

    Args:
        dataset: a ``places`` section.
        image_size: short side in pixels, or ``[height, width]``; null: as the files are.
        threshold: in metres; one that is exactly as far away is right.
        recall_values: the N, ascending.
        test_method: what queries are shown as, where ``image_size`` is a height and a width: like
            the database (``hard_resize``), with the same short side (``single_query``), cut
            (``central_crop``), or as five squares, whose mean descriptor is taken (``five_crops``),
            or the nearest of whose answers are (``nearest_crop``), or that vote (``maj_voting``).
        majority_weight: of a vote.
        transforms, mean_std: null: those of the network.
        strict_images, decoded_cache: as of a data section.
        batch_size: images of one size that go through the network together.
        rerank: re-rankings by name, for descriptors of length 1; null: none.
    """

    ties_are_best, at_end = False, True

    def __init__(
        self,
        *,
        dataset: Annotated[dict, Section("dataset")],
        image_size: Side | tuple[Side, Side] | None = None,
        threshold: Annotated[float, above(0)] = 25,
        recall_values: list[Annotated[int, at_least(1)]] = (1, 5, 10, 20),
        test_method: Method = "hard_resize",
        majority_weight: Annotated[float, at_least(0)] = 0.01,
        transforms: Annotated[str, Check(check_transforms)] | None = None,
        mean_std: list | tuple | None = None,
        strict_images: bool = False,
        decoded_cache: Gibibytes | None = None,
        batch_size: Annotated[int, at_least(1)] = 16,
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
        if not hasattr(self.dataset, "positions"):
            raise UserError(
                f"the score place_recall needs positions, which {self.name} does not tell: a set "
                "'places' does"
            )
        self.threshold, self.values, self.method = threshold, list(recall_values), test_method
        self.size = tuple(image_size) if isinstance(image_size, list) else image_size
        self.weight, self.batch_size = majority_weight, batch_size
        self.rerankings = [Reranking(section) for section in ({}, rerank) if section is not None]
        self.decisive = f"score_avg:recall@{self.values[0]}"
        check_files(self.dataset.root, self.dataset.files)
        known, asked = np.split(self.dataset.positions, [self.dataset.database])
        self.positives = positives_within(known, asked, threshold)
        self.answerable = np.array([len(one) > 0 for one in self.positives])
        self.conditions = self.dataset.conditions
        self._check_conditions()
        self._tell_unanswerable()

    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        rows = self.extract(network)
        result = ScoreResult(timings={"extract_descriptors": time.time() - begin})
        result.protocol = self.protocol(rows[0].shape[1])
        for reranking in self.rerankings:
            self.rank(result, *rows, reranking, network.device)
        result.timings["total_s"] = time.time() - begin
        return result

    def rank(self, result, database, queries, reranking, device) -> None:
        """Add the numbers of one ranking to a result, and what it leaves."""
        ending = ""
        if reranking.parts:
            result.protocol["re-ranking"], ending = str(reranking), "_reranked"
        queries, database = reranking.expand(queries, database, device=device)
        scores, found = self.find(database, queries, reranking, device)
        if self.merges_crops:
            first = first_hits(found, self.positives)
        else:
            first = all_first_hits(database, queries, found, self.positives, device)
        scores, found = (one[:, : self.values[-1]] for one in (scores, found))
        table = self.measure(result, first, ending)
        result.per_query[f"first_hit{ending}"] = np.where(first < 0, np.nan, first + 1).tolist()
        outputs = PlaceOutputs(self.dataset, self.positives)
        result.rankings = outputs.rankings(found, first)
        result.details = lambda: {"places": {"values": self.values, "recalls": table}}
        result.files = lambda: outputs.files(result.protocol, scores, found, first)

    @property
    def merges_crops(self) -> bool:
        """Whether a query's ranking is made of those of its crops."""
        return self.method in _MERGED

    def extract(self, network):
        """Descriptors of the database ``[N, D]`` and of the queries ``[M, D]``.

        Where crops have rankings of their own, those of all of them, query by query.
        """
        count, images = self.dataset.database, range(len(self.dataset))
        database = PlaceViews(
            self.dataset, images[:count], lambda image: [resize(image, self.size)]
        )
        treat, views = query_treatment(self.method, self.size)
        queries = PlaceViews(self.dataset, images[count:], treat, views)
        known, asked = (self._rows(network, one) for one in (database, queries))
        if views > 1 and not self.merges_crops:
            asked = asked.unflatten(0, (-1, views)).mean(dim=1)
        return known, asked

    def _rows(self, network, views):
        what = f"{self.name} {'database' if views.numbers.start == 0 else 'queries'}"
        rows = extract_descriptors(network, views, {"batch_size": self.batch_size}, what).T
        require_finite(rows, views.files, what)
        return rows

    def find(self, database, queries, reranking, device):
        """The first answers of each query: scores (minus the squared distance) and images.

        Returns:
            ``[M, n]`` each, n the largest of the ranks, or how many images are reordered; behind a
            database of fewer images, -1.
        """
        index, count = Search(database, device=device, metric="l2"), self.values[-1]
        if not self.merges_crops:
            count = max(count, reranking.top)
            scores, found = index.search(queries, count)
            order = reranking.order(queries, database, found, device=device)
            scores, found = (np.take_along_axis(one, order, 1) for one in (scores, found))
            return padded(scores, count, -np.inf), padded(found, count)
        scores, found = index.search(queries, max(count, _CROP_RANKS))
        shape = (len(self.positives), -1, found.shape[1])
        weight = self.weight if self.method == "maj_voting" else None
        distances, found = merge_crops(-scores.reshape(shape), found.reshape(shape), count, weight)
        return -distances, found

    def measure(self, result, first, ranking="") -> dict[str, dict]:
        """Add the averages with that ending, and print them.

        Returns:
            ``all``, each condition and ``mean`` -> ``queries`` and ``without_positives`` (numbers),
            ``recalls`` and ``with_positives`` (shares by rank).
        """
        groups = {_ALL: np.arange(len(first))} | self.conditions
        table = {name: self._recalls(first, group) for name, group in groups.items()}
        if len(self.conditions) > 1 and self._are_whole():
            table[_MEAN] = _mean([table[name] for name in self.conditions])
        for name, row in table.items():
            ending = "" if name == _ALL else f"_{name}"
            self._average(result, row["recalls"], ending + ranking)
            self._sample(result, first, groups.get(name), ending + ranking)
            if distributed.is_first():
                text = recall_text(self.values, row["recalls"])
                print(f"{self.name} {name}{ranking.replace('_', ', ')}: {text}")
        ending = f"_{_OF_ANSWERABLE}{ranking}"
        self._average(result, table[_ALL][_OF_ANSWERABLE], ending)
        self._sample(result, first, np.flatnonzero(self.answerable), ending)
        return table

    def _average(self, result, shares, ending):
        for n, share in zip(self.values, shares, strict=True):
            result.averages[f"recall@{n}{ending}"] = share

    def _sample(self, result, first, group, ending):
        """What the recalls of a group are the means of; null: those of the conditions' mean."""
        for n in self.values:
            hits = ((first >= 0) & (first < n)).astype(np.float64)
            values = np.full(len(first), np.nan)
            if group is not None:
                values[group] = hits[group]
            else:
                for part in self.conditions.values():
                    share = len(first) / (len(part) * len(self.conditions))
                    values[part] = hits[part] * share
            sample = Sample(values, group is not None, getattr(self.dataset, "groups", None))
            result.samples[f"recall@{n}{ending}"] = sample

    def _recalls(self, first, group):
        answerable = group[self.answerable[group]]
        return {
            "queries": len(group),
            "without_positives": len(group) - len(answerable),
            "recalls": recalls(first[group], self.values),
            _OF_ANSWERABLE: recalls(first[answerable], self.values),
        }

    def protocol(self, dimensions) -> dict:
        """The conditions of the numbers."""
        told = {
            "dataset": self.name,
            "folder": str(self.dataset.root),
            "list": self.dataset.digest,
            "images": self.dataset.database,
            "queries": len(self.positives),
            "queries without positives": int((~self.answerable).sum()),
            "threshold": float(self.threshold),
            "image size": list(self.size) if isinstance(self.size, tuple) else self.size,
            "test method": self.method,
            "dimensions": dimensions,
            "recall values": self.values,
            "similarity": "Euclidean distance of descriptors, ties to the lower index",
        }
        if groups := getattr(self.dataset, "groups", None):
            told["groups of queries"] = len(set(groups))
        if self.conditions:
            told["conditions"] = {name: len(group) for name, group in self.conditions.items()}
        return told

    def _are_whole(self):
        return sum(map(len, self.conditions.values())) == len(self.positives)

    def _check_conditions(self):
        taken = {_ALL, _MEAN, _OF_ANSWERABLE} & set(self.conditions)
        if taken:
            raise UserError(
                f"{self.dataset.root}: {min(taken)!r} is the name of other numbers of the score "
                "place_recall; give the condition another name"
            )

    def _tell_unanswerable(self):
        """Queries without positives are counted; nothing but such is refused."""
        lone, count = int((~self.answerable).sum()), len(self.answerable)
        where = f"{self.dataset.root}: {lone} of {count} queries have no database image within "
        if lone == count:
            raise UserError(f"{where}{self.threshold:g} m: nothing can be found")
        if lone and distributed.is_first():
            print(
                f"Warning: {where}{self.threshold:g} m; they fail at every N, and are left out of "
                f"the recalls {_OF_ANSWERABLE}",
                file=sys.stderr,
            )


def _mean(rows):
    told = {key: sum(row[key] for row in rows) for key in ("queries", "without_positives")}
    for key in ("recalls", _OF_ANSWERABLE):
        told[key] = np.mean([row[key] for row in rows], axis=0).tolist()
    return told
