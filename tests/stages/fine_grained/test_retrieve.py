"""The viewer of a database of features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.datasets.images import CirImageList
from mdir.data.transforms.parse import parse_transforms
from mdir.errors import UserError
from mdir.inference.descriptors import extract_descriptors
from mdir.stages.fine_grained.retrieve import retrieve
from tests.data.fine_grained_sets import turn, write_image
from tests.sections import DATA, build, single

PIPELINE = {"text": "resize_to:32 | totensor | normalize", "mean_std": DATA["mean_std"]}
NETWORK = single(
    {
        "architecture": "proxy_embedding",
        "backbone": "resnet18",
        "feature_dim": 4,
        "classes": 2,
        "pretrained": False,
    },
    {"weights": "kaiming_p2p", "seed": 0},
    data={"transforms": PIPELINE["text"], "mean_std": PIPELINE["mean_std"]},
)
# similarities to the first: 0.8, 0.6, 0, -1; the classes of the first and the third are equal
FEATURES = [[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0.6, 0, 0.8, 0], [0, 1, 0, 0], [-1, 0, 0, 0]]
LABELS = [3, 5, 3, 3, 5]
NAMES = [f"car/car_ims/{at:06d}.jpg" for at in range(len(LABELS))]


@pytest.fixture
def base(root):
    """A CIRTORCH_ROOT with ``results/base_data_base.pth`` and its images."""
    for at, name in enumerate(NAMES):
        write_image(root / "data" / name, at)
    return store(root)


def store(root, images=NAMES, labels=LABELS, features=FEATURES):
    (root / "results").mkdir(exist_ok=True)
    content = {
        "test_images": list(images),
        "test_labels": labels,
        "test_features": torch.tensor(features, dtype=torch.float32),
    }
    torch.save(content, root / "results/base_data_base.pth")
    return root


def look(query=NAMES[0], **options):
    options = {"retrieval_num": 3, "data_base": "base_data_base.pth"} | options
    return retrieve({"query_img_name": query, **options})[0]


def listing(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def border(path):
    """Colour of the middle of the upper border, the nearest of those that there are."""
    with Image.open(path) as image:
        pixel = np.array(image.getpixel((112, 2)))
    known = {"green": (0, 128, 0), "red": (255, 0, 0), "grey": (128, 128, 128)}
    return min(known, key=lambda name: np.abs(pixel - known[name]).sum())


def test_pictures_and_page(base, capsys):
    found = look()
    folder = base / "results/000000"
    assert found["folder"] == str(folder) and found["in_data_base"]
    assert [one["image"] for one in found["found"]] == NAMES[1:4]
    assert [one["right"] for one in found["found"]] == [False, True, True]
    assert {path.name: border(path) for path in folder.iterdir() if "retrieval" in path.name} == {
        "retrieval_img_1_0.8000.jpg": "red",
        "retrieval_img_2_0.6000.jpg": "green",
        "retrieval_img_3_0.0000.jpg": "green",
    }
    page = Path(found["page"]).read_text()
    assert found["page"] == str(base / "results/000000.html")
    assert page.count('<figure class="right">') == 2 and page.count('<figure class="wrong">') == 1
    assert "1. 0.8000, class 5" in page and "framed green" in page
    assert "0.6000" in capsys.readouterr().out


def test_pictures_of_an_earlier_run_are_replaced_and_nothing_else(base):
    folder = base / "results/000000"
    look(retrieval_num=4)
    for name in ("retrieval_img_mine.jpg", "notes.txt", "retrieval_img_1.jpg"):
        (folder / name).write_text("mine")
    store(base, features=[FEATURES[0], *reversed(FEATURES[1:])])
    look(retrieval_num=2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "notes.txt",
        "query_img.jpg",
        "retrieval_img_1.jpg",
        "retrieval_img_1_0.8000.jpg",
        "retrieval_img_2_0.6000.jpg",
        "retrieval_img_mine.jpg",
    ]


def test_ties_go_to_the_lower_index(base):
    store(base, features=[[1, 0, 0, 0]] * 5)
    assert [one["image"] for one in look(NAMES[2])["found"]] == [NAMES[0], NAMES[1], NAMES[3]]


@pytest.mark.parametrize("query", ["data/{}", "{root}/data/{}", "/home/data/{}"])
def test_a_query_by_its_place(base, query):
    assert look(query.format(NAMES[1], root=base))["query"] == str(base / "data" / NAMES[1])


def test_names_of_another_machine(base):
    store(base, ["/home/data/" + NAMES[0], "D:\\data\\" + NAMES[1].replace("/", "\\"), *NAMES[2:]])
    assert look("/home/data/" + NAMES[0])["in_data_base"]
    assert look(NAMES[1])["query"] == str(base / "data" / NAMES[1])


def test_a_database_that_lies_elsewhere(base):
    (base / "results/base_data_base.pth").rename(base / "theirs.pth")
    look(data_base="theirs.pth", directory="shown")
    assert (base / "shown/000000/query_img.jpg").exists()


# what does not fit, without a trace of it


def test_a_query_outside_the_database(base):
    before = listing(base)
    with pytest.raises(UserError) as caught:
        look("car/car_ims/000009.jpg")
    assert "000009.jpg is not among the 5 images" in str(caught.value)
    assert "nearest names there are car/car_ims/00000" in str(caught.value)
    assert "needs the network that made the database" in str(caught.value)
    with pytest.raises(UserError, match="nearest names there are car/car_ims/00000"):
        look("x")
    assert listing(base) == before


def test_images_that_are_not_there(base):
    (base / "data" / NAMES[2]).unlink()
    before = listing(base)
    with pytest.raises(UserError, match=f"1 images .* not there, .*data_path.*\n  {NAMES[2]}"):
        look()
    with pytest.raises(UserError, match="1 images of the database are not there"):
        look(NAMES[2])
    assert listing(base) == before


def test_damaged_images(base):
    (base / "data" / NAMES[2]).write_bytes(b"<html>")
    before = listing(base)
    with pytest.raises(DataError, match="000002.jpg: cannot be read as an image"):
        look()
    assert listing(base) == before


def test_more_than_there_are(base):
    assert len(look(retrieval_num=4)["found"]) == 4
    with pytest.raises(UserError, match="retrieval_num 5 is larger than the 4 images"):
        look(retrieval_num=5)


def test_databases_that_are_none(base):
    with pytest.raises(UserError, match="no database .*bas_data_base.pth. Did you mean 'base_data"):
        look(data_base="bas_data_base.pth")
    for options, what in (
        ({"labels": LABELS[1:], "features": FEATURES[1:]}, "5 images, 4 labels"),
        ({"labels": LABELS[1:]}, r"4 test_labels, test_features \[5, 4\]"),
        ({"images": range(5)}, "is no database of UnifiedProxy"),
        ({"features": [1.0] * 5}, "is no database of UnifiedProxy"),
        (
            {"features": [[float("nan")] * 4] * 5},
            r"5 of 5 images \(car/car_ims/000000.jpg, .* are NaN",
        ),
    ):
        store(base, **options)
        with pytest.raises(DataError, match=what):
            look()
    store(base)
    path = base / "results/base_data_base.pth"
    trained = {"train_features": torch.ones(2, 4), "train_labels": [0, 1]}
    for labels in ([1, 2], [0, 5]):
        wrong = trained | {"train_labels": labels, "train_proxies": torch.ones(2, 4)}
        torch.save(torch.load(path) | wrong, path)
        with pytest.raises(DataError, match=f"labels {labels[0]} to .*, but there are 2 proxies"):
            look()
    for proxies in (torch.ones(4), torch.ones(2, 3)):
        torch.save(torch.load(path) | trained | {"train_proxies": proxies}, path)
        with pytest.raises(DataError, match="train_proxies are not as wide as test_features"):
            look()
    torch.save(torch.ones(3), path)
    with pytest.raises(DataError, match="is no database of UnifiedProxy"):
        look()
    torch.save({"test_images": []}, base / "results/base_data_base.pth")
    with pytest.raises(DataError, match=r"a dict of test_images, .*\('test_features'\)"):
        look()


# any image, by its network


def test_any_image_as_a_query(base, capsys):
    """A stored image under another name finds itself, by features that the network makes."""
    dataset = CirImageList(
        parse_transforms(**PIPELINE), (NAMES,), image_dir="data", image_size=None
    )
    store(base, features=extract_descriptors(build(NETWORK), dataset).T.tolist())
    (base / "mine.1.jpg").write_bytes((base / "data" / NAMES[3]).read_bytes())
    found = look("mine.1.jpg", retrieval_num=5, network=NETWORK)
    assert not found["in_data_base"] and {one["right"] for one in found["found"]} == {None}
    first = found["found"][0]
    assert first["image"] == NAMES[3] and first["similarity"] == pytest.approx(1, abs=1e-5)
    assert {border(path) for path in (base / "results/mine").glob("retrieval_*")} == {"grey"}
    page = (base / "results/mine.html").read_text()
    assert "class is not known" in page and '<figure class="right">' not in page
    assert capsys.readouterr().err == "" and "mislead" not in page


def test_a_network_that_sees_images_otherwise_than_the_database(base, capsys):
    """As one whose file does not tell the size, or a database of cropped images."""
    dataset = CirImageList(
        parse_transforms(**PIPELINE), (NAMES,), image_dir="data", image_size=None
    )
    store(base, features=extract_descriptors(build(NETWORK), dataset).T.tolist())
    (base / "data" / NAMES[0]).unlink()
    write_image(base / "mine.jpg", 77)
    other = {"data": DATA | {"transforms": "resize_to:64 | totensor | normalize"}}
    found = look(
        "mine.jpg", retrieval_num=1, network={**NETWORK, "runtime": {**NETWORK["runtime"], **other}}
    )
    told = capsys.readouterr().err
    assert f"Warning: retrieve: The network sees {NAMES[1]} otherwise than" in told
    assert "cropped or sized otherwise" in Path(found["page"]).read_text()


def test_a_photograph_of_a_turned_camera_is_asked_for_upright(base):
    upright, turned = base / "upright.png", base / "turned.png"
    with Image.open(base / "data" / NAMES[3]) as image:
        image.save(upright)
        image.transpose(Image.Transpose.ROTATE_90).save(turned)
    turn(turned)
    found = [look(path.name, network=NETWORK) for path in (upright, turned)]
    assert found[0]["found"] == found[1]["found"]
    pictures = [Path(one["folder"], "query_img.jpg").read_bytes() for one in found]
    assert pictures[0] == pictures[1]


def test_a_query_of_the_database_keeps_its_stored_features(base):
    assert look(network=NETWORK)["found"] == look()["found"]


def test_a_network_of_another_size(base):
    write_image(base / "mine.jpg", 77)
    model = {**NETWORK["model"], "feature_dim": 8}
    with pytest.raises(UserError, match="network gives 8 features, the database .* holds 4"):
        look("mine.jpg", network={**NETWORK, "model": model})


def test_a_query_that_is_no_image(base):
    with pytest.raises(DataError, match="no.jpg: there is no such image"):
        look("no.jpg", network=NETWORK)
