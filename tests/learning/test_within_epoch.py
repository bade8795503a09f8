"""A run that is stopped in the middle of epochs ends as one that never was, whatever it learns."""

import json
import random
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import yaml

from benchmarks.generators import ADAM, MEMBERS, criterion_section, network_section
from cirtorch.utils.weight_files import load_weights
from mdir.errors import UserError
from mdir.learning.train_val import TrainValLearning
from mdir.registry import KINDS, names
from mdir.stages.train import train
from tests.learning.parallel.launching import launch
from tests.learning.parallel.test_distributed import tuples, world  # noqa: F401
from tests.learning.test_killed import assert_same
from tests.learning.tiny_run import train_params, write_data
from tests.methods.contrastive import contrastive_run, test_ossco
from tests.methods.test_contract import GALLERY, IMAGES, NAMES, WatchingGallery, two_sections
from tests.methods.test_pseudo_labels import given  # noqa: F401
from tests.scenario.command import COMMAND, run_here
from tests.stages.test_train_gan import data, params  # noqa: F401


class Stopped(Exception):
    """Somebody has ended the run."""


def generators(name):
    """A published method on the pictures of ``data``, its networks a few channels wide."""
    section = params()
    section["learning"]["validation"] = False
    members = MEMBERS[name]
    networks = {member: network_section(member, "instance", 2, 7) for member in members}
    section["network"] = {"type": "NetworkSet", **networks}
    active = [member for member in members if member != "detector_frozen"]
    composition = {"type": "alternation", "order": ",".join(active), "alternate_iteration": 1}
    training = section["learning"]["training"]
    training["criterion"] = criterion_section(name, 16)
    training["optimizer"] = {"composition": composition, **dict.fromkeys(active, ADAM)}
    training["scheduler"] = None
    training["epoch_iteration"] = {"type": name, "data": "train", "criterion": "default"}
    if name == "cyclegan":
        training["epoch_iteration"]["pool_size"] = 2
    return section


def loaders(section):
    return [part["loader"] for part in section["data"].values() if part.get("loader")]


def performed(section, inputs=(), stop=None, minutes=0.0, workers=0, seed=0):
    """Train, until so many steps are done if need be."""
    section["learning"]["checkpoints"]["every_minutes"] = minutes
    for loader in loaders(section):
        loader["num_workers"] = workers
    for module in (random, np.random):
        module.seed(seed)
    torch.manual_seed(seed)
    original, left = TrainValLearning.step_done, [stop]

    def step_done(self, epoch, position):
        original(self, epoch, position)
        if left[0] is not None:
            left[0] -= 1
            if left[0] == 0:
                raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainValLearning, "step_done", step_done)
        return train(section, *inputs)


def outcome(folder):
    """Files with networks and states, and what was logged, without times."""
    states = {path.name: load_weights(path) for path in sorted(folder.glob("*.pth"))}
    for name in states:
        if name.startswith("learning_"):
            states[name] = states[name]["training"] | {"params": None}
    rows = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    logged = [
        (row["epoch"], row["key"], row["relative_iteration"], row["data"])
        for row in rows
        if row["dtype"] in ("scalar/loss", "scalar/score", "weight/param", "blob")
    ]
    return [states, [repr(row) for row in logged], sorted(p.name for p in folder.glob("blobs/*"))]


def assert_goes_on(make, root, inputs=(), stops=(2, 3)):
    """Stopped after so many steps, and again; the workers are other ones each time."""
    performed(make(), inputs, minutes=None, workers=1)
    (root / "run").rename(root / "whole")
    for number, stop in enumerate(stops):
        with pytest.raises(Stopped):
            performed(make(), inputs, stop, workers=2 * (number % 2))
        assert (root / "run/epochs/midepoch.pth").exists()
    performed(make(), inputs, seed=1)
    assert_same(outcome(root / "run/epochs"), outcome(root / "whole/epochs"))


@pytest.mark.parametrize("seed", [3, None])
def test_supervised(root, seed, capfd):
    write_data(root)

    def make():
        section = train_params()
        section["learning"]["training"]["seed"] = seed
        section["output"]["learning"] = {"progress": 1, "tensorboard": {}}
        return section

    assert_goes_on(make, root, stops=(2, 2))
    told = capfd.readouterr().err
    assert "goes on after 2 iterations of epoch 1 of 2" in told
    assert "goes on after 1 iterations of epoch 2 of 2" in told
    means = [
        line.partition(", (")[0] for line in told.splitlines() if "Train [02][003/003]" in line
    ]
    assert len(means) == 2 and means[0] == means[1]


@pytest.mark.parametrize("seed", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_mined_tuples(world, seed):  # noqa: F811
    def make():
        section = tuples("run", 2)
        del section["__function__"]
        section["learning"]["training"]["seed"] = seed
        section["data"]["train"]["loader"]["batch_size"] = 2
        return section

    assert_goes_on(make, world, stops=(1, 3))


@pytest.mark.parametrize("name", ["cyclegan", "cut", "hedgan"])
def test_translation(data, root, name):  # noqa: F811
    assert_goes_on(partial(generators, name), root)


def test_two_sections(data, root):  # noqa: F811
    assert_goes_on(two_sections, root, NAMES, stops=(1, 2))


@pytest.mark.parametrize("name", contrastive_run.METHODS)
def test_views(root, name):
    contrastive_run.write_domains(root)
    assert_goes_on(partial(contrastive_run.params, name, 2), root, stops=(1, 3))


domains = test_ossco.domains


def test_rounds(domains, root):
    """Both phases, and both kinds of change between them."""
    assert_goes_on(partial(test_ossco.scenario, 6), root, stops=(1, 2, 2, 2, 1))


@pytest.mark.parametrize("run", ["usl", "uda", "clusters"])
def test_pseudo_labels(given, root, run):  # noqa: F811
    assert_goes_on(partial(given, run, epochs=2, iterations=3), root, stops=(2, 2))


def test_two_processes(world):  # noqa: F811
    """Fakebatch with batch statistics of its own in each process until an epoch ends."""
    write_data(world)

    def make():
        section = train_params(epochs=1)
        section["learning"]["training"]["epoch_iteration"]["fakebatch"] = True
        return section

    def stopped(_):
        with pytest.raises(Stopped):
            performed(make(), stop=2)

    assert launch(lambda _: performed(make(), minutes=None)) == [0, 0]
    (world / "run").rename(world / "whole")
    assert launch(stopped) == [0, 0]
    assert launch(lambda _: performed(make())) == [0, 0]
    assert_same(outcome(world / "run/epochs"), outcome(world / "whole/epochs"))


def test_a_method_that_keeps_no_preparation_goes_on_at_the_epoch(world, monkeypatch, capfd):  # noqa: F811
    names("method")  # the others are registered first
    monkeypatch.setitem(KINDS["method"].components, "watching", WatchingGallery)

    def make():
        section = tuples("run", 2)
        del section["__function__"]
        section["data"]["gallery"] = GALLERY
        section["learning"]["training"]["epoch_iteration"] = {
            "type": "watching", "data": "train", "criterion": "default", "gallery": "gallery",
        }  # fmt: skip
        return section

    with pytest.raises(Stopped):
        performed(make(), [[IMAGES]], stop=2)
    assert not (world / "run/epochs/midepoch.pth").exists()
    assert capfd.readouterr().err.count("WatchingGallery does not say how to keep") == 1


def test_the_command_goes_on_with_other_workers(root):
    """Killed by the system in its second epoch; settings of the loader are not the run's."""
    write_data(root)
    section = {"__function__": "mdir.stages.train.train", **train_params(epochs=3, workers=2)}
    section["learning"]["training"]["epoch_iterations"] = 20
    section["output"] = {"learning": {"progress": 1}}
    (root / "s.yml").write_text(yaml.safe_dump({"go": {"1_train": section}}))
    checkpoints, loader = "go.1_train.learning.checkpoints", "go.1_train.data.train.loader"

    def ended(*words):
        done = run_here("go", "s.yml", *words, folder=root, root=root)
        assert done.returncode == 0, done.stderr
        return done.stderr

    whole = ended(f"{checkpoints}.directory=whole", f"{loader}.num_workers=0")
    assert "Train [03][020/020]" in whole
    words = [sys.executable, COMMAND[-1], "go", "s.yml", f"{checkpoints}.every_minutes=0"]
    killed = subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, text=True)
    assert any("Train [02][003/020]" in line for line in killed.stderr)
    killed.kill()
    killed.wait()  # not for its workers, which miss it after seconds
    killed.stderr.close()
    options = ("num_workers=1", "prefetch_factor=3", "pin_memory=false")
    told = ended(*(f"{loader}.{option}" for option in options))
    assert re.search(r"goes on after \d+ iterations of epoch 2 of 3", told)
    assert_same(outcome(root / "run/epochs"), outcome(root / "whole/epochs"))


def test_a_damaged_state_is_told_and_left(root, capfd):
    write_data(root)
    performed(train_params(directory="whole", epochs=3), minutes=None)
    with pytest.raises(Stopped):
        performed(train_params(epochs=3), stop=8)
    file = root / "run/epochs/midepoch.pth"
    file.write_bytes(file.read_bytes()[:1000])
    performed(train_params(epochs=3))
    told = capfd.readouterr().err
    assert f"{file}: is damaged or cut short" in told and "goes on after epoch 2 of 3" in told
    assert_same(outcome(root / "run/epochs"), outcome(root / "whole/epochs"))


def test_a_state_beyond_the_epochs_asked_for_is_refused(root):
    write_data(root)
    with pytest.raises(Stopped):
        performed(train_params(epochs=3), stop=7)
    with pytest.raises(UserError, match="epoch 2 is stored, but the scenario asks for 1 epochs"):
        performed(train_params(epochs=1))


@pytest.mark.parametrize("minutes", [15, None])
def test_short_runs_keep_no_state(root, minutes):
    write_data(root)
    with pytest.raises(Stopped):
        performed(train_params(), stop=2, minutes=minutes)
    assert not (root / "run/epochs/midepoch.pth").exists()
