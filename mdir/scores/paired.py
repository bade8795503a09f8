"""Evaluations compared query by query, from the rankings that validations left."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdir.artifacts import used
from mdir.errors import UserError
from mdir.metric_names import Metric
from mdir.scores.samples import Comparison, Sample, compared, read_sample


class Asked(NamedTuple):
    """The values of an average and the queries, ``(path, box)``, that they are of."""

    sample: Sample
    queries: list


def compare_runs(before: Sequence[Path], after: Sequence[Path]) -> dict[str, Comparison | str]:
    """Title of each average that both have -> the paired test, or why there is none.

    Args:
        before, after: ``rankings`` folders of validate steps, several of one that was trained with
            several seeds: each query's value is then the mean over them.
    """
    first, second = map(_over_seeds, (before, after))
    return {title: _compared(first[title], second[title]) for title in first if title in second}


def _compared(first, second):
    if isinstance(first, str) or isinstance(second, str):
        return first if isinstance(first, str) else second
    if first.queries != second.queries:
        return "not the same queries"
    return compared(first.sample, second.sample)


def _over_seeds(folders):
    """Title -> :class:`Asked`, or in words why the folders do not fit."""
    read, found = [_read(folder) for folder in folders], {}
    for title in read[0]:
        parts = [one[title] for one in read if title in one]
        if len(parts) < len(read) or any(part.queries != parts[0].queries for part in parts):
            found[title] = "not the same queries in all seeds"
        elif len(parts) > 1:
            values = np.mean([part.sample.values for part in parts], axis=0)
            found[title] = Asked(replace(parts[0].sample, values=values, hits=False), parts[0][1])
        else:
            found[title] = parts[0]
    return found


def _read(folder):
    found = {}
    for path in sorted(folder.glob("*.json")):
        used(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            queries = [(query["path"], query.get("box")) for query in content["queries"]]
            for name, stored in content.get("samples", {}).items():  # older files have none
                title = Metric(path.stem, "validation", "score_avg", name).title()
                found[title] = Asked(read_sample(stored), queries)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a rankings file of a validate step") from error
    return found
