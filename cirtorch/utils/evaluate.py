"""Average precision of rankings (published project: cnnimageretrieval).

Protocols: Philbin et al. (CVPR 2007) for lists with ``ok`` and ``junk``; Radenović et al.,
"Revisiting Oxford and Paris" (CVPR 2018) for lists with ``easy``, ``hard`` and ``junk``.
Junk images are taken out of the ranking before positions are counted.
"""

import numpy as np

from cirtorch.utils.errors import DataError

_REVISITED = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}


def compute_ap(ranks, nres):
    """Area under the precision-recall curve by trapezoids.

    Args:
        ranks: ascending 0-based positions of the positives that were found.
        nres: number of positives.

    Returns:
        average precision in 0..1, float.
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    if len(ranks) == 0:
        return 0.0
    found = np.arange(len(ranks))
    before = np.divide(found, ranks, out=np.ones(len(ranks)), where=ranks > 0)
    after = (found + 1) / (ranks + 1)
    # cumsum adds one after the other: the same bits as the published loop
    return float(np.cumsum((before + after) * (1.0 / nres) / 2.0)[-1])


def compute_map(ranks, gnd, kappas=()):
    """Mean average precision of a ranking.

    Args:
        ranks: ``[N, Q]`` database indices, best first, one column per query; or the
            :class:`~cirtorch.search.ranking.RankPositions` of a database too large for that.
        gnd: a dict per query with ``ok`` and, optionally, ``junk``: lists of database indices.
            Queries without ``ok`` get NaN and are left out of the means; where it names an image
            twice, that is a DataError.
        kappas: ranks at which precision is measured.

    Returns:
        ``map`` float, ``aps`` ``[Q]``, ``pr`` ``[len(kappas)]`` mean precision at the kappas,
        ``prs`` ``[Q, len(kappas)]``. All NaN when no query has positives.
    """
    aps = np.full(len(gnd), np.nan)
    prs = np.full((len(gnd), len(kappas)), np.nan)
    for i, query in enumerate(gnd):
        if len(query["ok"]):
            if len(np.unique(query["ok"])) < len(query["ok"]):
                raise DataError(f"the positives of query {i} (from 0) name an image twice")
            positions = _positions_without_junk(ranks, i, query["ok"], query.get("junk", ()))
            aps[i] = compute_ap(positions, len(query["ok"]))
            prs[i] = [_precision_at(positions + 1, kappa) for kappa in kappas]
    answered = ~np.isnan(aps)
    if not answered.any():
        return float("nan"), aps, np.full(len(kappas), np.nan), prs
    mean = float(np.cumsum(aps[answered])[-1] / answered.sum())
    return mean, aps, prs[answered].sum(axis=0) / answered.sum(), prs


def _positions_without_junk(ranks, i, ok, junk):
    positions, junk = _positions(ranks, i, ok), _positions(ranks, i, junk)
    return positions - np.searchsorted(junk, positions)


def _positions(ranks, i, ids):
    """Ascending 0-based positions of the database indices ``ids`` in ranking ``i``."""
    ids = np.asarray(ids, dtype=np.int64)
    if hasattr(ranks, "of"):
        return ranks.of(i, ids)
    return np.flatnonzero(np.isin(np.asarray(ranks[:, i]), ids))


def _precision_at(positions, kappa):
    """Precision at ``kappa``, or at the last positive where that comes earlier."""
    if len(positions) == 0:
        return 0.0
    reach = min(positions.max(), kappa)
    return (positions <= reach).sum() / reach


def split_protocols(dataset, gnd):
    """The ground truths by which a data set is scored: ``{name: gnd}``.

    ``{"": gnd}`` for lists with ``ok``; ``easy``, ``medium`` and ``hard`` for the revisited sets.

    Raises:
        ValueError: neither the lists nor the name tell the protocol.
    """
    if len(gnd) and "ok" in gnd[0]:
        return {"": gnd}
    if not dataset.startswith(("roxford5k", "rparis6k")):
        raise ValueError(
            f"no evaluation protocol is known for {dataset!r}: its ground truth has no 'ok' lists "
            "and it is neither roxford5k nor rparis6k"
        )
    return {
        name: [{"ok": _joined(query, ok), "junk": _joined(query, junk)} for query in gnd]
        for name, (ok, junk) in _REVISITED.items()
    }


def _joined(query, keys):
    return np.concatenate([np.asarray(query[key], dtype=np.int64) for key in keys])


def compute_map_and_print(dataset, ranks, gnd, kappas=(1, 5, 10), protocol=None):
    """Score a ranking by the protocol of its data set and print the result in percent.

    Args:
        dataset: name, decides about the protocol together with the ground truth.
        ranks, gnd: as for :func:`compute_map`.
        kappas: ranks of mP@k, printed for the revisited sets.
        protocol: a :class:`~cirtorch.utils.protocol.Protocol`, printed below the score.

    Returns:
        averages ``{"map"}`` or ``{"map_easy", "map_medium", "map_hard"}`` in 0..1, and arrays
        ``[Q]`` per query under ``ap`` or ``ap_easy``, ``ap_medium``, ``ap_hard``.
    """
    results = {
        name: compute_map(ranks, truth, kappas)
        for name, truth in split_protocols(dataset, gnd).items()
    }
    percent = {name: np.around(result[0] * 100, decimals=2) for name, result in results.items()}
    if "" in results:
        print(f">> {dataset}: mAP {percent['']:.2f}")
    else:
        precision = {name: np.around(r[2] * 100, decimals=2) for name, r in results.items()}
        print(f">> {dataset}: mAP {_letters(percent)}")
        print(f">> {dataset}: mP@k{list(kappas)} {_letters(precision)}")
    if protocol is not None:
        print(f">> {dataset}: {protocol}")
    suffix = {name: f"_{name}" if name else "" for name in results}
    averages = {"map" + suffix[name]: result[0] for name, result in results.items()}
    return averages, {"ap" + suffix[name]: result[1] for name, result in results.items()}


def _letters(values):
    return ", ".join(f"{name[0].upper()}: {value}" for name, value in values.items())
