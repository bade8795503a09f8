"""Golden: a run of the published project is loaded, and goes on, in ours."""

import math
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.utils.weight_files import load_weights
from mdir.data.loading import make_dataset
from mdir.errors import UserError
from mdir.stages.train import train
from tests.golden.golden import load_json, needs

CHECKPOINT = load_json("engine", "checkpoint/checkpoint.json", {})
PICTURES = 12


def learning_files():
    return [name for name in CHECKPOINT.get("files", {}) if name.startswith("learning_epoch_")]


@pytest.fixture(params=learning_files())
def published(request, root):
    """The parameters of a train step that continues the published run in a copy of its folder."""
    folder = root / "run" / "epochs"
    shutil.copytree(needs("engine", "checkpoint/epochs"), folder)
    folder.chmod(0o755)
    for link, target in CHECKPOINT["links"].items():
        (folder / link).symlink_to(target)
    about = CHECKPOINT["files"][request.param]
    stored = load_weights(folder / request.param)
    for section in stored["datasets"].values():
        write_pictures(root, section["dataset"])
    params = {
        "network": network_section(request.param.removeprefix("learning_")),
        "learning": {
            "type": "TrainValLearning",
            "checkpoints": {
                "directory": "run",
                "store_every": 1,
                "checkpoint_every": 1,
                "directory_epoch_regex": None,
            },
            "training": {"type": stored["training"]["type"], **about["training_params"]},
            "validation": about["validation"]["params"],
        },
        "output": {"learning": {"progress": 0}},
        "data": about["datasets"],
    }
    return params, about, folder, stored


def write_pictures(root, dataset):
    """Pictures, tuples and lists of the test's own where the published run had others."""
    names = [f"{i}" for i in range(PICTURES)]
    if "neg_num" in dataset:
        write_database(root, dataset)
        return
    for pattern in filter(None, (dataset.get("image_dir"), dataset.get("image_dir_Y"))):
        for number, name in enumerate(names):
            draw(root / pattern.replace("*", name), number)
    for domain in ("dataset_X", "dataset_Y"):
        if domain in dataset:
            path = root / dataset[domain]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(names))
    if "data_key" in dataset:
        path = root / dataset["dataset"]
        columns = pickle.loads(path.read_bytes()) if path.exists() else {}
        columns[dataset["data_key"]] = [names[i : i + 2] for i in range(6)]
        path.write_bytes(pickle.dumps(columns))


def write_database(root, dataset):
    """Pairs of four places in the layout of retrieval-SfM."""
    folder = f"data/train/{dataset['dataset']}"
    cids = [f"{i:032x}" for i in range(PICTURES)]
    for number, cid in enumerate(cids):
        images = root / (dataset.get("image_dir") or f"{folder}/ims")
        draw(Path(cid2filename(cid, str(images))), number)
    pairs = {"qidxs": list(range(8)), "pidxs": [i + 4 for i in range(8)]}
    database = {"cids": cids, "cluster": [i % 4 for i in range(PICTURES)], **pairs}
    path = root / (dataset.get("dataset_pkl") or f"{folder}/{dataset['dataset']}.pkl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"train": database, "val": database}))


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, None if path.suffix else "PNG")


@pytest.mark.parametrize(
    "dataset",
    [
        {"name": "RandomDomainsPair", "dataset_X": "x.txt", "dataset_Y": "lists/y.txt", "size": 3,
         "image_dir": "imgs/*.png"},
        {"name": "CirTuples", "dataset": "retrieval-SfM-120k", "split": "train", "image_size": 32,
         "neg_num": 1, "query_size": 4, "pool_size": 12},
        {"name": "PregeneratedImageTuple", "dataset": "t.pkl", "data_key": "val",
         "image_dir": "imgs/*.png", "idx": "0_1"},
    ],
)  # fmt: skip
def test_any_dataset_of_a_published_run_has_pictures(root, dataset):
    write_pictures(root, dataset)
    made = make_dataset({"dataset": dataset, "transforms": "pil2np | totensor"})
    if hasattr(made, "prepare_epoch"):
        made.prepare_epoch(lambda images, what: torch.eye(PICTURES)[:, : len(images)])
    assert len(made[0]) == 2


def network_section(suffix):
    """The scenario's section that made the stored networks of one epoch."""

    def content(name):
        for file in (f"{name}_{suffix}", f"{name}_frozen.pth"):
            if file in CHECKPOINT["files"]:
                return CHECKPOINT["files"][file]["content"]
        raise KeyError(name)

    def single(state):
        params = state["network_params"]
        given = {"model": params["model"], "runtime": params["runtime"]}
        return {"type": state["type"], "initialize": False, **given}

    outermost = content("net")
    if "model_state" in outermost:
        return single(outermost)
    members = {name: single(content(name)) for name in outermost["_network_names"]}
    sequence = {"sequence": ",".join(outermost["sequence"])} if "sequence" in outermost else {}
    return {"type": outermost["type"], **sequence, **members}


def test_its_file_loads_without_running_code(published):
    _, about, _, stored = published
    assert {key: list(value) for key, value in stored.items()} == about["keys"]
    assert stored["training"]["params"] == about["training_params"]
    assert stored["training"]["epoch"] == about["epoch"]
    state = stored["training"]["optimizer_state"]
    parts = {"net": state} if "param_groups" in state else {
        name: part for name, part in state.items() if name != "alternation"}  # fmt: skip
    rates = {name: [group["lr"] for group in part["param_groups"]] for name, part in parts.items()}
    assert rates == about["lr"]
    assert stored["validation"]["params"] == about["validation"]["params"]
    for rows, expected in zip(stored["events"]["data"], about["event_keys"], strict=True):
        assert {key: row["dtype"] for key, row in rows.items()} == {
            key: row["dtype"] for key, row in expected.items()
        }


def test_the_finished_run_returns_its_metrics_without_training(published):
    params, about, folder, _ = published
    before = {path.name: path.read_bytes() for path in folder.glob("*_epoch_*.pth")}
    metadata = train(params)[0]
    for epoch, losses in enumerate(about["losses"]):
        for key, values in losses.items():
            for name, numbers in values.items():
                metric = metadata["metrics"][f"{key}:{name}_avg.4"][epoch]
                assert math.isclose(metric, np.mean(numbers), rel_tol=1e-9)
    assert {path.name: path.read_bytes() for path in folder.glob("*_epoch_*.pth")} == before


def test_the_run_goes_on_and_keeps_the_published_form(published):
    params, about, folder, stored = published
    params["learning"]["training"]["epochs"] += 1
    last = params["learning"]["training"]["epochs"]
    metadata = train(params)[0]
    assert {len(values) for values in metadata["metrics"].values()} == {last}
    written = load_weights(folder / f"learning_epoch_{last:02d}.pth")
    torch.load(folder / f"learning_epoch_{last:02d}.pth", weights_only=True)
    assert {key: list(value) for key, value in written.items()} == about["keys"]
    assert written["training"]["epoch"] == about["epoch"] + 1
    assert written["training"]["optimizer_state"].keys() == stored["training"][
        "optimizer_state"].keys()  # fmt: skip
    assert not (folder / f"learning_epoch_{last - 1:02d}.pth").exists()
    for name in CHECKPOINT["links"]:
        if name.endswith("_last.pth"):
            assert (folder / name).exists(), name
    network = torch.load(folder / f"net_epoch_{last:02d}.pth", weights_only=True)
    previous = torch.load(folder / f"net_epoch_{last - 1:02d}.pth", weights_only=True)
    assert network.keys() == previous.keys()


@pytest.mark.parametrize("key", ["seed", "deterministic"])
def test_other_settings_are_refused(published, key):
    params, _, _, _ = published
    params["learning"]["training"][key] = 5 if key == "seed" else True
    with pytest.raises(UserError, match=f"learning.training.{key} is"):
        train(params)


def test_fewer_epochs_are_refused(published):
    params, _, _, _ = published
    params["learning"]["training"]["epochs"] -= 1
    with pytest.raises(UserError, match="epochs only"):
        train(params)
