"""Every file that a step reads counts: what changes behind an unchanged list is noticed."""

import json
import os
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from mdir import registry
from mdir.artifacts import collecting
from mdir.data.datasets.images import CirImageList
from mdir.learning.checkpoints.lock import claimed
from tests.learning.tiny_run import train_params, write_data
from tests.scenario.command import run, run_here
from tests.scenario.test_journal import fates
from tests.sections import DATA, cirnet, generator, single

NETWORK = single(
    cirnet("squeezenet1_1"), {"weights": "he_normal", "seed": 1}, wrappers="", data=DATA
)
VALIDATE = {
    "__function__": "mdir.stages.validate.validate",
    "network": NETWORK,
    "validation": {
        "type": "SingleValidation",
        "data": None,
        "network_overlay": None,
        "frequency": None,
        "criterion": {
            "type": "cirdatasetap",
            "image_size": 64,
            "dataset": {"name": "own", "queries": "q.tsv", "db": "db.tsv", "imgdir": "imgs/*"},
        },
    },
    "data": {},
}
INFER = {
    "__function__": "mdir.stages.infer.infer",
    "names": "names.txt",
    "network": generator(),
    "output": {"inference": {"name": "rgb", "image_dir": "out/*.png!", "append": True}},
    "data": {"test": {"dataset": {"name": "ImageList", "image_dir": "imgs/*"}, "loader": {}}},
}
EXTRACT = {
    "__function__": "mdir.stages.extract.extract",
    "network": NETWORK,
    "images": "imgs",
    "directory": "shards",
    "image_size": 64,
}


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def scenario(folder, **steps):
    (folder / "s.yml").write_text(yaml.safe_dump({"go": steps}, sort_keys=False))


def perform(folder, *args, how=run_here):
    result = how("go", "s.yml", *args, folder=folder)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture
def root(tmp_path):
    """Two places seen twice each (a0, a1, b0, b1), with the lists that name them."""
    root = tmp_path / "root"
    for number, name in enumerate(("a0", "a1", "b0", "b1")):
        write_image(root / f"imgs/{name}.png", number // 2)
    (root / "db.tsv").write_text("identifier\na0.png\nb0.png\n")
    rows = [f'{name}1.png\t\t["{name}0.png"]\t' for name in "ab"]
    (root / "q.tsv").write_text("\n".join(["query\tbbx\tok\tjunk", *rows]) + "\n")
    (root / "names.txt").write_text("a0.png\nb0.png\n")
    (root / "x.txt").write_text("a0.png\na1.png\n")
    return root


def test_an_evaluation_runs_again_when_its_images_are_replaced(root):
    folder = root.parent
    scenario(folder, **{"1_validate": VALIDATE})
    assert "own: mAP 100.00" in perform(folder).stdout
    assert fates(perform(folder)) == {"1_validate": "skipped: unchanged"}
    shutil.copy(root / "imgs/a0.png", root / "keep.png")
    shutil.copy(root / "imgs/b0.png", root / "imgs/a0.png")
    shutil.move(root / "keep.png", root / "imgs/b0.png")
    again = perform(folder, how=run)
    assert fates(again) == {"1_validate": f"runs again: input changed: {root}/imgs/a0.png"}
    assert "own: mAP 25.00" in again.stdout
    assert fates(perform(folder)) == {"1_validate": "skipped: unchanged"}


def test_same_size_and_time_do_not_hide_another_image(root):
    folder = root.parent
    Image.open(root / "imgs/a0.png").save(root / "imgs/a0.bmp")
    Image.open(root / "imgs/b0.png").save(root / "imgs/b0.bmp")
    for name in ("db.tsv", "q.tsv"):
        text = (root / name).read_text()
        (root / name).write_text(text.replace("0.png", "0.bmp"))
    scenario(folder, **{"1_validate": VALIDATE})
    perform(folder)
    status = os.stat(root / "imgs/a0.bmp")
    shutil.copy(root / "imgs/b0.bmp", root / "imgs/a0.bmp")
    os.utime(root / "imgs/a0.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fates(perform(folder)) == {
        "1_validate": f"runs again: input changed: {root}/imgs/a0.bmp"
    }


def test_images_that_were_only_touched_are_the_same(root):
    folder = root.parent
    scenario(folder, **{"1_validate": VALIDATE, "2_infer": INFER, "3_extract": EXTRACT})
    perform(folder)
    for path in (root / "imgs").iterdir():
        os.utime(path, (1, 1))
    assert set(fates(perform(folder)).values()) == {"skipped: unchanged"}


def test_translations_and_shards_of_other_images_are_made_anew(root):
    folder = root.parent
    scenario(folder, **{"1_infer": INFER, "2_extract": EXTRACT})
    perform(folder)
    before = [(root / name).read_bytes() for name in ("out/a0.png", "shards/shard-000000.npy")]
    write_image(root / "imgs/a0.png", 9)
    changed = f"runs again: input changed: {root}/imgs/a0.png"
    assert fates(perform(folder)) == {"1_infer": changed, "2_extract": changed}
    after = [(root / name).read_bytes() for name in ("out/a0.png", "shards/shard-000000.npy")]
    shutil.rmtree(root / "journal")
    shutil.rmtree(root / "out")
    shutil.rmtree(root / "shards")
    perform(folder)
    fresh = [(root / name).read_bytes() for name in ("out/a0.png", "shards/shard-000000.npy")]
    assert after == fresh and all(a != b for a, b in zip(after, before, strict=True))


def test_a_stopped_run_does_not_go_on_with_what_was_made_of_other_images(root):
    folder = root.parent
    scenario(folder, **{"1_infer": INFER})
    perform(folder)
    made = (root / "out/a0.png").read_bytes()
    write_image(root / "imgs/a0.png", 9)
    (root / "imgs/b0.png").write_text("no image")
    assert run_here("go", "s.yml", folder=folder).returncode == 1
    write_image(root / "imgs/b0.png", 1)
    perform(folder)
    assert (root / "out/a0.png").read_bytes() != made


def test_shards_of_a_stopped_first_run_are_made_anew_of_other_images(root):
    folder, shard = root.parent, root / "shards/shard-000000.npy"
    scenario(folder, **{"1_extract": {**EXTRACT, "shard_size": 2}})
    (root / "shards/shard-000001.npy").mkdir(parents=True)
    assert run_here("go", "s.yml", folder=folder).returncode == 1
    stopped = shard.read_bytes()
    (root / "shards/shard-000001.npy").rmdir()
    write_image(root / "imgs/a0.png", 9)
    perform(folder)
    assert shard.read_bytes() != stopped


def test_a_run_that_ends_before_it_begins_anew_forgets_no_replaced_image(root):
    folder = root.parent
    shutil.rmtree(root / "imgs")
    write_data(root)
    train = {"__function__": "mdir.stages.train.train", **train_params(epochs=1)}
    scenario(folder, **{"1_train": train})
    perform(folder)
    write_image(root / "imgs/3.png", 5)
    with claimed(str(root / "run")):
        assert run("go", "s.yml", folder=folder).returncode == 1
    assert "training begins anew" in perform(folder).stderr


def test_a_training_begins_anew_when_its_images_are_replaced(root):
    folder = root.parent
    shutil.rmtree(root / "imgs")
    write_data(root)
    train = {"__function__": "mdir.stages.train.train", **train_params(epochs=1)}
    scenario(folder, **{"1_train": train})
    perform(folder)
    assert fates(perform(folder)) == {"1_train": "skipped: unchanged"}
    write_image(root / "imgs/3.png", 5)
    again = perform(folder)
    assert fates(again) == {"1_train": f"runs again: input changed: {root}/imgs/3.png"}
    assert "training begins anew" in again.stderr


def test_a_set_that_an_earlier_step_draws_anew_counts(tmp_path):
    draw = {
        "__function__": "mdir.stages.toy_world.toy_world",
        "directory": "city",
        "image_size": 64,
        **dict.fromkeys(("train_places", "val_places", "test_places"), 2),
        **dict.fromkeys(("day_views", "night_views"), 2),
        "pairs": 4,
    }
    images = "city/data/cityscapes/train/clear"
    check = {
        "__function__": "mdir.stages.pairs.check_pairs",
        "image_dir": "city/data/cityscapes",
        "layout": "split/domain",
    }
    extract = {**EXTRACT, "images": images}
    scenario(tmp_path, **{"1_draw": draw, "2_extract": extract, "3_check": check})
    perform(tmp_path)
    forced = fates(perform(tmp_path, "--only", "1_draw"))
    assert forced == {"1_draw": "runs again: --only"}
    assert set(fates(perform(tmp_path)).values()) == {"skipped: unchanged"}
    again = fates(perform(tmp_path, "go.1_draw.seed=5"))
    changed = f"runs again: input changed: {tmp_path}/root/city/data/cityscapes/train/clear/"
    assert again["2_extract"].startswith(changed) and again["3_check"].startswith(changed)


def test_the_lists_of_generators_tell_their_images(root, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(root))
    section = {"dataset_X": "x.txt", "dataset_Y": "imgs", "image_dir": "imgs/*", "size": None}
    with collecting() as told:
        registry.make("dataset", {"name": "RandomDomainsPair", **section}, None, ())
    assert told.inputs == [f"{root}/x.txt", f"{root}/imgs"]
    names = ("a0", "a1", "b0", "b1")
    assert sorted(told.files[f"{root}/imgs"]) == [f"{root}/imgs/{name}.png" for name in names]


def test_crops_made_beforehand_count_as_their_images_do(root, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(root))
    columns = (["a0.png", "b0.png"], [[0, 1, 2, 3], None])
    with collecting() as told:
        CirImageList(None, columns, image_dir="imgs/*", image_size=None, load_images_with_bbx=True)
    names = ("a0.png", "b0.png", "a0.0_1_2_3.png")
    assert list(told.files[f"{root}/imgs"]) == [f"{root}/imgs/{name}" for name in names]


def test_every_file_of_a_large_folder_counts(tmp_path):
    many = tmp_path / "root/many"
    many.mkdir(parents=True)
    for number in range(2500):
        (many / f"{number:04d}.txt").write_text("x")
    again = {"__function__": "tiny.again", "source": "many", "path": "made/b.txt"}
    scenario(tmp_path, **{"1_read": again})
    perform(tmp_path, how=run)
    assert fates(perform(tmp_path, how=run)) == {"1_read": "skipped: unchanged"}
    (many / "2499.txt").write_text("y")
    changed = f"runs again: input changed: {many}/2499.txt"
    assert fates(perform(tmp_path, how=run)) == {"1_read": changed}
    (many / "2500.txt").write_text("y")
    assert fates(perform(tmp_path, how=run)) == {
        "1_read": f"runs again: input new file: {many}/2500.txt"
    }


def test_a_record_of_an_older_version_does_not_spare_its_step(root):
    folder = root.parent
    scenario(folder, **{"1_validate": VALIDATE})
    perform(folder)
    place = root / "journal/s/go/1_validate.json"
    record = json.loads(place.read_text())
    list_file = {"kind": "file", "size": 1, "time": 2, "sha256": "0"}
    many = {"kind": "folder", "files": {"a0.png": [1, 2]}}
    record |= {"format": 1, "inputs": {f"{root}/q.tsv": list_file, f"{root}/imgs": many}}
    place.write_text(json.dumps(record))
    again = perform(folder)
    assert again.stderr == ""
    assert fates(again) == {
        "1_validate": "runs again: an older version, which kept no images in mind, recorded it"
    }
    assert fates(perform(folder)) == {"1_validate": "skipped: unchanged"}


def test_a_copied_root_is_asked_about_its_own_files(root, tmp_path_factory):
    scenario(root.parent, **{"1_validate": VALIDATE, "2_infer": INFER})
    perform(root.parent)
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(root.parent, folder, dirs_exist_ok=True)
    result = perform(folder)
    assert fates(result) == dict.fromkeys(("1_validate", "2_infer"), "skipped: unchanged")
    assert "2_infer: root/out" in result.stdout
    (folder / "root/out/b0.png").unlink()
    write_image(folder / "root/imgs/a0.png", 7)
    assert fates(perform(folder)) == {
        "1_validate": f"runs again: input changed: {folder}/root/imgs/a0.png",
        "2_infer": f"runs again: input changed: {folder}/root/imgs/a0.png",
    }
    assert (folder / "root/out/b0.png").exists()
    assert fates(perform(root.parent))["1_validate"] == "skipped: unchanged"
