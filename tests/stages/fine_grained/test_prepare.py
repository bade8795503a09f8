"""The step that looks at a fine-grained set and writes its smaller files."""

import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.artifacts import collecting
from mdir.data.datasets.fine_grained import FineGrainedImages
from mdir.errors import UserError
from mdir.stages.fine_grained.prepare import prepare_fine_grained
from tests.data.datasets.test_fine_grained import index, pictures
from tests.data.fine_grained_sets import SIZE, turn, write_birds, write_cars, write_image


def prepare(folder, set="car", **options):
    return prepare_fine_grained({"set": set, "image_dir": str(folder), **options})[0]


def test_the_table(tmp_path, capsys):
    write_cars(tmp_path, [1, 1, 98, 98, 99, 99])
    assert prepare(tmp_path) == {
        "train": {"classes": 2, "images": 4},
        "test": {"classes": 1, "images": 2},
        "warnings": [],
    }
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()][2:] == [
        ["train", "2", "4"],
        ["test", "1", "2"],
    ]
    assert not err and sorted(path.name for path in tmp_path.iterdir()) == [
        "car_ims",
        "cars_annos.mat",
    ]


def test_classes_of_one_image(tmp_path, capsys):
    index(tmp_path, "a.png,1,train", "b.png,2,test", "c.png,2,test", "d.png,3,test")
    train, test = prepare(tmp_path, "folder")["warnings"]
    assert "1 images of train are alone in their class" in train and "index.csv:2" in train
    assert "first that of class 3" in test and "misses at every rank" in test
    assert f"Warning: {tmp_path}: {test}" in capsys.readouterr().err


def test_classes_that_train_and_test(tmp_path):
    pictures(tmp_path, "train/a/1.png", "train/a/2.png", "test/a/3.png", "test/a/4.png")
    (told,) = prepare(tmp_path, "folder")["warnings"]
    assert told.startswith("1 classes are in train and in test, 'a' first")


def test_one_image_that_trains_and_tests(tmp_path):
    index(tmp_path, "a.png,1,train", "b.png,1,train", "a.png,2,test")
    with pytest.raises(DataError, match="index.csv:4: a.png is listed twice, first at .*:2"):
        prepare(tmp_path, "folder")


def test_a_test_alone(tmp_path):
    index(tmp_path, "a.png,1,test", "b.png,1,test")
    assert prepare(tmp_path, "folder")["warnings"] == ["train has no images"]


@pytest.mark.parametrize("reencoded", [False, True])
def test_damaged_images_and_nothing_is_written(tmp_path, reencoded):
    write_cars(tmp_path, [1, 1, 99, 99])
    file = tmp_path / "car_ims/000003.jpg"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"1 unreadable images:\n  .*000003.jpg \(is cut short"):
        prepare(tmp_path, reencoded=reencoded)
    assert not (tmp_path / "uncropped").exists()


def test_boxes_beyond_the_image(tmp_path):
    boxes = [(2, 3, 30, 20), (10, 10, 41, 30), (-4, 1, 9, 9)]
    write_cars(tmp_path, [1, 1, 1], boxes)
    told = prepare(tmp_path, cropped=True)["warnings"][0]
    assert told.startswith("2 boxes reach outside their image, where it is black")
    assert "record 2: the box (10, 10, 41, 30) and an image of 40 x 30 pixels" in told
    write_cars(tmp_path, [1, 1], [(2, 3, 30, 20), (40, 3, 50, 20)])
    with pytest.raises(DataError, match=r"1 boxes lie outside their image:\n  .*record 2: the box"):
        prepare(tmp_path, cropped=True)


# the published variants


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_what_is_there_stays(tmp_path):
    write_birds(tmp_path, [1, 1, 150, 150])
    prepare(tmp_path, "cub", reencoded=True)
    before, dicts = written(tmp_path / "uncropped"), tmp_path / "uncropped_data_dicts.pth"
    last = max(before)
    last.unlink()
    dicts.unlink()
    prepare(tmp_path, "cub", reencoded=True)
    after = written(tmp_path / "uncropped")
    assert after.keys() == before.keys() and dicts.exists()
    assert [path for path in after if after[path] != before[path]] == [last]


def test_files_of_another_size_are_not_taken(tmp_path):
    write_cars(tmp_path, [1, 1])
    prepare(tmp_path, reencoded=True, cropped=True)
    write_cars(tmp_path, [1, 1], [(2, 3, 30, 20), (5, 5, 30, 20)])
    with pytest.raises(DataError, match=r"000002.jpg: is \(27, 18\) pixels large, .* \(25, 15\)"):
        prepare(tmp_path, reencoded=True, cropped=True)
    made = [str(tmp_path / "cropped"), str(tmp_path / "cropped_data_dicts.pth")]
    with collecting(made, changed=["input changed: cars_annos.mat"]):
        prepare(tmp_path, reencoded=True, cropped=True)
    with Image.open(tmp_path / "cropped/000002.jpg") as image:
        assert image.size == (25, 15)


def test_data_dicts_of_other_classes(tmp_path):
    write_cars(tmp_path, [1, 1, 99, 99])
    prepare(tmp_path, reencoded=True)
    write_cars(tmp_path, [1, 2, 99, 99])
    with pytest.raises(DataError, match="tells other images or classes than .*cars_annos.mat"):
        prepare(tmp_path, reencoded=True)
    with collecting([str(tmp_path / "uncropped_data_dicts.pth")]):
        assert prepare(tmp_path, reencoded=True)["train"]["classes"] == 2
    assert FineGrainedImages(
        None, set="car", image_dir=str(tmp_path), reencoded=True
    ).identities == [0, 1]


def test_published_data_dicts_stay(tmp_path):
    write_cars(tmp_path, [1, 2])
    prepare(tmp_path, reencoded=True)
    dicts = tmp_path / "uncropped_data_dicts.pth"
    stored = {
        "1": ["/home/data/car/uncropped/000001.jpg"],
        "2": ["/home/data/car/uncropped/000002.jpg"],
    }
    torch.save({"train": stored, "test": {}}, dicts)
    content = dicts.read_bytes()
    prepare(tmp_path, reencoded=True)
    assert dicts.read_bytes() == content


def test_what_was_prepared_without_the_set_is_checked(tmp_path):
    for set, kind in (("car", write_cars), ("cub", write_birds)):
        kind(tmp_path / set, [1, 1])
        prepare(tmp_path / set, set, reencoded=True)
        for file in (tmp_path / set).glob("*.[mt][ax]t"):
            file.unlink()
        assert prepare(tmp_path / set, set, reencoded=True)["train"] == {"classes": 1, "images": 2}
        with pytest.raises(DataError, match="is not available. Get"):
            prepare(tmp_path / set, set, reencoded=True, cropped=True)


def test_names_that_would_meet_in_one_folder(tmp_path):
    pictures(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(UserError, match="1.png is also that of a/1.png"):
        prepare(tmp_path, "folder", reencoded=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_ones_own_images_are_written_upright(tmp_path):
    for split in ("train", "test"):
        write_image(tmp_path / f"{split}/a/{split}.jpg", 0)
    turn(tmp_path / "train/a/train.jpg")
    for _ in range(2):  # what is there fits the second time
        prepare(tmp_path, "folder", reencoded=True)
        for split, size in (("train", SIZE[::-1]), ("test", SIZE)):
            with Image.open(tmp_path / f"uncropped/{split}.jpg") as image:
                assert image.size == size and not image.getexif()
