"""Cars, birds and one's own classes: splits, labels, boxes, and what does not fit."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.datasets.fine_grained import FineGrainedImages
from mdir.data.loading import make_dataset, make_loader
from mdir.data.sections import check_data_section
from mdir.errors import UserError
from tests.data.fine_grained_sets import (
    CAR_FIELDS,
    SIZE,
    turn,
    write_annotations,
    write_birds,
    write_cars,
)


def dataset(folder, set="folder", **options):
    return FineGrainedImages(lambda image: image, set=set, image_dir=str(folder), **options)


def pictures(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 8), (number, 0, 0)).save(folder / name)


def index(folder, *rows, header="path,class,split"):
    pictures(folder, *(row.split(",")[0] for row in rows))
    (folder / "index.csv").write_text("\n".join([header, *rows]) + "\n")


def refusal(folder, set="folder", **options):
    with pytest.raises((DataError, UserError)) as caught:
        dataset(folder, set, **options)
    return str(caught.value)


def test_batches_of_classes(tmp_path):
    write_cars(tmp_path / "car", [7, 10, 7, 10, 99, 99])
    section = {
        "dataset": {"name": "fine_grained", "set": "car", "image_dir": str(tmp_path / "car")},
        "transforms": "bgr | random_resized_crop:16:0.08_1 | random_mirror:0.5 | totensor"
        " | multiply:255 | normalize",
        "mean_std": [[104, 117, 128], [1, 1, 1]],
        "loader": {
            "batch_size": 4,
            "num_workers": 0,
            "sampler": {"name": "identities", "instances": 2},
        },
    }
    assert not list(check_data_section(section))
    made = make_dataset(section)
    images, about = next(iter(make_loader(made, section)))
    assert images.shape == (4, 3, 16, 16) and images.abs().max() > 2
    assert about["identity"].tolist() == [made.identities[i] for i in about["index"].tolist()]
    assert sorted(about["identity"].tolist()) == [0, 0, 1, 1] and made.classes == ["10", "7"]


def test_names_are_those_below_the_root_of_the_data(tmp_path):
    write_birds(tmp_path / "cub", [1, 200])
    assert dataset(tmp_path / "cub", "cub").names == ["cub/images/001.Bird/Bird_0000_1.jpg"]


def test_crops_of_original_files(tmp_path):
    write_cars(tmp_path, [1, 1], boxes=[(2, 3, 30, 20), (1, 1, 40, 30)])
    first, second = (dataset(tmp_path, "car", cropped=True).view(at) for at in (0, 1))
    whole = dataset(tmp_path, "car").view(0)
    assert np.array_equal(first, whole.crop((2, 3, 30, 20))) and second.size == (39, 29)


@pytest.mark.parametrize(
    ("set", "what"),
    [
        ("car", "cars_annos.mat' is not available. Get car_ims.tgz and cars_annos.mat of CARS196"),
        ("cub", "images.txt' is not available. Get CUB_200_2011.tgz from the authors"),
        ("folder", "is not available. Images of one's own are listed in index.csv"),
    ],
)
def test_absent_sets_say_what_to_put_where(tmp_path, set, what):
    assert what in refusal(tmp_path / "nothing", set)


def test_a_folder_without_classes(tmp_path):
    assert "holds no classes. Images of one's own" in refusal(tmp_path)


def test_what_the_published_code_prepared_is_offered(tmp_path):
    torch.save({"train": {}, "test": {}}, tmp_path / "uncropped_data_dicts.pth")
    assert "is read with reencoded: true" in refusal(tmp_path, "car")


# CARS196


def test_cars_of_another_layout(tmp_path):
    write_annotations(tmp_path, [(1, 2, 3, 4, 5, "00001.jpg")], ["a", "b", "c", "d", "e", "f"])
    found = refusal(tmp_path, "car")
    assert "cars_annos.mat: record 1: its first field, 1, is not the path of an image" in found
    write_annotations(tmp_path, [("a.jpg", 1)], ["path", "class"])
    assert "its records have the fields path, class; expected cars_annos" in refusal(
        tmp_path, "car"
    )
    write_annotations(tmp_path, [("a.jpg", 1)], ["path", "class"], name="others")
    assert "cars_annos.mat: has no 'annotations'; expected" in refusal(tmp_path, "car")
    for content in (b"", b"<html>" * 99):
        (tmp_path / "cars_annos.mat").write_bytes(content)
        assert re.search(
            r"cars_annos.mat: cannot be read \(.*\); expected", refusal(tmp_path, "car")
        )


@pytest.mark.parametrize("label", [0, -3, 2.5, "a", float("nan")])
def test_classes_of_cars_are_numbers_from_1(tmp_path, label):
    record = ("car_ims/000002.jpg", 1, 1, 9, 9, label, 0)
    write_annotations(tmp_path, [("car_ims/000001.jpg", 1, 1, 9, 9, 5, 0), record], CAR_FIELDS)
    found = refusal(tmp_path, "car")
    assert f"cars_annos.mat: record 2: class {label!r} is not a whole number from 1" in found


def test_an_index_that_names_missing_files(tmp_path):
    write_cars(tmp_path, [1, 1, 99, 99])
    (tmp_path / "car_ims/000002.jpg").unlink()
    (tmp_path / "car_ims/000003.jpg").unlink()
    found = refusal(tmp_path, "car")
    assert "1 rows of the index do not fit" in found
    assert f"record 2: no such image: {tmp_path}/car_ims/000002.jpg" in found
    assert f"record 3: no such image: {tmp_path}/car_ims/000003.jpg" in refusal(
        tmp_path, "car", split="test"
    )


def test_empty_boxes_matter_where_they_are_cropped_to(tmp_path):
    write_cars(tmp_path, [1, 1], boxes=[(2, 3, 30, 20), (9, 9, 9, 30)])
    assert len(dataset(tmp_path, "car")) == 2
    assert "record 2: the box 9, 9, 9, 30 (x1, y1, x2, y2) is empty" in refusal(
        tmp_path, "car", cropped=True
    )


def test_boxes_outside_the_image(tmp_path):
    write_cars(tmp_path, [1, 1], boxes=[(39, 29, 60, 60), (40, 3, 50, 20)])
    images = dataset(tmp_path, "car", cropped=True)
    assert images.view(0).getpixel((5, 5)) == (0, 0, 0)
    with pytest.raises(DataError, match=r"000002.jpg: the box \(40, 3, 50, 20\) lies outside the"):
        images.view(1)


def test_images_that_are_listed_twice(tmp_path):
    record = ("car_ims/000001.jpg", 1, 1, 9, 9, 5, 0)
    write_cars(tmp_path, [1])
    write_annotations(tmp_path, [record, record])
    assert "record 2: car_ims/000001.jpg is listed twice, first at" in refusal(tmp_path, "car")


def test_a_split_without_images(tmp_path):
    write_annotations(tmp_path, [])
    assert "cars_annos.mat: names no image" in refusal(tmp_path, "car")
    write_cars(tmp_path, [1, 98])
    assert "test has no pictures" in refusal(tmp_path, "car", split="test")


# CUB-200-2011


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("images", "1 a b.jpg\n\n1 c.jpg\n", ":3: image 1 comes twice, first at .*images.txt:1"),
        ("images", "1\n", r"images.txt:1: '1' has fewer than 2 parts"),
        ("image_class_labels", "1 1\n", "images.txt:2: image 2 is not in the other files"),
        ("image_class_labels", "1 1\n2 2\n3 3\n", "labels.txt:3: image 3 is not in images.txt"),
        ("image_class_labels", "1 1\n2 0\n", "labels.txt:2: class '0' is not a whole"),
        ("bounding_boxes", "1 0 0 9 9\n2 0 0 9\n", "boxes.txt:2: '2 0 0 9' has fewer than 5"),
        ("bounding_boxes", "1 0 0 9 9\n2 0 0 x 9\n", "boxes.txt:2: could not convert .*'x'"),
        (
            "bounding_boxes",
            "1 0 0 9 9\n2 0 0 inf 9\n",
            "boxes.txt:2: cannot convert float infinity",
        ),
        (
            "bounding_boxes",
            "1 0 0 9 9\n2 0 0 .5 9\n",
            "boxes.txt:2: the box 0, 0, 0, 9 .* is empty",
        ),
        ("images", "1 \udcff.jpg\n", "images.txt: is not text in UTF-8"),
    ],
)
def test_birds_whose_files_do_not_fit(tmp_path, file, text, what):
    write_birds(tmp_path, [1, 1])
    (tmp_path / f"{file}.txt").write_text(text, errors="surrogateescape")
    assert re.search(what, refusal(tmp_path, "cub", cropped=True))


def test_birds_without_a_file_of_the_index(tmp_path):
    write_birds(tmp_path, [1, 1])
    (tmp_path / "bounding_boxes.txt").unlink()
    assert len(dataset(tmp_path, "cub")) == 2
    assert "bounding_boxes.txt: cannot be read (No such file" in refusal(
        tmp_path, "cub", cropped=True
    )


# one's own images


def test_an_index_of_ones_own(tmp_path):
    index(tmp_path, "b.png,1,train", "a.png,red kite,test", "c.png,2,train", "d.png,1,train")
    train = dataset(tmp_path)
    assert train.classes == ["1", "2"] and train.identities == [0, 0, 1]
    assert [path.name for path in train.files] == ["b.png", "d.png", "c.png"]
    assert dataset(tmp_path, split="test").classes == ["red kite"]


def test_rows_that_do_not_fit(tmp_path):
    index(tmp_path, "a.png,1,train", "b.png,,train", "c.png,2,val")
    found = refusal(tmp_path)
    assert "2 rows of the index do not fit" in found and "index.csv:3: no class" in found
    assert "index.csv:4: unknown split 'val'. Allowed: train, test" in found


def test_folders_with_splits_and_without(tmp_path):
    pictures(tmp_path / "halves", "b/1.png", "a/1.png", "c/x/2.png", "d/1.png", "e/1.png")
    pictures(tmp_path / "halves", "uncropped/1.png", ".hidden/1.png")
    assert dataset(tmp_path / "halves").classes == ["a", "b"]
    test = dataset(tmp_path / "halves", split="test")
    assert test.classes == ["c", "d", "e"] and test.names[0] == "halves/c/x/2.png"
    pictures(tmp_path / "splits", "train/b/1.png", "train/a/1.png", "test/c/1.png", "val/d/1.png")
    assert dataset(tmp_path / "splits").classes == ["a", "b"]
    assert dataset(tmp_path / "splits", split="test").classes == ["c"]


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_a_split_alone_is_no_class(tmp_path, split, other):
    pictures(tmp_path, f"{split}/a/1.png", f"{split}/b/1.png", "uncropped/1.png")
    assert dataset(tmp_path, split=split).classes == ["a", "b"]
    assert f"{other} has no pictures" in refusal(tmp_path, split=other)


def test_a_class_may_be_called_train(tmp_path):
    pictures(tmp_path, "car/1.png", "train/1.png")
    assert dataset(tmp_path, split="test").classes == ["train"]


def test_ones_own_images_are_upright_and_those_of_sets_as_published(tmp_path):
    write_birds(tmp_path / "cub", [1])
    (turned,) = (tmp_path / "cub").rglob("*.jpg")
    turn(turned)
    assert dataset(tmp_path / "cub", "cub").view(0).size == SIZE
    own = tmp_path / "own/train/a/1.jpg"
    own.parent.mkdir(parents=True)
    turned.rename(own)
    assert dataset(tmp_path / "own").view(0).size == SIZE[::-1]


def test_a_class_without_images(tmp_path):
    pictures(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "c").mkdir()
    assert f"{tmp_path}/c: holds no image" in refusal(tmp_path)


def test_ones_own_images_have_no_boxes(tmp_path):
    index(tmp_path, "a.png,1,train")
    assert "has no boxes to crop to" in refusal(tmp_path, cropped=True)


# data dicts of the published projects


def prepared(folder, content, variant="uncropped"):
    pictures(folder / variant, "1.jpg", "2.jpg", "3.jpg")
    torch.save(content, folder / f"{variant}_data_dicts.pth")


def test_data_dicts_of_another_machine(tmp_path):
    content = {
        "train": {"9": ["/home/data/car/uncropped/2.jpg"], "10": ["D:\\car\\uncropped\\1.jpg"]},
        "test": {"100": ["car/uncropped/3.jpg"]},
    }
    prepared(tmp_path, content)
    train = dataset(tmp_path, "car", reencoded=True)
    assert [path.name for path in train.files] == ["2.jpg", "1.jpg"]
    assert train.classes == ["10", "9"] and train.identities == [1, 0]
    assert dataset(tmp_path, "car", reencoded=True, split="test").identities == [0]


def test_data_dicts_whose_images_lie_elsewhere(tmp_path):
    pictures(tmp_path / "there", "7.jpg")
    stored = {"train": {"1": [str(tmp_path / "there/7.jpg")]}, "test": {"2": ["/no/where/8.jpg"]}}
    prepared(tmp_path / "car", stored)
    assert dataset(tmp_path / "car", "car", reencoded=True).files == [tmp_path / "there/7.jpg"]
    found = refusal(tmp_path / "car", "car", reencoded=True, split="test")
    assert "test, class 2, /no/where/8.jpg: no such image" in found
    assert f"{tmp_path}/car/uncropped/8.jpg" in found


@pytest.mark.parametrize(
    "content",
    [{"train": {}}, [1], {"train": {"1": ["a"]}, "test": {2: ["b"]}}, {"train": [], "test": []}],
)
def test_other_files_are_no_data_dicts(tmp_path, content):
    prepared(tmp_path, content, "cropped")
    found = refusal(tmp_path, "cub", reencoded=True, cropped=True)
    assert "cropped_data_dicts.pth: holds no data dicts" in found


def test_data_dicts_run_no_code(tmp_path):
    prepared(tmp_path, {"train": refusal})
    assert "refuses to load" in refusal(tmp_path, "car", reencoded=True)


def test_without_data_dicts(tmp_path):
    write_cars(tmp_path, [1])
    found = refusal(tmp_path, "car", reencoded=True)
    assert "uncropped_data_dicts.pth' is not available. The step prepare_fine_grained" in found
