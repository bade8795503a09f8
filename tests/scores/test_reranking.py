"""Re-rankings against loops, by themselves and in each score; what a scenario may ask for."""

import csv

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from cirtorch.utils.evaluate import compute_map
from mdir import registry
from mdir.learning.score_results import write_rankings
from mdir.scores.cirdatasetap import CirDatasetAp
from mdir.scores.measures.class_recall import class_scores
from mdir.scores.measures.cross_domain import direction_ranks
from mdir.scores.measures.expansion import expand_queries
from mdir.scores.measures.rerank import reranked_blocks
from mdir.scores.place_recall import PlaceRecall
from mdir.scores.reranking import Reranking
from mdir.stages.search import search
from tests.scores.test_cirdatasetap import network, score, write
from tests.scores.test_place_recall import score as places
from tests.scores.test_place_recall import write_city
from tests.scores.test_samples import assert_samples_are_the_averages
from tests.stages.test_search import write_shards

BOTH = {"query_expansion": {"k": 3, "alpha": 2}, "database_augmentation": {"k": 2, "alpha": 1}}
ASKED = [
    {"query_expansion": {"k": 4}},
    BOTH,
    {"superglobal": {"top": 12, "neighbours": 3}},
    {"k_reciprocal": {"top": 9, "k1": 4, "k2": 2}},
    BOTH | {"superglobal": {"top": 400}},
]
NAMES = ["expansion", "both", "superglobal", "reciprocal", "three"]


def unit(count, seed, size=6, shift=0.0):
    rows = np.random.default_rng(seed).normal(shift, 1, (count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def expanded(query, database, k, alpha, own=-1):
    """One query, as the formula says."""
    similarities = database @ query
    order = [i for i in np.argsort(-similarities, kind="stable") if i != own][:k]
    total = query + sum(max(similarities[i], 0) ** alpha * database[i] for i in order)
    return total / np.linalg.norm(total)


def ranked(query, database, asked, own=-1, whole=None):
    """The ranking of one query by a loop; ``own`` is left out of all but its own place."""
    if "database_augmentation" in asked:
        options = {"alpha": 0, **asked["database_augmentation"]}
        rows = [expanded(row, database, own=i, **options) for i, row in enumerate(database)]
        database = np.stack(rows)
    if "query_expansion" in asked:
        query = expanded(query, database, own=own, **{"alpha": 0, **asked["query_expansion"]})
    order = np.argsort(-(database @ query), kind="stable")
    slots = [place for place, image in enumerate(order) if image != own]
    if "superglobal" in asked:
        options = {"top": 400, "neighbours": 9, "beta": 0.15, **asked["superglobal"]}
        slots = slots[: options.pop("top")]
        order[slots] = superglobal(query, database, order[slots].tolist(), **options)
    if "k_reciprocal" in asked:
        slots = slots[: asked["k_reciprocal"]["top"]]
        rows = torch.from_numpy(database[order[slots]])
        distances = next(reranked_blocks(torch.from_numpy(query)[None], rows, k1=4, k2=2))[0]
        order[slots] = order[slots][np.argsort(distances, kind="stable")]
    return order.tolist()


def superglobal(query, database, top, neighbours, beta):
    refined = {}
    for image in top:
        near = sorted(
            (i for i in top if i != image), key=lambda i: -(database[i] @ database[image])
        )
        weights = {i: beta * max(database[i] @ database[image], 0) for i in near[:neighbours]}
        total = database[image] + sum(weight * database[i] for i, weight in weights.items())
        refined[image] = total / (1 + sum(weights.values()))
    first = sorted(top, key=lambda i: -(query @ refined[i]))
    largest = np.max([refined[i] for i in first[: neighbours + 1]], axis=0)
    return sorted(first, key=lambda i: -(query @ refined[i] + largest @ refined[i]))


@pytest.mark.parametrize("alpha", [0, 1, 2.5, 3])
def test_expansion_is_the_loop(alpha):
    database, queries, own = unit(20, 0), unit(7, 1), np.array([3, -1, 0, 19, -1, 5, 6])
    queries[own >= 0] = database[own[own >= 0]]
    assert (database @ queries.T < 0).any()
    for k in (0, 4, 50):
        found = expand_queries(queries, database, k, alpha, own)
        pairs = zip(queries, own, strict=True)
        expected = [expanded(query, database, k, alpha, place) for query, place in pairs]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_query_among_its_copies_is_no_neighbour_of_its_own():
    database = np.tile(unit(1, 0), (9, 1))
    database[0] = unit(1, 5)
    found = expand_queries(database[8:], database, 2, 0, np.array([8]))
    np.testing.assert_allclose(found, database[8:], atol=1e-6)
    far = expand_queries(database[:1], database, 0, 0, np.array([0]))
    np.testing.assert_array_equal(far, database[:1])


@pytest.mark.parametrize("asked", ASKED, ids=NAMES)
def test_search_is_the_loop(asked):
    database, queries = unit(40, 2, shift=0.5), unit(5, 3, shift=0.5)
    own = np.array([-1, 7, -1, 30, -1])
    queries[own >= 0] = database[own[own >= 0]]
    found = Reranking(asked).search(queries, database, 40, own)
    for number, query in enumerate(queries):
        assert found.indices[number].tolist() == ranked(query, database, asked, own[number])
    short = Reranking(asked).search(queries, database, 4, own)
    assert short.indices.tolist() == found.indices[:, :4].tolist()
    products = np.asarray(found.queries) @ np.asarray(found.database).T
    expected = np.take_along_axis(products, found.indices, 1)
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)


@pytest.mark.parametrize("asked", ASKED, ids=NAMES)
@pytest.mark.parametrize("images", [1, 2])
def test_few_images(asked, images):
    found = Reranking(asked).search(unit(3, 0), unit(images, 1), 5).indices
    assert [sorted(row) for row in found.tolist()] == 3 * [list(range(images))]


@pytest.mark.parametrize("asked", ASKED, ids=NAMES)
def test_images_that_are_all_alike_keep_their_order(asked):
    same = np.tile(unit(1, 0), (20, 1))
    assert Reranking(asked).search(same[:2], same, 20).indices.tolist() == 2 * [list(range(20))]


def test_other_lengths_than_one_are_refused():
    rows = 2 * unit(4, 0)
    with pytest.raises(DataError, match="descriptor of image 0 .* has length 2; .* of length 1"):
        Reranking(BOTH).search(unit(2, 0), rows, 3)
    assert Reranking({}).search(unit(2, 0), rows, 3).indices.shape == (2, 3)


@pytest.mark.parametrize("asked", ASKED, ids=NAMES)
def test_average_precision(root, monkeypatch, capsys, asked):
    images = [f"{colour}{number}" for colour in ("red", "green", "blue") for number in range(9)]
    queries = ["red0", "red9", "blue3"]
    truth = [
        {"bbx": None, "ok": [4, 20, 9], "junk": [0]},
        {"bbx": None, "ok": [7], "junk": [3, 11]},
        {"bbx": [0, 0, 9, 9], "ok": [25, 2], "junk": []},
    ]
    write(root, truth, images=images, queries=queries)
    tested = score(dataset="247tokyo1k", rerank=asked)
    vecs, qvecs = unit(27, 4, shift=0.4), unit(3, 5, shift=0.4)
    qvecs[0] = vecs[0]
    columns = torch.from_numpy(vecs).t(), torch.from_numpy(qvecs).t()
    monkeypatch.setattr(tested, "_extract", lambda _: columns)
    result = tested(network())
    for ending, of in (("", {}), ("_reranked", asked)):
        own = [0, -1, -1]  # a part of blue3 is not that image
        order = [ranked(q, vecs, of, i) for q, i in zip(qvecs, own, strict=True)]
        mean, aps, *_ = compute_map(np.array(order).T, truth)
        assert result.averages[f"map{ending}"] == pytest.approx(mean)
        assert result.per_query[f"ap{ending}"] == pytest.approx(aps.tolist())
    shown = [[answer["name"] for answer in one["found"]] for one in result.rankings]
    assert shown == [[images[i] for i in row[:10]] for row in order]
    assert_samples_are_the_averages(result)
    assert result.protocol["re-ranking"] == str(Reranking(asked))
    assert f">> 247tokyo1k, re-ranked by {Reranking(asked)}: mAP" in capsys.readouterr().out


def first_ranks(rows, labels, queries, candidates, asked):
    for query in queries:
        own = candidates.index(query) if query in candidates else -1
        order = ranked(rows[query], rows[candidates], asked, own)
        images = [candidates[place] for place in order if place != own]
        yield 1 + [labels[image] for image in images].index(labels[query])


@pytest.mark.parametrize("asked", ASKED, ids=NAMES)
def test_recall_between_domains(asked):
    rows, labels = unit(36, 6, shift=0.4), list(range(18)) * 2
    domains = torch.tensor([0] * 18 + [1] * 18)
    found = direction_ranks(torch.from_numpy(rows), domains, torch.tensor(labels), Reranking(asked))
    first, second = list(range(18)), list(range(18, 36))
    expected = {"ab": (first, second), "ba": (second, first), "cross": (first + second,) * 2}
    for direction, sides in expected.items():
        ranks = list(first_ranks(rows, labels, *sides, asked))
        assert found[direction].tolist() == ranks


@pytest.mark.parametrize("asked", ASKED, ids=NAMES)
def test_recall_of_classes(asked):
    rows, labels = unit(30, 7, shift=0.4), [i // 5 for i in range(30)]
    found = class_scores(torch.from_numpy(rows), labels, [1], 29, Reranking(asked))
    everything = list(range(30))
    assert found.first.tolist() == list(first_ranks(rows, labels, everything, everything, asked))


@pytest.mark.parametrize("asked", ASKED, ids=NAMES)
def test_recall_of_places(root, monkeypatch, tmp_path, asked):
    write_city(root)
    tested = places(recall_values=[1, 2], rerank=asked)
    database, queries = unit(30, 9, shift=0.4), unit(4, 10, shift=0.4)
    tested.positives = [np.array([i, i + 9]) for i in (3, 20, 7, 11)]
    tested.answerable = np.ones(4, bool)
    tested.dataset.names = [str(i) for i in range(34)]
    tested.dataset.files, tested.dataset.database = tested.dataset.names, 30
    tested.dataset.positions = np.zeros((34, 2))
    rows = torch.from_numpy(database), torch.from_numpy(queries)
    monkeypatch.setattr(tested, "extract", lambda _: rows)
    result = tested(network())
    for ending, of in (("", {}), ("_reranked", asked)):
        orders = [ranked(query, database, of) for query in queries]
        pairs = zip(orders, tested.positives, strict=True)
        first = [1 + min(order.index(image) for image in right) for order, right in pairs]
        assert result.per_query[f"first_hit{ending}"] == first
        assert result.averages[f"recall@1{ending}"] == np.mean([place == 1 for place in first])
        assert result.averages[f"recall@2_with_positives{ending}"] == np.mean(
            [place <= 2 for place in first]
        )
    assert [query["first"] for query in result.rankings] == first
    write_rankings(tmp_path / "toy.json", result)
    run = [line.split() for line in (tmp_path / "toy_run.txt").read_text().splitlines()]
    assert [int(line[2]) for line in run] == [image for order in orders for image in order[:2]]
    assert str(Reranking(asked)) in (tmp_path / "toy_queries.csv").read_text()


def test_merged_rankings_are_not_ranked_again():
    given = {"dataset": "${set}", "image_size": [2, 2], "test_method": "maj_voting", "rerank": BOTH}
    (problem,) = registry.check_parameters(PlaceRecall, given)
    assert "maj_voting merges rankings, which are not to be ranked again" in problem.message


def test_a_search_names_its_reranking(root):
    database = {f"{i}.jpg": row for i, row in enumerate(unit(12, 8, shift=0.4))}
    write_shards(root / "db", database)
    params = {"database": "db", "queries": "db", "directory": "out", "count": 12}
    found = {}
    for name, asked in (("plain", {}), ("both", {"rerank": BOTH})):
        metadata, *_ = search(params | asked)
        with open(metadata["table"], encoding="utf-8", newline="") as file:
            found[name] = list(csv.reader(file))
    assert [len(row) for row in found["plain"][:2]] == [4, 4]
    assert found["both"][0][4] == "re-ranking"
    told = "database_augmentation k 2 alpha 1 and query_expansion k 3 alpha 2"
    assert {row[4] for row in found["both"][1:]} == {told}
    rows = np.stack(list(database.values()))
    expected = [image for i, row in enumerate(rows) for image in ranked(row, rows, BOTH, i)]
    assert [row[2] for row in found["both"][1:]] == [f"{image}.jpg" for image in expected]


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"query_expansio": {}}, "unknown reranking 'query_expansio'. Did you mean"),
        ({"query_expansion": {"k": -1}}, "expected 0 or more, got -1"),
        ({"query_expansion": {"alpha": float("nan")}}, "from 0 to 100, got nan"),
        ({"superglobal": {"beta": 1.5}}, "from 0 to 1, got 1.5"),
        ({"superglobal": {"K": 3}}, "unknown parameter 'K'"),
        ({"superglobal": 3}, "expected a mapping of parameters, got 3"),
        ({"superglobal": {}, "k_reciprocal": {}}, "superglobal reorders the first images already"),
        ({}, "names none of database_augmentation, k_reciprocal, query_expansion, superglobal"),
        ([BOTH], "expected a mapping or null"),
        (None, None),
        ({"superglobal": None}, None),
        ({"query_expansion": {"k": "${k}"}}, None),
    ],
)
@pytest.mark.parametrize("component", [CirDatasetAp, search], ids=["score", "step"])
def test_mistakes_are_found_with_the_scenario(component, asked, message):
    given = {"dataset": "247tokyo1k", "image_size": 1}
    if component is search:
        given = {"database": "a", "queries": "b", "directory": "c"}
    problems = [p.message for p in registry.check_parameters(component, given | {"rerank": asked})]
    assert len(problems) == (message is not None)
    assert message is None or message in problems[0]


def test_parameters_may_be_written_as_texts():
    assert Reranking({"query_expansion": {"alpha": "1e1"}}).told == {
        "query_expansion": {"k": 10, "alpha": 10.0}
    }
