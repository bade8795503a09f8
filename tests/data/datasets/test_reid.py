"""Re-identification data: splits, own pictures, other labels, and what does not fit."""

import pytest
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.datasets.reid import ReidImages
from mdir.data.loading import make_dataset, make_loader
from mdir.data.sections import check_data_section
from mdir.errors import UserError

MARKET = "Market-1501-v15.09.15"


def pictures(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (4, 8), (number, 0, 0)).save(folder / name)


def market(folder, names, split="bounding_box_train"):
    pictures(folder / MARKET / split, names)


def dataset(folder, **options):
    options = {"set": "market1501", "split": "train"} | options
    return ReidImages(lambda image: image.getpixel((0, 0))[0], image_dir=str(folder), **options)


def index(folder, *rows, header="path,identity,camera,split"):
    pictures(folder, {row.split(",")[0] for row in rows})
    (folder / "index.csv").write_text("\n".join([header, *rows]) + "\n")


def test_training_identities_ascend_and_test_ones_stay(tmp_path):
    market(tmp_path, ["0007_c2s1_1.jpg", "0002_c1s1_1.jpg", "0007_c1s1_1.jpg", "Thumbs.png"])
    market(tmp_path, ["0009_c3s1_1.jpg"], "query")
    market(tmp_path, ["-1_c1s1_1.jpg", "0000_c4s1_1.jpg"], "bounding_box_test")
    train = dataset(tmp_path)
    assert train.identities == [0, 1, 1] and train.cameras == [0, 0, 1]
    assert [path.name[:7] for path in train.files] == ["0002_c1", "0007_c1", "0007_c2"]
    test = dataset(tmp_path, split="test")
    assert test.identities == [9, 0] and test.cameras == [2, 3] and test.queries == 1
    assert dataset(tmp_path, split="gallery").queries == 0


def test_the_folders_above_do_not_count(tmp_path):
    folder = tmp_path / "x_12_c3"
    market(folder, ["0002_c1s1_1.jpg"])
    assert dataset(folder).cameras == [0]


def test_batches_hold_images_and_what_they_show(tmp_path):
    market(tmp_path, ["0002_c1s1_1.jpg", "0003_c2s1_1.jpg", "0003_c1s1_1.jpg"])
    section = {
        "dataset": {"name": "reid", "set": "market1501", "image_dir": str(tmp_path)},
        "transforms": "resize_to:8_16 | mirror | pad:2 | random_crop:8_16 | totensor | normalize"
        " | random_erasing",
        "mean_std": [[0.5] * 3, [0.5] * 3],
        "loader": {"batch_size": 3, "num_workers": 0, "sampler": {"name": "identities"}},
    }
    assert not list(check_data_section(section))
    made = make_dataset(section)
    images, about = next(iter(make_loader(made, section)))
    assert images.shape == (3, 3, 16, 8)
    assert about["identity"].tolist() == [made.identities[i] for i in about["index"].tolist()]
    assert about["camera"].tolist() == [made.cameras[i] for i in about["index"].tolist()]
    assert made.view(0).shape == (3, 16, 8)


def test_other_labels_leave_out_what_has_none(tmp_path):
    market(tmp_path, ["0002_c1s1_1.jpg", "0003_c2s1_1.jpg", "0003_c6s1_1.jpg"])
    items = dataset(tmp_path).relabelled([4, -1, 2])
    assert [items[at][1] for at in range(len(items))] == [
        {"index": 0, "identity": 4, "camera": 0},
        {"index": 2, "identity": 2, "camera": 5},
    ]
    assert items.identities == [4, 2] and items.cameras == [0, 5]
    with pytest.raises(ValueError, match="2 labels for 3 pictures"):
        dataset(tmp_path).relabelled([0, 1])


def test_epochs_of_batches_under_the_labels_of_clusters(tmp_path):
    market(tmp_path, [f"{pid:04d}_c{camera}s1_1.jpg" for pid in range(6) for camera in (1, 2)])
    items = dataset(tmp_path).relabelled([at % 2 if at < 8 else -1 for at in range(12)])
    loader = {"batch_size": 8, "num_workers": 0}
    loader["sampler"] = {"name": "identities", "instances": 4}
    batches = list(make_loader(items, {"loader": loader}, iterations=3, epoch=5, first_epoch=5))
    assert len(batches) == 3
    for _, about in batches:
        assert sorted(about["identity"].tolist()) == [0] * 4 + [1] * 4
        assert (about["index"] % 2).tolist() == about["identity"].tolist()
        assert about["index"].max() < 8
    loader["batch_size"] = 16
    told = r"a pass has 8 items \(2 identities.*, 4 of each\), a batch 16"
    with pytest.raises(UserError, match=told):
        make_loader(items, {"loader": loader}, iterations=3)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("0002_c7s1_1.jpg", "camera 7 is not one of 1, 2, 3, 4, 5, 6"),
        ("1502_c1s1_1.jpg", "identity 1502 is not one of 0 to 1501"),
        ("nobody.jpg", r"nobody.jpg: no identity and camera in it by \(\[-\\d\]\+\)_c"),
        ("--_c1s1_1.jpg", "no identity and camera in it"),
    ],
)
def test_a_name_that_does_not_fit_is_told_with_its_rule(tmp_path, name, rule):
    market(tmp_path, ["0002_c1s1_1.jpg", name])
    with pytest.raises(DataError, match=f"bounding_box_train: 1 names do not fit:\n  .*{rule}"):
        dataset(tmp_path)


def test_an_absent_set_says_what_to_put_where(tmp_path):
    with pytest.raises(DataError, match=f"{MARKET}' is not available. Get Market-1501.*unpack it"):
        dataset(tmp_path)
    market(tmp_path, ["0002_c1s1_1.jpg"])
    with pytest.raises(DataError, match="query: there is no such folder of images"):
        dataset(tmp_path, split="test")
    market(tmp_path, [], "query")
    with pytest.raises(DataError, match="query has no pictures"):
        dataset(tmp_path, split="query")


def test_vehiclex_has_no_test_part(tmp_path):
    pictures(tmp_path / "AIC20_ReID_Simulation/image_train", ["0001_c006_33.jpg"])
    assert dataset(tmp_path, set="vehiclex").cameras == [0]
    with pytest.raises(DataError, match="no test part, gallery is empty; it can only be a source"):
        dataset(tmp_path, set="vehiclex", split="gallery")


def test_msmt17_lists_win_over_folders(tmp_path):
    folder = tmp_path / "MSMT17_V1"
    pictures(folder / "bounding_box_train", ["0003_c9_1.jpg"])
    assert dataset(tmp_path, set="msmt17").cameras == [8]
    for name, line in (("train", "0000/0000_000_01_x.jpg 0"), ("val", "0001/0001_003_15_x.jpg 1")):
        (folder / f"list_{name}.txt").write_text(f"{line}\n")
    found = dataset(tmp_path, set="msmt17")
    assert found.identities == [0, 1] and found.cameras == [1, 15]
    (folder / "list_val.txt").write_text("0001.jpg 1\n")
    with pytest.raises(DataError, match="list_val.txt: '0001.jpg 1' is not a path such as"):
        dataset(tmp_path, set="msmt17")


def vehicleid(folder, **lists):
    (folder / "VehicleID/train_test_split").mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (folder / f"VehicleID/train_test_split/{name}.txt").write_text(text)


def test_vehicleid_galleries_are_drawn_by_the_seed(tmp_path):
    vehicleid(tmp_path, test_list_2="".join(f"{at:03d} {5 + at % 2}\n" for at in range(40)))
    options = {"set": "vehicleid", "test_size": 2, "complete": False}

    def gallery(seed):
        found = dataset(tmp_path, split="gallery", split_seed=seed, **options)
        assert sorted(found.identities) == [5, 6] and found.cameras == [1, 1]
        return [path.name for path in found.files]

    assert gallery(1) == gallery(1)
    assert len({tuple(gallery(seed)) for seed in range(8)}) > 3
    test = dataset(tmp_path, split="test", **options)
    assert test.queries == 38 and len(set(test.files)) == 40


def test_vehicleid_must_be_complete_unless_said_otherwise(tmp_path):
    vehicleid(tmp_path, train_list="001 7\n002 9\n", test_list_800="003 1\n")
    with pytest.raises(DataError, match="has 2 identities instead of 13164; complete: false"):
        dataset(tmp_path, set="vehicleid")
    assert dataset(tmp_path, set="vehicleid", complete=False).identities == [0, 1]
    with pytest.raises(DataError, match="has 1 identities instead of 800"):
        dataset(tmp_path, set="vehicleid", split="query")
    with pytest.raises(DataError, match="test_size 700 is not one of 800, 1600, 2400"):
        dataset(tmp_path, set="vehicleid", split="query", test_size=700)
    vehicleid(tmp_path, train_list="001 7\n002\n")
    with pytest.raises(DataError, match=r"train_list.txt:2: '002' is not a name and an identity"):
        dataset(tmp_path, set="vehicleid")


def test_own_pictures_by_an_index(tmp_path):
    index(
        tmp_path,
        "1.png,anna,door,train",
        "2.png,ben,yard,train",
        "3.png,carl,yard,query",
        "4.png,carl,door,gallery",
        "5.png,-1,door,gallery",
    )
    train = dataset(tmp_path, set="folder")
    assert train.identities == [0, 1] and train.cameras == [0, 1]
    test = dataset(tmp_path, set="folder", split="test")
    assert test.identities == [2, 2] and test.cameras == [1, 0] and test.queries == 1


@pytest.mark.parametrize("header", ["path,identity,split", "path,identity,split,camera"])
def test_own_pictures_without_cameras(tmp_path, header):
    index(tmp_path, "1.png,12,query", "2.png,12,gallery", "3.png,7,train", header=header)
    test = dataset(tmp_path, set="folder", split="test")
    assert test.identities == [12, 12] and test.cameras == [0, 1]


def test_own_pictures_by_their_names(tmp_path):
    pictures(tmp_path / "bounding_box_train", ["12_c40.png", "-1_c2.png", "3_c7.png"])
    train = dataset(tmp_path, set="folder")
    assert train.identities == [1, 0] and train.cameras == [40, 7]
    with pytest.raises(DataError, match="neither index.csv .* nor the folder query, with pictures"):
        dataset(tmp_path, set="folder", split="query")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["1.png,a,1,trian"], r"index.csv:2: unknown split 'trian'. Allowed: train, query"),
        (["1.png,,1,train"], r"index.csv:2: no identity \(junk is -1\)"),
        (["1.png,a,1,train", "2.png,a,,train"], "index.csv:3: no camera, though other rows"),
        (["1.png,a,1,train", "1.png,b,1,train"], "index.csv:3: 1.png is listed twice, first at"),
    ],
)
def test_mistakes_in_an_index_name_their_row(tmp_path, rows, told):
    index(tmp_path, *rows)
    with pytest.raises(UserError, match=told):
        dataset(tmp_path, set="folder")


def test_an_index_may_not_name_what_is_not_there(tmp_path):
    (tmp_path / "index.csv").write_text("path,identity,split\nx.jpg,1,train\n")
    with pytest.raises(UserError, match=r"index.csv:2: no such image: .*x.jpg"):
        dataset(tmp_path, set="folder")
    (tmp_path / "index.csv").write_text("path,split\n")
    with pytest.raises(UserError, match="missing column identity"):
        dataset(tmp_path, set="folder")
