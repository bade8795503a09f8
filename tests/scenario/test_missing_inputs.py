"""All lists, folders and images that a step misses are told in one run."""

import pytest
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.errors import gathered
from mdir.stages.train import train
from tests.methods.tiny_reid import train_params as reid_params
from tests.scenario.command import run_here
from tests.scenario.test_doubts import TRAIN

SETS = """
    learning.validation*:
      type: MultiCriterialValidation
      decisive_criterion: null
      day: &score
        type: SingleValidation
        frequency: 1
        network_overlay: null
        data: null
        criterion:
          type: cirdatasetap
          image_size: 64
          dataset: {name: own, queries: lists/queries.tsv, db: lists/db.tsv, imgdir: animals}
      night: &night
        <<: *score
        criterion: {type: cirdatasetap, image_size: 64, dataset: rparis6k}
"""


ABSENT = "there is no such list or folder of images"
FOLDER = "there is no such folder of images"


def failure(folder, *arguments, text=TRAIN, step="1_train"):
    """What the step says, a line each."""
    (folder / "s.yml").write_text(text)
    result = run_here("go", "s.yml", *arguments, folder=folder)
    assert result.returncode == 1, result
    assert "Traceback" not in result.stderr
    told = result.stderr.partition(f"error: step {step} failed: ")[2]
    return told.rstrip().replace(f"{folder}/root/", "").splitlines()


def write_lists(folder, *animals):
    (folder / "root" / "animals").mkdir(parents=True, exist_ok=True)
    for name in animals:
        Image.new("RGB", (300, 300)).save(folder / f"root/animals/{name}.jpg")
        (folder / "root" / f"{name}s.txt").write_text(f"{name}\n")


def test_lists_and_folder_of_a_training(tmp_path):
    assert failure(tmp_path) == [
        f"horses.txt: {ABSENT}",
        f"animals: {FOLDER}",
        f"zebras.txt: {ABSENT}",
        f"data/val/day_night: {FOLDER}",  # of the template's validation
    ]


def test_training_and_all_validations_in_one_run(tmp_path):
    told = failure(tmp_path, text=TRAIN + SETS)
    assert told[:3] == [f"horses.txt: {ABSENT}", f"animals: {FOLDER}", f"zebras.txt: {ABSENT}"]
    rest = "\n".join(told[3:])
    for name in ("lists/queries.tsv", "lists/db.tsv", "rparis6k"):
        assert name in rest
    assert len(told) == 6


def test_images_of_a_training_and_lists_of_its_validation(tmp_path):
    write_lists(tmp_path, "horse", "zebra")
    (tmp_path / "root/animals/zebra.jpg").unlink()
    told = failure(tmp_path, text=TRAIN + SETS)
    assert told[0] == (
        "zebras.txt: 1 of its 1 images are missing, the first one is animals/zebra.jpg"
    )
    assert [line.partition(":")[0] for line in told[1:3]] == ["lists/db.tsv", "lists/queries.tsv"]


def test_what_validations_alone_lack(tmp_path):
    write_lists(tmp_path, "horse", "zebra")
    told = failure(tmp_path, text=TRAIN + SETS)
    assert len(told) == 3
    assert not [line for line in told if "horse" in line or "zebra" in line or "animals" in line]


DISTANCE = """
    learning.validation*:
      type: SingleValidation
      frequency: 1
      network_overlay: null
      data: null
      criterion:
        type: fid
        backbone: alexnet
        weights: null
        allow_random_features: true
        names: days.txt
        target_names: nights.txt
        data: &pictures
          dataset: {name: InferImageList, image_dir: photos/*}
        target: *pictures
"""


def test_both_sets_of_a_distance(tmp_path):
    told = failure(tmp_path, text=TRAIN + DISTANCE)
    assert told[3:] == [f"days.txt: {ABSENT}", f"photos: {FOLDER}", f"nights.txt: {ABSENT}"]


def test_names_folder_and_network_of_infer(tmp_path):
    text = """
go:
  1_infer:
    __function__: mdir.stages.infer.infer
    names: names.txt
    network: {path: net.pth, runtime: null}
    output: {inference: {name: rgb, image_dir: out}}
    data: {test: {dataset: {name: ImageList, image_dir: imgs/*}}}
"""
    told = failure(tmp_path, text=text, step="1_infer")
    assert told[:2] == [f"names.txt: {ABSENT}", f"imgs: {FOLDER}"]
    assert len(told) == 3 and "net.pth" in told[2]


def test_images_and_network_of_extract(tmp_path):
    text = """
go:
  1_extract:
    __function__: mdir.stages.extract.extract
    network: {path: net.pth, runtime: null}
    images: imgs
    directory: out
"""
    told = failure(tmp_path, text=text, step="1_extract")
    assert told[0] == f"imgs: {ABSENT}" and len(told) == 2 and "net.pth" in told[1]


@pytest.mark.parametrize("name", ["CirTuples", "PregeneratedImageTuple"])
def test_a_list_and_the_folder_of_its_images(root, name):
    section = {"dataset_pkl": "own.pkl", "dataset": "own", "split": "train", "image_size": None}
    section |= {"neg_num": 0, "query_size": 1, "pool_size": 0}
    if name == "PregeneratedImageTuple":
        section = {"dataset": "own.pkl", "data_key": "x", "idx": "0"}
    with pytest.raises(DataError) as caught:
        registry.build("dataset", {"name": name, "image_dir": "ims/*", **section}, None, ())
    first, second = caught.value.messages
    assert "own.pkl" in first and second == f"{root}/ims: {FOLDER}"


def test_a_section_that_a_method_names_beside_its_own(root):
    """The images that pseudo labels are found on, and those of the source domain."""
    params = reid_params("spcl", [str(root / "a"), str(root / "b")])
    with pytest.raises(DataError) as caught:
        train(params)
    told = caught.value.messages
    assert len(told) == len({*told}) == 2
    assert f"'{root}/a/Market-1501-v15.09.15' is not available." in told[0]
    assert f"'{root}/b/Market-1501-v15.09.15' is not available." in told[1]


def test_what_two_gather_is_told_once():
    def fail(*lines):
        def call():
            raise DataError("\n".join(lines))

        return call

    with pytest.raises(DataError, match=r"^a\n  1\nb\n  1$"):
        both = lambda: gathered([fail("a", "  1"), fail("b", "  1")])  # noqa: E731
        gathered([both, fail("a", "  1"), fail("b", "  1")])
