"""The command under torchrun: the same results as alone, one writer, no waiting for the dead."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from cirtorch.datasets.datahelpers import cid2filename
from tests.learning.tiny_run import train_params
from tests.scenario.command import COMMAND, install
from tests.stages.test_extract import NETWORK

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
DATABASE = {"dataset": "own", "image_size": 48, "dataset_pkl": "own.pkl", "image_dir": "ims"}
FAIL = """

def fail_in_one(params, data=()):
    import torch
    from mdir import distributed

    with distributed.together():
        distributed.barrier()
        if distributed.rank() == 1:
            raise UserError("the disk of this process is full")
        distributed.sum_all([torch.ones(1)])


fail_in_one.in_every_process = True
"""


def performed(root, target, command=TORCHRUN, **changed):
    """The result of the command; ``changed`` are its overlays, section.key=value."""
    site = install(root / "site")
    (site / "tiny/steps.py").write_text((site / "tiny/steps.py").read_text() + FAIL)
    info = site / "tiny-1.0.dist-info/entry_points.txt"
    entry = "[mdir.steps]\ntiny.fail_in_one = tiny.steps:fail_in_one\n"
    info.write_text(info.read_text().replace("[mdir.steps]\n", entry))
    environ = {**os.environ, "CIRTORCH_ROOT": str(root), "OMP_NUM_THREADS": "1"}
    environ["PYTHONPATH"] = str(site)
    words = [target, "s.yml", *(f"{key}={value}" for key, value in changed.items())]
    return subprocess.run(
        [*command, COMMAND[-1], *words], cwd=root, env=environ, text=True, capture_output=True,
        check=False,
    )  # fmt: skip


def tuples(directory, epochs):
    """Fine-tuning on mined tuples with diverse anchors."""
    params = train_params(directory, epochs=epochs)
    params["network"] = {**NETWORK, "initialize": {"weights": "he_normal", "seed": 1}}
    params["network"]["runtime"] = {
        "wrappers": {"train": "cirfaketuplebatch", "eval": "cirfaketuplebatch"},
        "data": NETWORK["runtime"]["data"],
    }
    training = params["learning"]["training"]
    training["criterion"] = {"loss": "contrastive", "margin": 0.7}
    training["optimizer"].update(lr=1e-5)
    training["epoch_iteration"].update(batch_average=False, fakebatch=True)
    params["learning"]["validation"] = False
    sizes = {"neg_num": 2, "query_size": 5, "qpool_size": 7, "pool_size": 12}
    dataset = {"name": "CirDiverseAnchors", "split": "train", **DATABASE, **sizes}
    dataset |= {"similar_exclude": 0.2, "similar_include": 0.8}
    loader = {"batch_size": 3, "num_workers": 0, "drop_last": False}
    params["data"] = {"train": {"dataset": dataset, "loader": loader}}
    return {"__function__": "mdir.stages.train.train", **params}


@pytest.fixture
def world(root):
    """Twelve images of four places, their pairs, and a scenario."""
    rng = np.random.default_rng(1)
    cids = [f"{i:032x}" for i in range(12)]
    for i, cid in enumerate(cids):
        path = root / cid2filename(cid, "ims")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = 60 * np.eye(4)[i % 4][:3] + 60 + rng.integers(0, 60, (48, 40 + 8 * (i % 2), 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path, "png")
        (root / "named").mkdir(exist_ok=True)
        shutil.copy(path, root / f"named/{i}.png")
    pairs = {"qidxs": list(range(8)), "pidxs": [i + 4 for i in range(8)]}
    content = {"cids": cids, "cluster": [i % 4 for i in range(12)], **pairs}
    (root / "own.pkl").write_bytes(pickle.dumps({"train": content, "val": content}))
    (root / "s.yml").write_text(
        yaml.safe_dump(
            {
                "go": {"1_train": tuples("run", 2), "2_extract": extraction()},
                "fails": {"1_step": {"__function__": "tiny.fail_in_one"}},
            }
        )
    )
    return root


def extraction():
    section = {"path": "run/epochs/net_last.pth", "runtime": {"wrappers": ""}}
    place = {"images": "named", "directory": "vectors", "image_size": 48, "shard_size": 5}
    return {"__function__": "mdir.stages.extract.extract", "network": section, **place}


def results(root):
    """Losses by epoch and step, what was mined, metadata and descriptors."""
    lines = (root / "run/epochs/events.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    losses = [row["data"] for row in rows if row["dtype"] == "scalar/loss"]
    shards = sorted((root / "vectors").glob("*.npy"))
    return losses, [np.load(path) for path in shards]


def assert_close(ours, theirs):
    if isinstance(ours, (dict, list, tuple)):
        assert len(ours) == len(theirs)
        pairs = zip(ours.values(), theirs.values(), strict=True) if isinstance(ours, dict) else (
            zip(ours, theirs, strict=True)
        )  # fmt: skip
        for pair in pairs:
            assert_close(*pair)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_same_run_resumed(world):
    alone = performed(world, "go", [sys.executable])
    assert alone.returncode == 0, alone.stderr
    expected = results(world)
    for name in ("run", "vectors", "journal"):
        (world / name).rename(world / f"alone-{name}")
    first = performed(world, "go", **{"go.1_train.learning.training.epochs": 1})
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("2 ran, 0 skipped") == 1
    (world / "vectors").rename(world / "after-one-epoch")
    second = performed(world, "go")
    assert second.returncode == 0, second.stderr
    assert "goes on after epoch 1 of 2" in second.stderr
    assert_close(results(world), expected)
    third = performed(world, "go")
    assert "0 ran, 2 skipped" in third.stdout


def test_one_process_fails(world):
    failed = performed(world, "fails")
    assert failed.returncode == 1
    messages = [line for line in failed.stderr.splitlines() if line.startswith("error:")]
    assert messages == ["error: step 1_step failed: the disk of this process is full"]
