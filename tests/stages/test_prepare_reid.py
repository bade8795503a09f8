"""The step that looks at a re-identification data set."""

import pytest

from cirtorch.utils.errors import DataError
from mdir.data.datasets.reid_layouts import SPLITS
from mdir.errors import UserError
from mdir.stages.prepare_reid import prepare_reid
from tests.data.datasets.test_reid import index, market, pictures


def prepare(folder, set="market1501", **options):
    metadata, *_ = prepare_reid({"set": set, "image_dir": str(folder), **options})
    return metadata


def small_market(folder, train="0002"):
    market(folder, [f"{train}_c1s1_1.jpg", f"{train}_c2s1_1.jpg", "0004_c2s1_1.jpg"])
    market(folder, ["0007_c1s1_1.jpg", "0008_c1s1_1.jpg"], "query")
    market(folder, ["0007_c3s1_1.jpg", "0008_c1s1_2.jpg", "0000_c3s1_2.jpg"], "bounding_box_test")


def test_the_table(tmp_path, capsys):
    small_market(tmp_path)
    metadata = prepare(tmp_path)
    assert metadata["train"] == {"identities": 2, "images": 3, "cameras": 2}
    assert metadata["gallery"] == {"identities": 3, "images": 3, "cameras": 2}
    assert metadata["queries_without_match"] == 1
    out, err = capsys.readouterr()
    assert [[cell.strip() for cell in line.split("|")] for line in out.splitlines()] == [
        ["subset", "# ids", "# images", "# cameras"],
        ["train", "2", "3", "2"],
        ["query", "2", "2", "1"],
        ["gallery", "3", "3", "2"],
    ]
    assert "1 of 2 queries are skipped" in err and "0008_c1s1_1.jpg first" in err


def test_identities_in_both_train_and_test(tmp_path, capsys):
    small_market(tmp_path, train="0007")
    (told, _) = prepare(tmp_path)["warnings"]
    assert told.startswith("1 identities are in train and in the test (Market-1501-v15.09.15/bound")
    assert (
        "/0007_c1s1_1.jpg and Market-1501-v15.09.15/bounding_box_test/0007_c3s1_1.jpg first" in told
    )
    assert f"Warning: {tmp_path}: {told}" in capsys.readouterr().err


def test_pictures_of_another_suffix_are_told(tmp_path):
    small_market(tmp_path)
    market(tmp_path, ["0002_c3s1_1.JPG", "0005_c3s1_1.png"])
    metadata = prepare(tmp_path)
    assert metadata["train"]["images"] == 3
    assert metadata["warnings"][0] == (
        "2 pictures of train are left out, for those of this set end in .jpg; 0002_c3s1_1.JPG first"
    )
    folder = tmp_path / "MSMT17_V1"
    for camera, split in enumerate(("bounding_box_train", "query", "bounding_box_test"), 1):
        pictures(folder / split, [f"0001_c{camera}_1.jpg", "0001_c3_1.jpeg"])
    for split, told in zip(SPLITS, prepare(tmp_path, "msmt17")["warnings"], strict=True):
        assert told.startswith(f"1 pictures of {split} are left out")


def test_identities_of_msmt17_are_numbered_anew_for_the_test(tmp_path):
    folder = tmp_path / "MSMT17_V1"
    pictures(folder / "bounding_box_train", ["0001_c1_1.jpg"])
    pictures(folder / "query", ["0001_c1_1.jpg"])
    pictures(folder / "bounding_box_test", ["0001_c2_1.jpg"])
    assert prepare(tmp_path, "msmt17")["warnings"] == []


def test_without_cameras_it_says_what_is_skipped(tmp_path, capsys):
    index(
        tmp_path, "1.png,1,train", "2.png,2,query", "3.png,2,gallery", header="path,identity,split"
    )
    (told,) = prepare(tmp_path, "folder")["warnings"]
    assert "tells no cameras" in told and "no match is left out" in told


def test_a_set_without_a_test_part(tmp_path):
    pictures(tmp_path / "AIC20_ReID_Simulation/image_train", ["0001_c006_33.jpg"])
    assert prepare(tmp_path, "vehiclex") == {
        "train": {"identities": 1, "images": 1, "cameras": 1},
        "warnings": [],
    }


def test_damaged_pictures_and_missing_ones_are_listed(tmp_path):
    small_market(tmp_path)
    file = tmp_path / "Market-1501-v15.09.15/query/0008_c1s1_1.jpg"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(
        DataError, match=r"1 unreadable images:\n  .*0008_c1s1_1.jpg \(is cut short"
    ):
        prepare(tmp_path)
    assert prepare(tmp_path, splits=["train"])["train"]["images"] == 3


def test_when_nothing_could_be_scored(tmp_path):
    small_market(tmp_path)
    (tmp_path / "Market-1501-v15.09.15/bounding_box_test/0007_c3s1_1.jpg").unlink()
    with pytest.raises(UserError, match="no query has a match .* nothing can be scored"):
        prepare(tmp_path)
