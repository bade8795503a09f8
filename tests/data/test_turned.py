"""Pictures of a turned camera: sets are read as they lie and told, one's own are turned."""

import pickle
import re

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from cirtorch.datasets.datahelpers import pil_loader
from cirtorch.search.shards import open_shards
from mdir import registry
from mdir.stages.extract import extract
from mdir.stages.fine_grained.prepare import prepare_fine_grained
from mdir.stages.infer import infer
from mdir.stages.search import search
from mdir.stages.whiten import infer_and_learn_whitening
from tests.data.fine_grained_sets import turn, write_birds
from tests.methods.tiny_proxies import write_classes
from tests.methods.tiny_reid import write_market
from tests.sections import DATA, single
from tests.stages.test_infer import embedding, params

pytestmark = pytest.mark.usefixtures("untold")
WIDE, TALL = (24, 16), (16, 24)
TOLD = "was taken with the camera turned (EXIF) and is read as it lies"


def paint(path, seed=0, turned=True):
    """A wide picture, which the camera noted as turned by a quarter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    if turned:
        turn(path)
    return path


def told(capfd):
    """Names and counts of the warnings."""
    lines = capfd.readouterr().err.splitlines()
    pattern = re.compile(rf"Warning: .*/(\S+) {re.escape(TOLD)} \((\d+) so far\)")
    return [match.groups() for match in map(pattern.fullmatch, lines) if match]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation(tmp_path, capfd, suffix, value):
    path, exif = tmp_path / f"x.{suffix}", Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 255  # a white corner, which goes elsewhere by each orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=100)
    lying, turned = (np.asarray(pil_loader(path, upright=up)) for up in (False, True))
    assert abs(lying.astype(int) - pixels).max() < 10
    assert turned.shape == ((24, 16, 3) if value > 4 else (16, 24, 3))
    rows, columns = np.where(turned[..., 0] > 128)
    corner = bool(rows.mean() > turned.shape[0] / 2), bool(columns.mean() > turned.shape[1] / 2)
    assert (
        corner
        == {
            **dict.fromkeys((1, 5), (False, False)),
            **dict.fromkeys((2, 6), (False, True)),
            **dict.fromkeys((3, 7), (True, True)),
            **dict.fromkeys((4, 8), (True, False)),
        }[value]
    )
    assert told(capfd) == ([(f"x.{suffix}", "1")] if value > 1 else [])


def test_pillow_turns_tiff_files_itself(tmp_path, capfd):
    turn(paint(tmp_path / "x.tif", turned=False))
    assert pil_loader(tmp_path / "x.tif").size == pil_loader(tmp_path / "x.tif", upright=True).size
    assert told(capfd) == []


def image_list(root):
    return {"name": "ImageList", "image_dir": "imgs"}, (["0.png", "1.png"],)


def infer_list(root):
    return {"name": "InferImageList", "image_dir": "imgs"}, (["0.png", "1.png"],)


def cir_list(root):
    section = {"name": "CirImageList", "image_dir": "imgs", "image_size": None}
    return section, (["0.png", "1.png"],)


def pairs(root):
    (root / "a.txt").write_text("0.png\n")
    (root / "b.txt").write_text("1.png\n")
    return {
        "name": "RandomDomainsPair",
        "dataset_X": "a.txt",
        "dataset_Y": "b.txt",
        "image_dir": "imgs",
        "size": 1,
    }, ()


def image_tuples(root):
    (root / "tuples.pkl").write_bytes(pickle.dumps({"train": [["0.png", "1.png"]]}))
    section = {"dataset": "tuples.pkl", "data_key": "train", "image_dir": "imgs", "idx": "0_1"}
    return {"name": "PregeneratedImageTuple", **section}, ()


def cir_tuples(root):
    images = [str(root / "imgs" / name) for name in ("0.png", "1.png")]
    base = {"cids": images, "cluster": [0, 0], "qidxs": [0], "pidxs": [1]}
    (root / "own.pkl").write_bytes(pickle.dumps({"train": base}))
    return {
        "name": "CirTuples",
        "dataset": "own",
        "dataset_pkl": "own.pkl",
        "split": "train",
        "image_size": None,
        "neg_num": 0,
        "query_size": 1,
        "pool_size": 0,
    }, ()


def two_domains(root):
    for number, domain in enumerate(("day", "night")):
        paint(root / f"set/{domain}/train/{number}.png", number)
    section = {"image_dir": "set", "views": "original", "paired": False}
    return {"name": "TwoDomains", **section}, ()


def persons(root):
    write_market(root, persons=1, pictures=2)
    for path in (root / "Market-1501-v15.09.15/bounding_box_train").iterdir():
        turn(path)
    return {"name": "reid", "set": "market1501", "image_dir": ".", "split": "train"}, ()


def birds(root):
    write_birds(root / "birds", [1, 101])
    for path in (root / "birds/images").rglob("*.jpg"):
        turn(path)
    return {"name": "fine_grained", "set": "cub", "image_dir": "birds", "split": "train"}, ()


SETS = [image_list, infer_list, cir_list, pairs, image_tuples, cir_tuples, two_domains, persons]


@pytest.mark.parametrize("write", [*SETS, birds], ids=lambda write: write.__name__)
def test_sets_are_read_as_they_lie_and_told(root, capfd, write):
    paint(root / "imgs/0.png", 0)
    paint(root / "imgs/1.png", 1)
    section, inputs = write(root)
    seen = []

    def transform(*images):
        seen.extend(image.size for image in images)
        made = tuple(torch.zeros(3, *image.size[::-1]) for image in images)
        return made if len(made) > 1 else made[0]

    dataset = registry.build("dataset", section, transform, inputs)
    if hasattr(dataset, "prepare_epoch"):
        dataset.prepare_epoch(None)
    for index in range(len(dataset)):
        dataset[index]
    size = {persons: (16, 32), birds: (40, 30)}.get(write, WIDE)
    assert seen == [size] * (1 if write is birds else 2)
    assert [number for _, number in told(capfd)] == [str(at + 1) for at in range(len(seen))]


def test_whitening_reads_them_so(root, capfd):
    names = [str(paint(root / f"imgs/{seed}.png", seed)) for seed in range(6)]
    pickled = {"cids": names, "qidxs": [0, 1, 2], "pidxs": [3, 4, 5]}
    (root / "own.pkl").write_bytes(pickle.dumps(pickled))
    given = embedding()
    given["whitening"] = {"type": "pca", "dataset_pkl": "own.pkl", "directory": None}
    infer_and_learn_whitening(given)
    assert len(told(capfd)) == 6


def test_infer_turns_what_it_is_given(root, capfd):
    for name, seed in (("a.png", 0), ("b.jpg", 1)):
        paint(root / "imgs" / name, seed)
    infer(params(network=_identity()), (["a.png", "b.jpg"],))
    made = [pil_loader(root / "out" / name).size for name in ("a.png", "b.png")]
    assert made == [TALL, TALL] and told(capfd) == []
    lying = params(network=_identity(), image_dir="lying/*.png!")
    lying["data"]["test"]["dataset"]["upright"] = False
    infer(lying, (["a.png", "b.jpg"],))
    assert pil_loader(root / "lying/a.png").size == WIDE
    assert [name for name, _ in told(capfd)] == ["a.png", "b.jpg"]


def test_infer_describes_the_box_of_the_turned_picture(root):
    path = paint(root / "imgs/a.png")
    pil_loader(path, upright=True).save(root / "imgs/upright.png")
    given = embedding()
    given["output"]["inference"]["use_bbxs"] = True
    _, _, rows = infer(given, (["a.png", "upright.png"], [[2, 3, 12, 22]] * 2))
    np.testing.assert_array_equal(rows[0], rows[1])


def _identity():
    return single({"architecture": "identity"}, wrappers="", data=DATA)


def test_extract_and_search_turn_them_and_tell_the_page(root, capfd):
    path = paint(root / "imgs/a.png")
    pil_loader(path, upright=True).save(root / "imgs/b.png")
    shared = {"network": embedding()["network"], "images": "imgs", "loader": {"num_workers": 0}}
    for name, upright in (("turned", {}), ("lying", {"upright": False})):
        extract({**shared, "directory": name, **upright})
    turned, lying = (open_shards(root / name) for name in ("turned", "lying"))
    np.testing.assert_array_equal(turned.rows[0:1], turned.rows[1:2])
    assert (turned.upright, lying.upright) == (True, False)
    assert told(capfd) == [("a.png", "1")]
    found, *_ = search({"database": "turned", "queries": "lying", "directory": "s", "count": 1})
    content = (root / "s/rankings.json").read_text()
    assert content.count('"upright": true') == 2 == found["queries"]


def test_own_classes_are_described_and_prepared_upright(root, capfd):
    write_classes(root, names=("ant", "bee"), pictures=2)
    paint(root / "classes/ant/0.png")
    section = {"name": "fine_grained", "set": "folder", "image_dir": "classes", "split": "train"}
    made = registry.build("dataset", section, lambda image: image.size, ())
    assert made.view(0) == TALL
    prepare_fine_grained({"set": "folder", "image_dir": "classes"})
    assert told(capfd) == []
