"""Step extract: shards of descriptors, made once, gone on with after a stop."""

import json
import os

import numpy as np
import pytest
import torch

from cirtorch.datasets.imagefiles import images_of
from cirtorch.search.exact import Search
from cirtorch.search.shards import open_shards
from mdir import artifacts
from mdir.errors import UserError
from mdir.networks.files import save_network
from mdir.registry import ComponentError
from mdir.stages import extract as stage
from tests.cirtorch.world import draw
from tests.sections import DATA, build, cirnet, single

NAMES = sorted(f"{'sub/' * (i % 2)}{i}.jpg" for i in range(7))
NETWORK = single(
    cirnet("squeezenet1_1"),
    wrappers={"train": "", "eval": {"0_cirmultiscale": {"scales": [1, 0.75]}}},
    data=DATA,
)


@pytest.fixture
def params(root):
    for i, name in enumerate(NAMES):
        draw(root / "images" / name, i)
    torch.manual_seed(0)
    save_network(build(NETWORK).state_dict(), root / "net.pth")
    return {
        "network": {"path": "net.pth", "runtime": None},
        "images": "images",
        "directory": "vectors",
        "image_size": 64,
        "shard_size": 3,
        "loader": {"num_workers": 0},
    }


def test_shards_hold_the_descriptors_in_order(root, params):
    with artifacts.collecting() as told:
        (metadata,) = stage.extract(params)
    expected = {"images": 7, "dimensions": 512, "shards": 3, "shards_made": 3, "unreadable": 0}
    assert {key: metadata[key] for key in expected} == expected
    assert told.inputs[0] == str(root / "images") and told.outputs == [str(root / "vectors")]
    shards = open_shards(root / "vectors")
    rows = shards.rows
    assert shards.names == NAMES and rows.shape == (7, 512)
    assert shards.images == str(root / "images")
    whole = {**params, "directory": "whole", "shard_size": 100, "loader": {"batch_size": 3}}
    whole["loader"]["num_workers"] = 0
    stage.extract(whole)
    np.testing.assert_allclose(open_shards(root / "whole").rows[0:7], rows[0:7], atol=1e-5)
    scores, found = Search(rows).search(rows[0:7], 1)
    assert found[:, 0].tolist() == list(range(7))
    np.testing.assert_allclose(scores, 1, atol=1e-4)


def test_shards_of_images_that_changed_go_and_nothing_else_does(root, params):
    stage.extract(params)
    draw(root / "images" / NAMES[0], 99)
    others = [root / "vectors/found/rankings.json", root / "vectors/notes.txt"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    before = open_shards(root / "vectors").rows[0:7]
    told = {"made": [str(root / "vectors")], "changed": ["input changed: images"]}
    with artifacts.collecting(**told):
        (metadata,) = stage.extract({**params, "shard_size": 4})
    assert metadata["shards_made"] == 2 and [path.read_text() for path in others] == ["mine"] * 2
    assert not (root / "vectors/shard-000002.npy").exists()
    after = open_shards(root / "vectors").rows[0:7]
    assert (abs(after - before).max(axis=1) > 1e-3).tolist() == [True] + [False] * 6


def test_a_list_that_is_replaced_while_it_is_read_is_not_taken_for_known(root, params, monkeypatch):
    listed = root / "list.txt"
    listed.write_text(f"{root}/images/{NAMES[0]}\n")

    def read(source):
        found = images_of(source)
        listed.write_text(f"{root}/images/{NAMES[1]}\n")
        return found

    monkeypatch.setattr(stage, "images_of", read)
    with artifacts.collecting() as told:
        stage.extract({**params, "images": "list.txt"})
    assert told.fingerprints()[str(listed)]["sha256"] is None


def test_a_stopped_run_goes_on(root, params, monkeypatch):
    extracted = []

    def watched(model, dataset, loader, what):
        extracted.append(list(dataset.names))
        if len(extracted) == 3:
            raise KeyboardInterrupt
        return original(model, dataset, loader, what)

    original = stage.extract_together
    monkeypatch.setattr(stage, "extract_together", watched)
    with pytest.raises(KeyboardInterrupt):
        stage.extract(params)
    assert not (root / "vectors" / "shards.json").exists()
    os.unlink(root / "vectors" / "shard-000001.json")
    (metadata,) = stage.extract(params)
    assert extracted[3:] == [NAMES[3:6], NAMES[6:]] and metadata["shards_made"] == 2
    assert open_shards(root / "vectors").names == NAMES
    assert stage.extract(params)[0]["shards_made"] == 0


def test_unreadable_images_are_left_out_and_listed(root, params, capsys):
    for name in NAMES[1:6]:
        (root / "images" / name).write_bytes(b"no image")
    (metadata,) = stage.extract(params)
    assert metadata["images"] == 2 and metadata["unreadable"] == 5 and metadata["shards"] == 2
    shards = open_shards(root / "vectors")
    assert shards.names == [NAMES[0], NAMES[6]] and shards.rows.shape == (2, 512)
    listed = json.loads((root / "vectors" / "shard-000001.json").read_text())
    assert listed == {"names": [], "unreadable": NAMES[3:6]}
    assert NAMES[1] in capsys.readouterr().err


def test_other_settings_want_another_folder(params):
    stage.extract(params)
    with pytest.raises(UserError, match="another network, other images or other settings"):
        stage.extract({**params, "image_size": 50})


def test_mistakes_are_told(root, params):
    with pytest.raises(ValueError, match="nowhere"):
        stage.extract({**params, "images": "nowhere"})
    with pytest.raises(UserError, match="shard_size"):
        stage.extract({**params, "shard_size": 0})
    with pytest.raises(ComponentError, match="images"):
        stage.extract({key: value for key, value in params.items() if key != "images"})
    for name in NAMES:
        (root / "images" / name).write_bytes(b"")
    with pytest.raises(UserError, match="none of 7"):
        stage.extract(params)
