"""Average precision against the published loops."""

import numpy as np
import pytest

from cirtorch.utils.errors import DataError
from cirtorch.utils.evaluate import compute_ap, compute_map, compute_map_and_print, split_protocols


def naive_ap(ranks, nres):
    ap = 0
    for j, rank in enumerate(ranks):
        before = 1.0 if rank == 0 else float(j) / rank
        ap += (before + float(j + 1) / (rank + 1)) * (1.0 / nres) / 2.0
    return ap


def naive_map(ranks, gnd, kappas):
    aps, prs = [], []
    for i, query in enumerate(gnd):
        if len(query["ok"]) == 0:
            aps.append(float("nan"))
            prs.append([float("nan")] * len(kappas))
            continue
        positions, position = [], 0
        for image in ranks[:, i]:
            if image in query["ok"]:
                positions.append(position)
            if image not in query.get("junk", []):
                position += 1
        aps.append(naive_ap(positions, len(query["ok"])))
        row = []
        for kappa in kappas:
            reach = min(positions[-1] + 1, kappa) if positions else 1
            row.append(sum(p + 1 <= reach for p in positions) / reach)
        prs.append(row)
    good = [a for a in aps if a == a]
    return sum(good) / len(good), aps, np.nanmean(prs, axis=0), prs


def random_case(seed, queries=7, images=60):
    rng = np.random.RandomState(seed)
    ranks = np.stack([rng.permutation(images) for _ in range(queries)], axis=1)
    gnd = []
    for i in range(queries):
        chosen = rng.permutation(images)[:20]
        gnd.append({"ok": chosen[: [0, 1, 5, 9][i % 4]].tolist(), "junk": chosen[9:].tolist()})
    gnd[-1].pop("junk")
    return ranks, gnd


@pytest.mark.parametrize("ranks, nres", [([], 3), ([0], 1), ([0, 1, 2], 3), ([4, 9], 5)])
def test_ap(ranks, nres):
    assert compute_ap(ranks, nres) == naive_ap(ranks, nres)


@pytest.mark.parametrize("seed", range(5))
def test_map_equals_the_loop(seed):
    ranks, gnd = random_case(seed)
    mean, aps, pr, prs = compute_map(ranks, gnd, [1, 5, 10])
    expected = naive_map(ranks, gnd, [1, 5, 10])
    assert mean == pytest.approx(expected[0], abs=1e-15)
    np.testing.assert_array_equal(aps, expected[1])
    np.testing.assert_allclose(pr, expected[2], atol=1e-15)
    np.testing.assert_array_equal(prs, expected[3])


def test_positives_are_counted_once():
    ranks = np.arange(6)[:, None]
    with pytest.raises(DataError, match="positives of query 0 .* name an image twice"):
        compute_map(ranks, [{"ok": [0, 0]}])
    assert compute_map(ranks, [{"ok": [0], "junk": [3, 3]}])[0] == 1
    revisited = [{"easy": [0], "hard": [0, 1], "junk": []}]
    with pytest.raises(DataError, match="twice"):
        compute_map_and_print("roxford5k", ranks, revisited)


def test_nothing_to_find_is_nan():
    mean, aps, pr, prs = compute_map(np.arange(4)[:, None], [{"ok": [], "junk": []}], [1])
    assert np.isnan([mean, aps[0], pr[0], prs[0, 0]]).all()


def test_positives_that_are_not_ranked_count_as_missed():
    mean, _, pr, _ = compute_map(np.arange(4)[:, None], [{"ok": [9]}], [1, 5])
    assert mean == 0 and pr.tolist() == [0, 0]


def test_printed_lines(capsys):
    ranks, gnd = random_case(1)
    averages, per_query = compute_map_and_print("oxford5k", ranks, gnd)
    assert capsys.readouterr().out == f">> oxford5k: mAP {averages['map'] * 100:.2f}\n"
    assert list(per_query) == ["ap"] and per_query["ap"].shape == (7,)
    revisited = [{"easy": q["ok"], "hard": q.get("junk", [])[:1], "junk": [60]} for q in gnd]
    averages, per_query = compute_map_and_print("rparis6k", ranks, revisited, protocol="as told")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(">> rparis6k: mAP E: ") and ", M: " in lines[0]
    assert lines[1].startswith(">> rparis6k: mP@k[1, 5, 10] E: [")
    assert lines[2] == ">> rparis6k: as told"
    assert list(averages) == ["map_easy", "map_medium", "map_hard"]
    assert list(per_query) == ["ap_easy", "ap_medium", "ap_hard"]


def test_unknown_protocol():
    with pytest.raises(ValueError, match="mine"):
        split_protocols("mine", [{"easy": []}])
