"""Lists of images, training tuples and test sets."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from cirtorch.datasets.databases import load_database
from cirtorch.datasets.datahelpers import (
    cid2filename,
    collate_tuples,
    default_loader,
    flip,
    imresize,
)
from cirtorch.datasets.genericdataset import ImagesFromDataList, ImagesFromList
from cirtorch.datasets.testdataset import configdataset, query_boxes
from cirtorch.datasets.traindataset import TuplesDataset
from cirtorch.utils.errors import DataError
from tests.cirtorch import world


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_unreadable_images_are_named(tmp_path, content):
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="x.jpg"):
        default_loader(str(path))
    with pytest.raises(OSError, match="x.jpg"):
        default_loader(str(path))


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i4"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_sixteen_bits_become_eight(tmp_path, kind, mode):
    levels = np.array([[0, 128, 257, 257 * 99 + 128], [257 * 99 + 129, 40000, 65534, 65535]])
    path = str(tmp_path / "x.tif")
    Image.fromarray(levels.astype(kind)).save(path)
    grey = np.asarray(default_loader(path, mode).convert("L"))
    assert grey.tolist() == [[0, 0, 1, 99], [100, 156, 255, 255]]


def test_sixteen_bit_png_is_not_blank(tmp_path):
    levels = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "x.png")
    colours = np.asarray(default_loader(str(tmp_path / "x.png")))
    assert colours[:, :, 0].tolist() == np.round(levels / 257).tolist()


@pytest.mark.parametrize("levels", [[[0, 1], [255, 17]], [[9, 9], [9, 9]]])
def test_eight_bits_in_wide_integers_stay(tmp_path, levels):
    Image.fromarray(np.array(levels, dtype=np.int32)).save(tmp_path / "x.tif")
    assert np.asarray(default_loader(str(tmp_path / "x.tif")))[:, :, 1].tolist() == levels


@pytest.mark.parametrize(
    "levels, words",
    [
        (np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3), "x.tif.*floats"),
        (np.array([[0, 70000]], dtype=np.int32), "x.tif.*0 to 70000 exceed 16 bits"),
    ],
)
def test_images_of_unknown_range_are_refused(tmp_path, levels, words):
    Image.fromarray(levels).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=words):
        default_loader(str(tmp_path / "x.tif"))


def test_truncated_images_are_read(tmp_path):
    world.draw(tmp_path / "x.jpg", 1, (64, 64))
    content = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(content[: len(content) * 3 // 4])
    assert default_loader(str(tmp_path / "x.jpg")).size == (64, 64)


def test_lists_without_images():
    for make in (lambda: ImagesFromList("", []), lambda: ImagesFromDataList([])):
        with pytest.raises(RuntimeError, match="0 images"):
            make()


def test_crops_shrink_like_their_image(tmp_path):
    world.draw(tmp_path / "x.png", 0, (100, 80))
    listed = ImagesFromList(str(tmp_path), ["x.png", "x.png"], 50, [(0, 0, 40, 20), None])
    assert [image.size for image in listed] == [(20, 10), (50, 40)]
    assert "Number of images: 2" in repr(listed)
    broken = ImagesFromList(str(tmp_path), ["x.png"], 50, [(9, 9, 3, 3)])
    with pytest.raises(DataError, match="x.png"):
        broken[0]


def test_images_in_memory():
    listed = ImagesFromDataList([torch.rand(3, 4, 5)], transform=lambda x: x * 2)
    assert listed[0].shape == (1, 3, 4, 5) and len(listed) == 1
    assert "ImagesFromDataList" in repr(listed)


def test_small_helpers():
    assert imresize(Image.new("RGB", (30, 20)), 100).size == (30, 20)
    assert cid2filename("/a/b.jpg", "ims") == "/a/b.jpg"
    assert flip(torch.arange(6).view(2, 3), -1).tolist() == [[2, 1, 0], [5, 4, 3]]
    batch = [([1, 2], "t"), ([3, 4], "u")]
    assert collate_tuples(batch) == ([[1, 2], [3, 4]], ["t", "u"])
    assert collate_tuples(batch[:1]) == ([[1, 2]], ["t"])


def test_epoch_of_tuples(root, capsys):
    world.training_set(root)
    data = TuplesDataset("retrieval-SfM-tiny", "train", 32, 3, 6, 20, world.TRANSFORM)
    assert len(data) == 6 and "Pool size for negative remining: 20" in repr(data)
    with pytest.raises(RuntimeError, match="create_epoch_tuples"):
        data[0]
    net = world.tiny_network()
    torch.manual_seed(0)
    average = data.create_epoch_tuples(net)
    assert average > 0 and f"l2-distance: {average:.2f}" in capsys.readouterr().out
    torch.manual_seed(0)
    assert data.qidxs == [data.qpool[i] for i in torch.randperm(16)[:6]]
    for q, p, negatives in zip(data.qidxs, data.pidxs, data.nidxs, strict=True):
        clusters = [data.clusters[i] for i in negatives]
        assert data.clusters[q] == data.clusters[p] and len({*clusters, data.clusters[q]}) == 4
    loader = DataLoader(data, batch_size=2, collate_fn=collate_tuples)
    images, targets = next(iter(loader))
    assert len(images) == 2 and [len(t) for t in images] == [5, 5]
    assert images[0][0].dim() == 4 and max(images[0][0].shape[2:]) == 32
    assert targets[0].tolist() == [-1, 1, 0, 0, 0]


def test_tuples_without_negatives(root):
    world.training_set(root)
    data = TuplesDataset("retrieval-SfM-tiny", "val", 32, 0, 10**9, transform=world.TRANSFORM)
    assert len(data) == 16
    assert data.create_epoch_tuples(world.tiny_network()) == 0
    assert data[2][1].tolist() == [-1, 1]


def test_wrong_training_sets_are_told(root):
    folder = world.training_set(root)
    with pytest.raises(RuntimeError, match="train or val"):
        TuplesDataset("retrieval-SfM-tiny", "test")
    with pytest.raises(RuntimeError, match="Unknown dataset"):
        TuplesDataset("sfm", "train")
    with pytest.raises(DataError, match="retrieval-SfM-120k.pkl"):
        TuplesDataset("retrieval-SfM-120k", "train")
    path = folder / "retrieval-SfM-tiny.pkl"
    path.write_bytes(pickle.dumps({"train": {"cids": []}}))
    with pytest.raises(DataError, match="cluster, pidxs, qidxs"):
        TuplesDataset("retrieval-SfM-tiny", "train")
    with pytest.raises(DataError, match="'val'"):
        TuplesDataset("retrieval-SfM-tiny", "val")


def test_whitening_lists_are_checked(tmp_path):
    path = tmp_path / "list.pkl"
    columns = {"cids": ["a", "b"], "qidxs": np.array([0]), "pidxs": [1]}
    path.write_bytes(pickle.dumps(columns))
    assert load_database(path) == {"cids": ["a", "b"], "qidxs": [0], "pidxs": [1]}
    for change, message in (
        ({"pidxs": [2]}, "list.pkl: pidxs names image 2 of 2"),
        ({"pidxs": []}, "list.pkl has columns of different lengths"),
        ({"cids": []}, "list.pkl is empty: 0 images, 1 pairs"),
        ({"qidxs": ["first"]}, "list.pkl: cids are texts, all others whole numbers .*first"),
        ({"qidxs": None}, "list.pkl: cids are texts, all others whole numbers"),
    ):
        path.write_bytes(pickle.dumps({**columns, **change}))
        with pytest.raises(DataError, match=message):
            load_database(path)


def test_numbers_of_a_list_may_be_named_and_counted_otherwise(tmp_path):
    path = tmp_path / "list.pkl"
    columns = {"cids": [7, 12], "qidxs": np.array([[0.0, 1.0]]), "pidxs": np.array([[1.0, 0.0]])}
    path.write_bytes(pickle.dumps(columns))
    assert load_database(path) == {"cids": ["7", "12"], "qidxs": [0, 1], "pidxs": [1, 0]}


def test_test_set(root):
    folder = world.test_set(root)
    cfg = configdataset("ROxford5k", str(root / "data" / "test"))
    assert (cfg["n"], cfg["nq"], cfg["dataset"]) == (12, 3, "roxford5k")
    assert cfg["im_fname"](cfg, 2) == str(folder / "jpg" / "im2.jpg")
    assert Path(cfg["qim_fname"](cfg, 1)).exists() and cfg["ext"] == cfg["qext"] == ".jpg"
    assert query_boxes(cfg)[0] == (4, 6, 61.6, 66.2)
    for query in cfg["gnd"]:
        query["bbx"] = None
    assert query_boxes(cfg) is None


def test_wrong_test_sets_are_told(root):
    with pytest.raises(ValueError, match="Unknown dataset: oxford"):
        configdataset("oxford", str(root))
    with pytest.raises(DataError, match="gnd_oxford5k.pkl"):
        configdataset("oxford5k", str(root))
    (root / "oxford5k").mkdir()
    path = root / "oxford5k" / "gnd_oxford5k.pkl"
    path.write_bytes(pickle.dumps({"imlist": []}))
    with pytest.raises(DataError, match="lacks gnd, qimlist"):
        configdataset("oxford5k", str(root))
    path.write_bytes(pickle.dumps({"imlist": [], "qimlist": ["a"], "gnd": []}))
    with pytest.raises(DataError, match="1 queries"):
        configdataset("oxford5k", str(root))
