"""Re-identification data as SpCL and Cluster Contrast have them: names, erasing, labels."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.data.datasets.reid import ReidFiles, ReidImages, ascending
from mdir.data.datasets.reid_layouts import NAMED_SETS, SPLITS, VehicleID
from mdir.data.transforms.erasing import RandomErasing
from tests.golden import golden

NAMES = ("filenames.npz", "random_erasing.npz", "centroids.npz")
FULL_NAMES = {"market": "market1501", "msmt": "msmt17", "duke": "dukemtmcreid"}


def folder_cases():
    for topic in ("reid", "cluster_contrast"):
        for key in golden.load_npz(topic, "filenames.npz"):
            match = re.fullmatch(r"(\w+)_(train|query|gallery)_input", key)
            if match:
                yield pytest.param(topic, *match.groups(), id=f"{topic}-{match[1]}-{match[2]}")


def cases(topic, name, pattern):
    found = (re.fullmatch(pattern, key) for key in golden.load_npz(topic, name))
    return sorted({match[1] for match in found if match})


def files(set, root, **options):
    defaults = {"test_size": 800, "split_seed": 1, "complete": True}
    return ReidFiles(set, str(root), **(defaults | options))


def columns(pictures):
    """Base names, identities, cameras."""
    names, identities, cameras = zip(*pictures, strict=True)
    return [Path(name).name for name in names], list(identities), list(cameras)


def test_cases_are_there():
    assert golden.needs("reid", "filenames.npz") and golden.needs("cluster_contrast", NAMES[0])
    assert {parameter.values[0] for parameter in folder_cases()} == {"reid", "cluster_contrast"}
    assert cases("reid", NAMES[1], r"im(\d+)") and cases("cluster_contrast", NAMES[2], r"cams_(.+)")


@pytest.mark.parametrize(("topic", "short", "split"), folder_cases())
def test_names_in_folders(topic, short, split, tmp_path):
    arrays, name = golden.needed_npz(topic, "filenames.npz"), FULL_NAMES.get(short, short)
    layout = NAMED_SETS.get(name) or files_layout(tmp_path)
    place = tmp_path / layout.folder / layout.folders[split]
    place.mkdir(parents=True)
    for file in arrays[f"{short}_{split}_input"]:
        (place / str(file)).touch()
    found = files(name, tmp_path).read(split)
    names, identities, cameras = columns(found)
    assert all((tmp_path / picture.file).exists() for picture in found)
    assert names == arrays[f"{short}_{split}_names"].tolist()
    expected = arrays[f"{short}_{split}_pid"].tolist()
    assert (ascending(identities) if split == "train" else identities) == expected
    assert cameras == arrays[f"{short}_{split}_cam"].tolist()


def files_layout(tmp_path):
    """The layout of MSMT17 packed like Market-1501."""
    (tmp_path / "MSMT17_V1").mkdir()
    return files("msmt17", tmp_path).layout.packed


def test_msmt17_lists(tmp_path):
    arrays, folder = golden.needed_npz("reid", "filenames.npz"), tmp_path / "MSMT17_V1"
    folder.mkdir()
    for part in ("train", "val", "query", "gallery"):
        lines = arrays[f"msmt_list_{part}_lines"].tolist()
        (folder / f"list_{part}.txt").write_text("".join(f"{line}\n" for line in lines))
    found = files("msmt17", tmp_path)
    for split in SPLITS:
        pictures = found.layout.read(tmp_path, split)
        names, identities, cameras = zip(*pictures, strict=True)
        assert [name.removeprefix("MSMT17_V1/") for name in names] == (
            arrays[f"msmt_{split}_names"].tolist()
        )
        assert list(identities) == arrays[f"msmt_{split}_pid"].tolist()
        assert list(cameras) == arrays[f"msmt_{split}_cam"].tolist()
    trained = {picture.identity for picture in found.read("train")}
    assert len(trained) == arrays["msmt_num_train_pids"]


def test_vehicleid_split(tmp_path):
    arrays, lists = golden.needed_npz("reid", "filenames.npz"), tmp_path / "VehicleID"
    lists = lists / "train_test_split"
    lists.mkdir(parents=True)
    rows = zip(arrays["vid_test_name"], arrays["vid_test_pid"], strict=True)
    (lists / "test_list_800.txt").write_text("".join(f"{n:07d} {pid}\n" for n, pid in rows))
    (lists / "train_list.txt").write_text(
        "".join(f"{row:07d} {2 * row + 1}\n" for row in range(13164))
    )
    layout = VehicleID(800, int(arrays["vid_seed"]))
    for split, camera in (("query", 0), ("gallery", 1)):
        names, identities, cameras = columns(layout.read(tmp_path, split))
        assert names == [f"{name:07d}.jpg" for name in arrays[f"vid_{split}_name"]]
        assert identities == arrays[f"vid_{split}_pid"].tolist()
        assert set(cameras) == {camera}
    labels = ascending([picture.identity for picture in layout.read(tmp_path, "train")])
    assert labels[:5] == arrays["vid_train_label_first5"].tolist() and len(labels) == 13164


@pytest.mark.parametrize("case", cases("reid", "random_erasing.npz", r"im(\d+)"))
def test_random_erasing(case):
    arrays = golden.needed_npz("reid", "random_erasing.npz")
    probability, seed = arrays[f"cfg{case}"]
    image = torch.from_numpy(arrays[f"im{case}"])
    random.seed(int(seed))
    (found,) = RandomErasing(probability=float(probability))(image)
    np.testing.assert_allclose(found, arrays[f"out{case}"], atol=1e-6)
    np.testing.assert_array_equal(image, arrays[f"im{case}"])


@pytest.mark.parametrize("case", cases("cluster_contrast", "centroids.npz", r"cams_(.+)"))
def test_items_under_pseudo_labels(case, tmp_path):
    arrays = golden.needed_npz("cluster_contrast", "centroids.npz")
    cameras, rows = arrays[f"cams_{case}"], ["path,identity,camera,split"]
    for at, camera in enumerate(cameras):
        Image.new("RGB", (2, 2)).save(tmp_path / f"f{at:03d}.png")
        rows.append(f"f{at:03d}.png,0,{camera},train")
    (tmp_path / "index.csv").write_text("\n".join(rows))
    dataset = ReidImages(lambda image: 0, set="folder", image_dir=str(tmp_path))
    items = dataset.relabelled(arrays[f"labels_{case}"])
    abouts = [about for _, about in map(items.__getitem__, range(len(items)))]
    for key, expected in (("index", "index"), ("identity", "label"), ("camera", "cam")):
        assert [about[key] for about in abouts] == arrays[f"kept_{expected}_{case}"].tolist()
    assert items.identities == arrays[f"kept_label_{case}"].tolist()
    assert items.cameras == arrays[f"kept_cam_{case}"].tolist()
