"""The score of retrieval: numbers, rankings, protocol, and errors before anything is computed."""

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cirtorch.utils.errors import DataError
from cirtorch.utils.evaluate import compute_map
from mdir import registry
from mdir.networks.single import SingleNetwork
from mdir.scores.cirdatasetap import CirDatasetAp

RUNTIME = {"wrappers": "", "data": {"transforms": "pil2np | totensor", "mean_std": None}}


class MeanColour(torch.nn.Module):
    """Descriptor: the normalized mean colour."""

    meta = {"in_channels": 3, "out_channels": 3, "pooling": "spoc"}

    def forward(self, x):
        return torch.nn.functional.normalize(x.mean(dim=(2, 3)), dim=1).t()


class LargestTensor(TorchDispatchMode):
    """Number of elements of the largest tensor that anything inside the block gave."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *(tensor.numel() for tensor in tensors)])
        return result


class Nothing(MeanColour):
    def forward(self, x):
        return super().forward(x) * float("nan")


def network(model=MeanColour, **runtime):
    return SingleNetwork(model(), {"model": {}, "runtime": {**RUNTIME, **runtime}})


COLOURS = {"red": (200, 10, 10), "green": (10, 200, 10), "blue": (10, 10, 200)}
NAMES = ["red1", "red2", "green1", "green2", "blue1"]


def write(root, gnd, name="247tokyo1k", images=NAMES, queries=NAMES[:1]):
    """A test set of one-coloured images; the number makes them slightly different."""
    folder = root / "data" / "test" / name
    (folder / "jpg").mkdir(parents=True)
    for image in {*images, *queries}:
        colour = np.add(COLOURS[image[:-1]], 5 * int(image[-1])).astype(np.uint8)
        Image.fromarray(np.tile(colour, (20, 30, 1))).save(folder / "jpg" / f"{image}.jpg")
    truth = {"imlist": images, "qimlist": queries, "gnd": gnd}
    (folder / f"gnd_{name}.pkl").write_bytes(pickle.dumps(truth))
    return folder


def score(**params):
    return registry.build("score", {"type": "cirdatasetap", "image_size": 16, **params})


def test_a_classic_set(root, capsys):
    write(root, [{"bbx": None, "ok": [1], "junk": [0]}])
    result = score(dataset="247Tokyo1k")(network())
    assert result.averages == {"map": 1.0} and result.per_query == {"ap": [1.0]}
    assert set(result.timings) == {"extract_descriptors", "compute_score", "total_s"}
    assert ">> 247tokyo1k: mAP 100.00" in capsys.readouterr().out
    (ranking,) = result.rankings
    assert [answer["name"] for answer in ranking["found"][:2]] == ["red1", "red2"]
    assert [answer["right"] for answer in ranking["found"]] == [None, True, False, False, False]
    assert ranking["path"].endswith("red1.jpg") and ranking["ap"] == 1.0
    assert result.protocol["images"] == 5 and result.protocol["image_size"] == 16


def test_the_protocol_tells_scales_and_whitening(root):
    write(root, [{"bbx": None, "ok": [1], "junk": []}])
    (root / "w.pkl").write_bytes(pickle.dumps({"m": np.zeros((3, 1)), "P": np.eye(3)}))
    stack = {"0_cirwhiten": {"whitening": "w.pkl"}, "1_cirmultiscale": {"scales": "ss"}}
    net = network(wrappers={"train": None, "eval": stack})
    protocol = score(dataset="247tokyo1k")(net).protocol
    assert protocol["scales"] == [1.0] and protocol["whitening"] == "w.pkl"
    assert "junk" in protocol["junk_rule"]


def test_a_revisited_set(root):
    gnd = [
        {"bbx": [0, 0, 15, 10], "easy": [0], "hard": [1], "junk": [2]},
        {"bbx": None, "easy": [], "hard": [], "junk": []},
    ]
    write(root, gnd, "roxford5k", queries=["red3", "blue3"])
    tested = score(dataset="roxford5k")
    assert tested.decisive == "score_avg:map_medium"
    result = tested(network())
    assert set(result.averages) == {"map_easy", "map_medium", "map_hard"}
    assert result.averages["map_medium"] == 1.0
    assert np.isnan(result.per_query["ap_hard"][1]) and result.rankings[1]["ap"] is None
    assert result.rankings[0]["box"] == [0, 0, 15, 10]


def test_a_set_of_tables(root):
    folder = write(root, [{"bbx": None, "ok": [1], "junk": []}])
    (folder / "db.tsv").write_text("identifier\n" + "\n".join(NAMES) + "\n")
    (folder / "q.tsv").write_text('query\tbbx\tok\tjunk\nred1\t\t["red2"]\t["red1"]\n')
    section = {
        "name": "own",
        "queries": str(folder / "q.tsv"),
        "db": str(folder / "db.tsv"),
        "imgdir": str(folder / "jpg"),
    }
    tested = score(dataset=section)
    assert tested.decisive == "score_avg:map"
    assert tested(network()).averages == {"map": 1.0}
    (folder / "q.tsv").write_text('query\tbbx\tok\tjunk\nred1\t\t["red9"]\t[]\n')
    with pytest.raises(DataError, match="q.tsv: ok of query 'red1' names 'red9'"):
        score(dataset=section)


@pytest.mark.parametrize(
    ("db", "ok", "junk", "message"),
    [
        (
            NAMES,
            '["red2", "red2"]',
            '["red1"]',
            "q.tsv: query 1, 'red1', has .* 'red2' twice in ok",
        ),
        (NAMES, '["red2"]', '["red2"]', "q.tsv: query 1, 'red1', has .* 'red2' twice in ok and"),
        ([*NAMES, "red2"], '["red2"]', "[]", "db.tsv: names the database image 'red2' twice"),
        ([*NAMES, "./red2"], '["red2"]', "[]", "db.tsv: names the database image 'red2' twice"),
    ],
)
def test_what_stands_twice_in_tables_is_named(root, db, ok, junk, message):
    folder = write(root, [{"ok": [1]}])
    (folder / "db.tsv").write_text("identifier\n" + "\n".join(db) + "\n")
    (folder / "q.tsv").write_text(f"query\tbbx\tok\tjunk\nred1\t\t{ok}\t{junk}\n")
    places = {"queries": str(folder / "q.tsv"), "db": str(folder / "db.tsv")}
    with pytest.raises(DataError, match=message):
        score(dataset={"name": "own", "imgdir": str(folder / "jpg"), **places})


def test_a_query_that_is_its_own_wrong_answer_is_told(root, capsys):
    write(root, [{"ok": [1], "junk": []}] * 2, queries=["red1", "blue3"])
    score(dataset="247tokyo1k")
    assert "1 of 2 queries are in the database, but in none of their lists" in (
        capsys.readouterr().err
    )
    write(root / "other", [{"ok": [1], "junk": [0]}])
    score(dataset="247tokyo1k", data_root=str(root / "other/data"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("box", "told"), [("", True), ("[0, 0, 9, 9]", False)])
def test_a_query_that_is_its_own_right_answer_is_told(root, capsys, box, told):
    folder = write(root, [{"bbx": None, "ok": [1], "junk": []}])
    (folder / "db.tsv").write_text("identifier\n" + "\n".join(NAMES) + "\n")
    row = f'red1\t{box}\t["red1", "red2"]\t[]\n'
    (folder / "q.tsv").write_text(f"query\tbbx\tok\tjunk\n{row}")
    places = {"queries": str(folder / "q.tsv"), "db": str(folder / "db.tsv")}
    score(dataset={"name": "own", "imgdir": str(folder / "jpg"), **places})
    message = "1 of 1 queries stand in their own list ok and find themselves, such as 'red1'"
    assert (message in capsys.readouterr().err) == told


def test_queries_that_are_the_database_are_extracted_once(root, monkeypatch):
    write(root, [{"bbx": None, "ok": [1], "junk": []}] * 5, queries=NAMES)
    net = network()
    calls = []
    monkeypatch.setattr(net.model, "forward", lambda x: calls.append(x) or torch.ones(3, 1))
    score(dataset="247tokyo1k")(net)
    assert len(calls) == 5


def test_ties_go_to_the_lower_index(root):
    folder = write(root, [{"bbx": None, "ok": [4], "junk": []}])
    for name in NAMES[1:]:
        shutil.copy(folder / "jpg" / "red1.jpg", folder / "jpg" / f"{name}.jpg")
    found = score(dataset="247tokyo1k")(network())
    assert found.averages["map"] == pytest.approx(0.1)


def test_memory_does_not_grow_with_images_times_queries(root, monkeypatch):
    write(root, [{"bbx": None, "ok": [1], "junk": []}])
    tested = score(dataset="247tokyo1k")
    largest = {}
    for images in (34_000, 68_000):
        vecs, qvecs = torch.rand(2, images), torch.rand(2, 300)
        names, queries = [str(i) for i in range(images)], [str(i) for i in range(300)]
        truth = [{"ok": [i, images - 1 - i], "junk": [300 + i]} for i in range(300)]
        tested.set = replace(
            tested.set,
            images=names,
            image_paths=names,
            queries=queries,
            query_paths=queries,
            gnd=truth,
            boxes=[None] * 300,
        )
        tested.protocols = {"": truth}
        monkeypatch.setattr(tested, "_extract", lambda _, vecs=vecs, q=qvecs: (vecs, q))
        with LargestTensor() as seen:
            result = tested(network())
        largest[images] = seen.elements
        ranks = torch.argsort(vecs.t() @ qvecs[:, :3], dim=0, descending=True, stable=True)
        expected = compute_map(ranks.numpy(), truth[:3])[1]
        np.testing.assert_allclose(result.per_query["ap"][:3], expected, rtol=1e-3)
        for query in range(3):
            found = [int(answer["name"]) for answer in result.rankings[query]["found"]]
            scores = vecs[:, found].double().t() @ qvecs[:, query].double()
            best = (vecs.double().t() @ qvecs[:, query].double()).topk(10).values
            torch.testing.assert_close(scores, best)
    assert largest[68_000] == largest[34_000] < 34_000 * 300


def test_another_tree(root):
    folder = write(root, [{"bbx": None, "ok": [1], "junk": []}])
    (root / "toy").mkdir()
    folder.parents[1].rename(root / "toy" / "data")
    with pytest.raises(DataError, match="ground truth is absent"):
        score(dataset="247tokyo1k")
    assert score(dataset="247tokyo1k", data_root="toy/data").set.images == NAMES


@pytest.mark.parametrize(
    "gnd, params, message",
    [
        ([{"ok": [7], "junk": []}], {}, "ok of query 'red1' names image 7, but .* 5 images"),
        ([{"ok": [-1], "junk": []}], {}, "names image -1"),
        ([], {"queries": []}, "0 queries"),
        ([{"ok": [1, 2, 1]}], {}, "query 1, 'red1', has the image 'red2' twice in ok; each image"),
        ([{"ok": [1], "junk": [0, 1]}], {}, "query 1, 'red1', has .* 'red2' twice in ok and junk"),
        ([{"ok": [1]}], {"images": [*NAMES, "red1"]}, "names the database image 'red1' twice"),
        ([{"ok": [0], "junk": []}], {"images": []}, "0 database images"),
    ],
)
def test_broken_ground_truths(root, gnd, params, message):
    write(root, gnd, **params)
    with pytest.raises(DataError, match=message):
        score(dataset="247tokyo1k")


def test_missing_and_broken_images_are_found_first(root):
    folder = write(root, [{"ok": [1], "junk": []}])
    (folder / "jpg" / "red2.jpg").write_text("nothing")
    with pytest.raises(DataError, match=r"1 of 5 images are not readable as images: .*red2.jpg"):
        score(dataset="247tokyo1k")
    (folder / "jpg" / "blue1.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 5 images are missing: .*blue1.jpg"):
        score(dataset="247tokyo1k")


def test_a_diverged_network(root):
    write(root, [{"ok": [1], "junk": []}])
    with pytest.raises(DataError, match=r"5 of 5 images \(.*red1.jpg, .*\) are NaN"):
        score(dataset="247tokyo1k")(network(Nothing))


@pytest.mark.parametrize("size, good", [(0, 0), (-4, 0), (0.5, 0), (1, 1), (None, 1), (9e9, 1)])
def test_images_have_pixels(size, good):
    parameters = {"dataset": "247tokyo1k", "image_size": size}
    problems = [p.message for p in registry.check_parameters(CirDatasetAp, parameters)]
    assert problems == ([] if good else [f"expected 1 or more, got {size}"])


def test_mistakes_are_found_with_the_scenario():
    problems = registry.check_parameters(CirDatasetAp, {"dataset": "247tokyo", "image_size": "x"})
    messages = "\n".join(problem.message for problem in problems)
    assert "Did you mean '247tokyo1k'" in messages and "a number or null" in messages
    (problem,) = registry.check_parameters(
        CirDatasetAp, {"dataset": {"name": "x"}, "image_size": 1}
    )
    assert "db, imgdir, name, queries" in problem.message
