"""Training tuples: what an item is, mining, mistakes in the database."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.utils.errors import DataError
from mdir.data.datasets.diverse_anchors import CirDiverseAnchors
from mdir.data.datasets.training_database import load_training_database
from mdir.data.datasets.tuples import CirTuples
from mdir.data.loading import make_loader
from mdir.data.transforms.parse import parse_transforms

TRANSFORM = parse_transforms("pil2np | totensor")
PARAMS = {
    "dataset": "own",
    "split": "train",
    "image_size": 8,
    "neg_num": 2,
    "query_size": 4,
    "pool_size": float("inf"),
    "dataset_pkl": "own.pkl",
    "image_dir": "ims",
}
DIVERSE = {"similar_exclude": 0.2, "similar_include": 0.8, "qpool_size": 6}


def mean_colours(images, what):
    """Descriptors ``[3, N]``: normalized mean colours."""
    assert what.startswith("mining (")
    colours = [images[index].tensor.mean(dim=(1, 2)) for index in range(len(images))]
    return torch.nn.functional.normalize(torch.stack(colours, dim=1), dim=0)


@pytest.fixture
def database(root):
    """Twelve images of four places, the colour of a place plus noise, and eight pairs."""
    rng = np.random.default_rng(1)
    cids = [f"{i:032x}" for i in range(12)]
    for i, cid in enumerate(cids):
        path = cid2filename(cid, str(root / "ims"))
        pixels = 60 * np.eye(4)[i % 4][:3] + 60 + rng.integers(0, 60, (6 + i % 3, 9, 3))
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path, "png")
    content = {
        "cids": cids,
        "cluster": [i % 4 for i in range(12)],
        "qidxs": list(range(8)),
        "pidxs": [i + 4 for i in range(8)],
    }
    write(root, content)
    return content


def write(root, content):
    (root / "own.pkl").write_bytes(pickle.dumps({"train": content}))


def mined(cls=CirTuples, **params):
    torch.manual_seed(0)
    dataset = cls(TRANSFORM, (), **{**PARAMS, **params})
    return dataset, dataset.prepare_epoch(mean_colours)


def test_an_item(database):
    dataset, report = mined()
    images, target = dataset[0]
    assert target.tolist() == [-1, 1, 0, 0] and target.dtype == torch.float32
    assert [image.image_label for image in images] == [["anc"], ["pos"], ["neg"], ["neg"]]
    assert images[0].shape[:2] == (1, 3) and max(images[0].shape) == 8
    assert images[0].name == [database["cids"][dataset.qidxs[0]]]
    assert len(report["average_negative_distance"]) == 8


def test_negatives_are_the_closest_of_other_clusters(database):
    dataset, _ = mined()
    clusters = database["cluster"]
    for query, negatives in zip(dataset.qidxs, dataset.nidxs, strict=True):
        taken = [clusters[query], *(clusters[n] for n in negatives)]
        assert len(set(taken)) == 3


@pytest.mark.parametrize(
    "first_neg, target, labels",
    [
        ("pos", [-1, 1, 1, 0], ["anc", "pos", "pos", "neg"]),
        ("exc", [-1, 1, 0], ["anc", "pos", "neg"]),
    ],
)
def test_first_negative(database, first_neg, target, labels):
    dataset, _ = mined(first_neg=first_neg)
    images, given = dataset[1]
    assert given.tolist() == target
    assert [image.image_label[0] for image in images] == labels


def test_swapped_pairs_and_no_negatives(database):
    dataset, report = mined(swap_qp=True, shuffle=False, neg_num=0)
    assert (dataset.qidxs, dataset.pidxs) == ([4, 5, 6, 7], [0, 1, 2, 3])
    assert report == {} and len(dataset[0][0]) == 2


def test_batches_are_lists_of_tuples(database):
    dataset, _ = mined(query_size=3)
    loader = make_loader(dataset, {"loader": {"batch_size": 2, "num_workers": 0}})
    ((images, targets),) = list(loader)
    assert len(images) == len(targets) == 2 and len(images[0]) == 4


def test_marks_of_easy_pairs(database):
    dataset, report = mined(CirDiverseAnchors, mark_easy=0.5, **DIVERSE)
    assert sorted(dataset.marks) == ["-easy", "-easy", "-hard", "-hard"]
    assert dataset.labels(0)[0] == "anc" + dataset.marks[0]
    assert len(report["average_new_query_max_score"]) == 3
    assert set(mined(CirDiverseAnchors, mark_easy=0.1, **DIVERSE)[0].marks) == {"-hard"}


def test_diverse_anchors_are_of_the_candidates_and_differ(database):
    dataset, _ = mined(CirDiverseAnchors, shuffle=False, **DIVERSE)
    assert len(set(dataset.qidxs)) == 4 and set(dataset.qidxs) <= set(range(6))
    with pytest.raises(DataError, match="exceeds qpool_size"):
        mined(CirDiverseAnchors, **{**DIVERSE, "qpool_size": 3})


def test_fractions_are_checked_with_the_scenario():
    problems = list(CirDiverseAnchors.check_section({"similar_exclude": 2, "similar_include": 0.8}))
    assert len(problems) == 2


def test_too_few_clusters(database):
    with pytest.raises(DataError, match="clusters"):
        mined(neg_num=4)


def test_items_before_mining(database):
    with pytest.raises(DataError, match="prepare_epoch"):
        CirTuples(TRANSFORM, (), **PARAMS)[0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"cids": []}, "empty"),
        ({"cluster": [0]}, "different lengths"),
        ({"pidxs": [99] * 8}, "pidxs names image 99 of 12"),
        ({"cids": ["f" * 32] * 12}, "12 of 12 images of split 'train' are missing"),
    ],
)
def test_broken_databases(database, root, change, message):
    write(root, {**database, **change})
    with pytest.raises(DataError, match=message):
        load_training_database("own", "train", "own.pkl", "ims")


def test_missing_database(root):
    with pytest.raises(DataError, match="give the dataset_pkl"):
        load_training_database("own", "train")
    with pytest.raises(DataError, match="retrieval-SfM-120k.pkl: there is no such"):
        load_training_database("retrieval-SfM-120k", "train")


def test_missing_split_and_keys(database, root):
    with pytest.raises(DataError, match="no split 'val'; it holds train"):
        load_training_database("own", "val", "own.pkl", "ims")
    del database["cluster"]
    write(root, database)
    with pytest.raises(DataError, match="has no cluster"):
        load_training_database("own", "train", "own.pkl", "ims")


def test_absolute_names_need_no_image_dir(database, root):
    database["cids"] = [cid2filename(cid, str(root / "ims")) for cid in database["cids"]]
    write(root, database)
    assert load_training_database("own", "train", "own.pkl").paths == database["cids"]
