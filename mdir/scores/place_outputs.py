"""What is kept of the answers to queries for places: rankings, and files for others' tools."""

import numpy as np

from mdir.data.image_files import as_seen
from mdir.data.table_files import csv_text
from mdir.report.run_files import judgements, pair_list, run_file

_SHOWN_RANKS = 10


class PlaceOutputs:
    """The answers to the queries of a set in several forms.

    Images found are int64 ``[M, n]``, the nearest first, -1 for none; ``first``: int64 ``[M]``, the
    place (from 0) of the right one, -1 for none.

    Args:
        dataset: a set ``places``.
        positives: right images of each query.
    """

    def __init__(self, dataset, positives):
        self.dataset, self.positives = dataset, positives

    def rankings(self, found, first) -> list[dict]:
        """The nearest images of each query, with the rank (from 1) of the right one."""
        names = self._conditions_by_query()
        return [
            {
                **self._named(self.dataset.database + query),
                "box": None,
                "ap": None,
                "first": int(first[query]) + 1 if first[query] >= 0 else None,
                "condition": names[query],
                "found": [
                    self._judged(query, image) for image in nearest[:_SHOWN_RANKS] if image >= 0
                ],
            }
            for query, nearest in enumerate(found.tolist())
        ]

    def _judged(self, query, image):
        here, there = self.dataset.positions[[self.dataset.database + query, image]]
        return {
            **self._named(image),
            "right": bool(image in self.positives[query]),
            "caption": f"{np.linalg.norm(here - there):,.0f} m away",
        }

    def _named(self, index):
        named = {"name": self.dataset.names[index], "path": self.dataset.files[index]}
        return named | as_seen(self.dataset)

    def files(self, protocol, scores, found, first) -> dict[str, str]:
        """Texts of the files beside the rankings, by the ending of their names."""
        images, queries = self._names()
        return {
            "_queries.csv": csv_text(self._per_query(protocol, queries, first)),
            "_run.txt": run_file(queries, images, found, scores),
            "_qrels.txt": judgements(queries, images, self.positives),
            "_pairs.txt": pair_list(queries, images, found),
        }

    def _per_query(self, protocol, queries, first):
        """A row for each query; the conditions of the numbers stand in all of them."""
        facts = {
            key.replace(" ", "_"): " ".join(map(str, value)) if isinstance(value, list) else value
            for key, value in protocol.items()
            if not isinstance(value, dict)
        }
        yield ["query", "condition", "positives", "first_hit", *facts]
        columns = queries, self._conditions_by_query(), self.positives, first.tolist()
        for query, condition, right, place in zip(*columns, strict=True):
            yield [query, condition, len(right), place + 1 if place >= 0 else "", *facts.values()]

    def _names(self):
        names = self.dataset.names
        return names[: self.dataset.database], names[self.dataset.database :]

    def _conditions_by_query(self):
        names = [""] * len(self.positives)
        for name, group in self.dataset.conditions.items():
            for query in group:
                names[query] = name
        return names
