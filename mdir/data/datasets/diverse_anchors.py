"""Tuples whose anchors differ from each other.

Source: Mohwald, Jenicek, Chum: Dark Side Augmentation: Generating Diverse Night Examples for Metric
Learning (ICCV 2023).
"""

from typing import Annotated, Literal

import torch

from cirtorch.datasets.mining import diverse_anchors
from cirtorch.utils.errors import DataError
from mdir.data.datasets.tuples import CirTuples, draw
from mdir.registry import Problem, register
from mdir.registry.ranges import at_least


def _check_fractions(section):
    """Fractions lie in 0..1 and leave something between them."""
    fractions = {
        key: section.get(key) for key in ("similar_exclude", "similar_include", "mark_easy")
    }
    given = {key: v for key, v in fractions.items() if isinstance(v, (int, float))}
    for key, value in given.items():
        if not 0 <= value <= 1:
            yield Problem((key,), f"expected a fraction in 0..1, got {value}")
    if given.get("similar_exclude", 0) > given.get("similar_include", 1):
        yield Problem((), "similar_exclude is larger than similar_include")


@register("dataset", "CirDiverseAnchors", check=_check_fractions)
class CirDiverseAnchors(CirTuples):
    """CirTuples whose queries are picked one after the other, away from those picked before.

    Args:
        qpool_size: pairs among which is picked, at least ``query_size``; null: as many.
        similar_exclude, similar_include: without the most similar fraction ``similar_exclude`` of
            the pool, and within the most similar fraction ``similar_include`` of it.
        mark_easy: this fraction of the tuples, those of the most similar pairs, gets labels ending
            in ``-easy``, the others ``-hard``; null: no marks.

    The other parameters are those of :class:`~mdir.data.datasets.tuples.CirTuples`.
    """

    def __init__(
        self,
        transform,
        inputs=(),
        *,
        dataset: str,
        split: Literal["train", "val"],
        image_size: Annotated[int | float, at_least(1)] | None,
        neg_num: int,
        query_size: float,
        pool_size: float,
        similar_exclude: float,
        similar_include: float,
        qpool_size: float | None,
        mark_easy: float | None = None,
        dataset_pkl: str | None = None,
        image_dir: str | None = None,
        shuffle: bool = True,
        swap_qp: bool = False,
        first_neg: Literal["neg", "pos", "exc"] = "neg",
    ):
        super().__init__(
            transform,
            inputs,
            dataset=dataset,
            split=split,
            image_size=image_size,
            neg_num=neg_num,
            query_size=query_size,
            pool_size=pool_size,
            dataset_pkl=dataset_pkl,
            image_dir=image_dir,
            shuffle=shuffle,
            swap_qp=swap_qp,
            first_neg=first_neg,
        )
        wanted = self.query_size if qpool_size is None else qpool_size
        self.qpool_size = int(min(wanted, len(self.queries)))
        self.exclude, self.include = similar_exclude, similar_include
        self.mark_easy = mark_easy
        if self.query_size > self.qpool_size:
            raise DataError(
                f"CirDiverseAnchors: query_size {self.query_size} exceeds qpool_size {qpool_size}"
            )

    def _choose_pairs(self, extract):
        candidates = draw(len(self.queries), self.qpool_size, self.shuffle)
        images = [self.queries[pair] for pair in candidates]
        vectors = self._extract(extract, images, ["anc-pool-mine"] * len(images))
        picked, similarities = diverse_anchors(
            vectors, self.query_size, self.exclude, self.include, self.shuffle
        )
        self._set_pairs([candidates[position] for position in picked])
        if self.mark_easy is not None:
            self._mark(extract, vectors[:, picked])
        return {"average_new_query_max_score": similarities}

    def _mark(self, extract, queries):
        labels = ["pos-pool-mine"] * len(self.pidxs)
        similarity = (queries * self._extract(extract, self.pidxs, labels)).sum(dim=0)
        order = torch.argsort(similarity, descending=True, stable=True).tolist()
        easy = set(order[: int(self.mark_easy * self.query_size)])
        self.marks = ["-easy" if i in easy else "-hard" for i in range(len(self.pidxs))]
