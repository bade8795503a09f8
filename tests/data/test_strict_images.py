"""``strict_images`` wherever pictures are read: obeyed, or refused with words."""

import numpy as np
import pytest
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.loading import make_dataset, make_loader
from mdir.data.sections import check_data_section
from mdir.inference.descriptors import prepare_dataset
from mdir.learning.score_results import make_score
from mdir.registry import ComponentError
from mdir.stages.extract import extract
from mdir.stages.fine_grained.retrieve import retrieve
from mdir.stages.search import search
from tests.data.datasets.test_tuples import PARAMS, database  # noqa: F401
from tests.methods.tiny_proxies import DATA, dataset, write_classes
from tests.methods.tiny_reid import data_section, write_market
from tests.scores.test_place_recall import write_city
from tests.sections import build, single
from tests.stages.test_infer import embedding

pytestmark = pytest.mark.usefixtures("untold")


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])
    return path


def retrieval_set(root):
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.RandomState(seed).randint(0, 256, (16, 16, 3), np.uint8)
        (root / "imgs").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / "imgs" / name)
    (root / "q.tsv").write_text('query\tbbx\tok\tjunk\na.png\t\t["b.png"]\t\n')
    (root / "db.tsv").write_text("identifier\nb.png\n")
    cut(root / "imgs/b.png")
    tables = {"name": "own", "queries": "q.tsv", "db": "db.tsv", "imgdir": "imgs"}
    return {"type": "cirdatasetap", "image_size": None, "dataset": tables}, "b.png"


def persons(root):
    write_market(root, persons=2)
    path = sorted((root / "Market-1501-v15.09.15/query").iterdir())[1]
    cut(path)
    return {"type": "reid", "dataset": data_section(root, "test")["dataset"]}, path.name


def classes(root):
    write_classes(root)
    cut(root / "classes/eel/3.png")
    return {"type": "class_recall", "dataset": dataset("test"), "nmi": False}, "3.png"


def places(root):
    write_city(root)
    cut(sorted((root / "set/database").iterdir())[1])
    dataset = {"name": "places", "set": "folder", "image_dir": "set"}
    return {"type": "place_recall", "dataset": dataset}, "@.png"


@pytest.mark.parametrize("write", [retrieval_set, persons, classes, places])
def test_scores(root, write, capfd):
    section, name = write(root)
    shown = {**DATA, "transforms": "resize_to:16_16 | totensor | normalize"}
    network = build(single({"architecture": "test_channel_means"}, wrappers="", data=shown))
    make_score(section, shown)(network)
    assert f"{name} is cut short and read as far as it goes" in capfd.readouterr().err
    with pytest.raises(DataError, match=f"{name}: is cut short, which strict_images does not"):
        make_score({**section, "strict_images": True}, shown)(network)


def test_two_domains(root):
    """They are refused whatever is asked for, before a network sees them."""
    for domain in ("day", "night"):
        (root / f"set/{domain}/val").mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(root / f"set/{domain}/val/0.png")
    cut(root / "set/day/val/0.png")
    section = {"name": "TwoDomains", "image_dir": "set", "split": "val"}
    with pytest.raises(DataError, match=r"0\.png \(is cut short\)"):
        make_score({"type": "cross_domain_recall", "dataset": section, "strict_images": True}, DATA)


@pytest.mark.parametrize("strict", [False, True])
def test_mining(root, database, strict):  # noqa: F811
    section = {"dataset": {"name": "CirTuples", **PARAMS}, "transforms": "totensor"}
    for path in (root / "ims").rglob("*"):
        if path.is_file():
            cut(path)
    made = make_dataset({**section, "strict_images": strict})
    network = build(embedding()["network"])
    if not strict:
        prepare_dataset(made, network)
        assert len(made.nidxs) == 4
        return
    with pytest.raises(DataError, match="is cut short, which strict_images does not admit"):
        prepare_dataset(made, network)


def test_extract(root):
    name = retrieval_set(root)[1]
    params = {"network": embedding()["network"], "images": "imgs", "loader": {"num_workers": 0}}
    assert extract({**params, "directory": "all"})[0]["images"] == 2
    strict = {**params, "directory": "strict", "strict_images": True}
    with pytest.raises(DataError, match=f"{name}: is cut short, which strict_images does not"):
        extract(strict)
    assert extract({**strict, "strict_images": False})[0]["images"] == 2  # nothing was kept
    (root / "imgs" / name).write_bytes(b"no picture")
    with pytest.raises(DataError, match=f"{name}: cannot be read as an image"):
        extract({**strict, "directory": "unreadable"})
    assert extract({**params, "directory": "left"})[0]["unreadable"] == 1


def test_extract_does_not_go_on_with_shards_of_pictures_that_were_cut_short(root):
    retrieval_set(root)
    params = {"network": embedding()["network"], "images": "imgs", "loader": {"num_workers": 0}}
    extract({**params, "directory": "all"})
    with pytest.raises(Exception, match="holds the shards of .* other settings"):
        extract({**params, "directory": "all", "strict_images": True})


def test_a_format_that_does_not_tell(root):
    (root / "imgs").mkdir()
    Image.new("RGB", (32, 32)).save(root / "imgs/a.ico")
    section = {"dataset": {"name": "ImageList", "image_dir": "imgs"}, "transforms": "totensor"}
    loader = {"loader": {"batch_size": 1, "num_workers": 0}}
    for strict in (False, True):
        made = make_dataset({**section, "strict_images": strict}, None, (["a.ico"],))
        if not strict:
            assert len(list(make_loader(made, loader))) == 1
            continue
        with pytest.raises(DataError, match=r"a\.ico: does not tell, being ICO, whether it is cut"):
            list(make_loader(made, loader))


def test_what_contradicts_it_is_told():
    section = {"dataset": {"name": "CirImageList", "image_dir": "x", "image_size": None}}
    section["dataset"]["ignore_errors"] = section["strict_images"] = True
    (problem,) = check_data_section(section)
    assert problem.path == ("strict_images",)
    assert problem.message == "true refuses what ignore_errors of the dataset lets pass"


@pytest.mark.parametrize(
    ("step", "params"),
    [
        (search, {"database": "a", "queries": "b", "directory": "c"}),
        (retrieve, {"query_img_name": "a", "data_base": "b"}),
    ],
)
def test_steps_that_describe_no_set_refuse_the_key(step, params):
    with pytest.raises(ComponentError, match="unknown parameter 'strict_images'"):
        step({**params, "strict_images": True})
