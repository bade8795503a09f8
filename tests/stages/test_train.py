"""The train and validate steps on a tiny run."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir.artifacts import collecting
from mdir.data.loading import make_dataset, make_loader
from mdir.errors import UserError
from mdir.learning.compute import Runtime
from mdir.networks.factory import initialize_network
from mdir.registry import ComponentError, check_parameters
from mdir.stages.train import train
from mdir.stages.validate import validate
from tests.learning.tiny_run import CROPS, data_section, network, train_params, write_data

LOSS, VAL = "train/learning/loss:total_avg.4", "val/learning/loss:total_avg.4"

# on the versions of requirements.txt; another image library may draw other crops
PINNED = {
    LOSS: [0.566747, 0.549969, 0.541004],
    VAL: [0.332851, 0.334284, 0.356835],
}


@pytest.fixture
def data(root):
    write_data(root)
    return root


def problems(step, params):
    found = check_parameters(step.function, params)
    return {".".join(map(str, problem.path)): problem.message for problem in found}


def changed(dotted, value, params=None):
    """The tiny run's parameters with one of them changed (or removed: ``...``)."""
    params = params or train_params()
    *path, last = dotted.split(".")
    section = params
    for key in path:
        section = section[key]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return params


def test_the_loss_curve_is_pinned(data):
    metadata = train(train_params(epochs=3))[0]
    assert metadata["metrics"][LOSS] == pytest.approx(PINNED[LOSS], rel=1e-4)
    assert metadata["metrics"][VAL] == pytest.approx(PINNED[VAL], rel=1e-4)
    assert set(metadata) == {"metrics", "best_epoch", "resource_usage", "code_version"}
    json.dumps(metadata)


def test_training_equals_a_plain_loop(data):
    """The same losses as torch's own pieces put together by hand."""
    ours = train(train_params(epochs=2))[0]["metrics"]
    params = train_params(epochs=2)
    whole = initialize_network(params["network"], "cpu")
    first, last = whole["first"].model.eval(), whole["last"].model
    optimizer = torch.optim.Adam(last.parameters(), lr=0.001, betas=(0.5, 0.999))
    sections = {key: {**params["data"][key], **CROPS} for key in ("train", "val")}
    losses, scores = [], []
    for epoch in range(2):
        optimizer.param_groups[0]["lr"] = 0.001 * 0.9**epoch
        last.train()
        loader = make_loader(make_dataset(sections["train"]), sections["train"],
                             {"shuffle": True}, seed=3, epoch=epoch)  # fmt: skip
        batches = []
        for images, targets in loader:
            optimizer.zero_grad()
            loss = (last(first(images.tensor)) - targets.tensor).abs().mean()
            loss.backward()
            optimizer.step()
            batches.append(loss.item())
        losses.append(np.mean(batches))
        last.eval()
        loader = make_loader(make_dataset(sections["val"]), sections["val"], seed=3, epoch=epoch)
        with torch.no_grad():
            ((images, targets),) = loader
            scores.append((last(first(images.tensor)) - targets.tensor).abs().mean().item())
    assert ours[LOSS] == pytest.approx(losses, rel=1e-6)
    assert ours[VAL] == pytest.approx(scores, rel=1e-6)


def test_files_of_a_run(data):
    with collecting() as artifacts:
        metadata = train(train_params(epochs=3))[0]
    folder = data / "run" / "epochs"
    names = {path.name for path in folder.iterdir()}
    for name in ("net", "first", "last"):
        assert {f"{name}_best.pth", f"{name}_last.pth", f"{name}_epoch_03.pth"} <= names
        assert str(folder / f"{name}_best.pth") in artifacts.outputs
    assert {"events.jsonl", "metrics.csv", "learning_epoch_03.pth", "first_frozen.pth"} <= names
    assert not [name for name in names if "epoch_02" in name or "bestsofar" in name]
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    keys = {row["key"] for row in rows}
    assert {
        "train/learning/loss",
        "train/learning/iteration",
        "train/learning/prepare_epoch",
    } <= keys
    assert {"train/first/params", "train/last/params", "train/data/output"} <= keys
    assert {"val/learning/loss", "val/learning/iteration", "net/network_graph"} <= keys
    losses = [row["data"]["total"] for row in rows if row["key"] == "train/learning/loss"]
    means = [sum(values) / len(values) for values in losses]
    assert means == pytest.approx(metadata["metrics"][LOSS])


def test_only_the_trained_network_changes(data):
    train(train_params(epochs=1))
    folder = data / "run" / "epochs"
    train(train_params("other", epochs=0))
    before = data / "other" / "epochs"
    for name, equal in (("first", True), ("last", False)):
        ours = load_weights(folder / f"{name}_last.pth")["model_state"]["model.1.weight"]
        theirs = load_weights(before / f"{name}_notrain.pth")["model_state"]["model.1.weight"]
        assert torch.equal(ours, theirs) is equal


def test_a_finished_run_is_not_trained_again(data, monkeypatch):
    first = train(train_params())[0]
    monkeypatch.setattr("mdir.learning.train_val.run_epochs", None)
    again = train(train_params())[0]
    assert again["metrics"] == first["metrics"]
    assert again["best_epoch"] == first["best_epoch"]


def test_more_epochs_continue_a_finished_run(data):
    train(train_params(epochs=2))
    longer = train(train_params(epochs=4))[0]
    whole = train(train_params("whole", epochs=4))[0]
    assert longer["metrics"] == whole["metrics"]
    ours, theirs = data / "run" / "epochs", data / "whole" / "epochs"
    for name in ("last_last.pth", "last_best.pth"):
        ours_state = load_weights(ours / name)["model_state"]
        for key, value in load_weights(theirs / name)["model_state"].items():
            assert torch.equal(ours_state[key], value)


def test_zero_epochs_twice(data):
    for _ in range(2):
        assert train(train_params(epochs=0))[0] == {"best_epoch": None}
    assert (data / "run/epochs/last_best.pth").readlink() == Path("last_notrain.pth")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_number_of_workers_does_not_matter(data, workers):
    section = train_params(workers=workers)
    assert train(section)[0]["metrics"][LOSS] == pytest.approx(PINNED[LOSS][:2], rel=1e-4)


def test_no_seed_no_schedule(data):
    params = changed("learning.training.seed", None)
    changed("learning.training.scheduler", None, params)
    assert len(train(params)[0]["metrics"][LOSS]) == 2
    group = load_weights(data / "run/epochs/learning_epoch_02.pth")["training"]["optimizer_state"]
    assert group["param_groups"][0]["lr"] == 0.001


def test_the_rate_in_a_checkpoint_is_that_of_the_next_epoch(data):
    train(train_params())
    state = load_weights(data / "run/epochs/learning_epoch_02.pth")["training"]["optimizer_state"]
    assert state["param_groups"][0]["lr"] == pytest.approx(0.001 * 0.81)
    assert state["param_groups"][0]["initial_lr"] == 0.001


@pytest.mark.parametrize(
    ("validation", "index"),
    [(False, None), ("epoch", 1), ("train/learning/loss:total", "lowest"), ("x:y", None)],
)
def test_no_validation_or_just_a_criterion(data, validation, index):
    metadata = train(changed("learning.validation", validation))[0]
    if index is None:
        assert metadata["best_epoch"] is None
        assert not (data / "run/epochs/net_best.pth").exists()
    else:
        losses = metadata["metrics"][LOSS]
        index = losses.index(min(losses)) if index == "lowest" else index
        assert metadata["best_epoch"]["index"] == index
        assert (data / "run/epochs/net_best.pth").exists()


def test_runtime_settings_change_little(data):
    runtime = {"precision": "bf16", "channels_last": True, "threads": 1}
    metadata = train(changed("learning.training.runtime", runtime))[0]
    assert metadata["metrics"][LOSS] == pytest.approx(PINNED[LOSS][:2], rel=0.02)
    weights = load_weights(data / "run/epochs/last_last.pth")["model_state"]
    assert weights["model.1.weight"].dtype == torch.float32


def test_several_validations(data):
    single = train_params()["learning"]["validation"]
    several = {
        "type": "MultiCriterialValidation",
        "decisive_criterion": "second/learning/loss:total",
        "first": {**single, "frequency": 2},
        "second": {**single, "criterion": {"loss": "mse"}, "data": "train"},
        "never": {**single, "frequency": None},
    }
    metadata = train(changed("learning.validation", several, train_params(epochs=3)))[0]
    lengths = {name: len(values) for name, values in metadata["metrics"].items()}
    assert lengths == {
        LOSS: 3,
        "first/learning/loss:total_avg.4": 1,
        "second/learning/loss:total_avg.4": 3,
    }
    values = metadata["metrics"]["second/learning/loss:total_avg.4"]
    assert metadata["best_epoch"]["index"] == values.index(min(values))


def test_a_validation_overlay_leaves_training_alone(data):
    overlay = {"first": None, "last": {"runtime": {"wrappers": "reflectpad_divisible:4"}}}
    params = changed("learning.validation.network_overlay", overlay)
    metadata = train(params)[0]["metrics"]
    assert metadata[LOSS] == pytest.approx(PINNED[LOSS][:2], rel=1e-4)
    state = load_weights(data / "run/epochs/last_last.pth")
    assert state["network_params"]["runtime"]["wrappers"] == ""
    assert state["frozen"] is False


def test_other_settings_are_refused_before_training(data):
    train(train_params())
    with pytest.raises(UserError, match="learning.training.optimizer.lr is 0.5"):
        train(changed("learning.training.optimizer.lr", 0.5))
    with pytest.raises(UserError, match="data.train.loader.batch_size is 3"):
        train(changed("data.train.loader.batch_size", 3))
    with pytest.raises(UserError, match="learning.validation.frequency"):
        train(changed("learning.validation.frequency", 2))
    with pytest.raises(UserError, match="scenario"):
        train(changed("network.last.model.ngf", 4))
    with pytest.raises(UserError, match="epoch 2 is stored"):
        train(train_params(epochs=1))
    assert train(changed("output.learning", {"progress": 5}))


def test_a_run_takes_over_from_an_earlier_folder(data):
    def params(epochs):
        given = train_params(f"series_{epochs}", epochs)
        given["learning"]["checkpoints"]["directory_epoch_regex"] = r"(.*series_)(\d+)(/epochs)"
        return given

    train(params(2))
    taken = train(params(4))[0]
    whole = train(train_params("whole", 4))[0]
    assert taken["metrics"] == whole["metrics"]
    assert taken["best_epoch"] == whole["best_epoch"]
    assert (data / "series_4/epochs/last_best.pth").exists()
    assert (data / "series_2/epochs/last_last.pth").exists()


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("learning.training.lr", 1, "learning.training.lr"),
        ("learning.training.epochs", "many", "learning.training.epochs"),
        ("learning.training.epochs", -1, "learning.training.epochs"),
        ("learning.training.optimizer", None, "learning.training.optimizer"),
        ("learning.training.optimizer.lr", ..., "learning.training.optimizer"),
        ("learning.training.scheduler.gama", 1, "learning.training.scheduler.gama"),
        ("learning.training.runtime", {"precision": "f16"}, "learning.training.runtime.precision"),
        ("learning.training.criterion", None, "learning.training.epoch_iteration.criterion"),
        ("learning.training.criterion.loss", "l9", "learning.training.criterion.loss"),
        ("learning.training.epoch_iteration.data", "t", "learning.training.epoch_iteration.data"),
        ("learning.training.epoch_iteration.batch_average", None,
         "learning.training.epoch_iteration.batch_average"),
        ("learning.training.epoch_iteration.type", "cyclegan",
         "learning.training.epoch_iteration.type"),
        ("learning.checkpoints.directory", ..., "learning.checkpoints"),
        ("learning.checkpoints.store_every", 1.5, "learning.checkpoints.store_every"),
        ("learning.validation", "best", "learning.validation"),
        ("learning.validation.data", "test", "learning.validation.data"),
        ("learning.validation.data", None, "learning.validation.criterion"),
        ("learning.validation.frequency", ..., "learning.validation"),
        ("learning.validation.type", "MultiCriterialValidation", "learning.validation"),
        ("output.inference", {}, "output.inference"),
        ("output.learning.progres", {}, "output.learning.progres"),
        ("output.learning.progress", {"each": 1}, "output.learning.progress.each"),
        ("data.train.transforms", "pil2np | blur", "data.train.transforms"),
        ("data.train.loader.batch_size", 0, "data.train.loader.batch_size"),
        ("data.val.loader.num_workers", -1, "data.val.loader.num_workers"),
        ("data.val.dataset.idx", ..., "data.val.dataset"),
        ("network.last.model.ngf", "few", "network.last.model.ngf"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_starts(key, value, where):
    assert where in problems(train, changed(key, value))


def test_a_right_scenario_and_unused_data_pass():
    assert not problems(train, train_params())
    assert not problems(train, changed("data.test", {"dataset": {"name": "CirImageList"}}))


def test_compositions_name_networks_that_exist():
    adam = train_params()["learning"]["training"]["optimizer"]
    optimizer = {
        "composition": {"type": "alternation", "order": "a,last", "alternate_iteration": 1},
        "a": adam,
        "last": adam,
    }
    found = problems(train, changed("learning.training.optimizer", optimizer))
    assert list(found) == ["learning.training.optimizer.a"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root, params: (root / "pairs.pkl").unlink(), "pairs.pkl"),
        (lambda root, params: params["data"]["train"]["loader"].pop("batch_size"), "batch_size"),
        (lambda root, params: params["data"]["val"]["loader"].update(drop_last=True, batch_size=9),
         "no whole batch"),
    ],
)  # fmt: skip
def test_data_problems_are_told_before_training(data, spoil, message, monkeypatch):
    params = train_params()
    monkeypatch.setattr("mdir.learning.train_val.run_epochs", None)
    spoil(data, params)
    with pytest.raises((UserError, ValueError), match=message):
        train(params)


def test_validate_measures_a_stored_network(data):
    trained = train(train_params(epochs=1))[0]["metrics"]
    section = {
        "type": "SingleValidation",
        "data": "val",
        "criterion": {"loss": "l1"},
        "network_overlay": None,
        "frequency": None,
    }
    params = {
        "network": {"path": "run/epochs", "runtime": {}},
        "validation": section,
        "data": {"val": data_section("val", 0)},
    }
    assert not problems(validate, params)
    (metadata,) = validate(params)
    assert list(metadata) == ["eval"]
    assert list(metadata["eval"]) == ["val/validation/loss:total_avg.4"]
    assert len(trained[VAL]) == 1
    assert problems(validate, changed("validation.data", "x", copy.deepcopy(params)))
    wrong = changed("validation.criterion", "default", copy.deepcopy(params))
    assert list(problems(validate, wrong)) == ["validation.criterion"]


def test_a_composition_trains_members_of_a_set_apart(data):
    """The optimizer of one network; the other is frozen by a null section."""
    params = train_params(epochs=1)
    section = params["learning"]["training"]
    section["optimizer"] = {
        "composition": {"type": "alternation", "order": "last", "alternate_iteration": None},
        "last": section["optimizer"],
        "first": None,
    }
    section["scheduler"] = {"composition": {"type": "set"}, "last": section["scheduler"]}
    params["network"]["first"] = network(1)
    train(params)
    assert load_weights(data / "run/epochs/first_last.pth")["frozen"] is True
    state = load_weights(data / "run/epochs/learning_epoch_01.pth")["training"]["optimizer_state"]
    assert list(state) == ["last", "alternation"]
    assert train(params)


def test_wrong_parameters_raise_with_all_problems(data):
    params = changed("learning.training.optimizer.lr", "x")
    changed("learning.checkpoints.store_every", "y", params)
    with pytest.raises(ComponentError) as error:
        train(params)
    assert "optimizer.lr" in str(error.value)
    assert "store_every" in str(error.value)


def test_losses_of_bf16_networks_are_float32():
    seen = []

    class Loss(torch.nn.Module):
        def forward(self, outputs, *, target):
            seen.extend([outputs[0].dtype, target.dtype, (outputs[0] @ target.T).dtype])

    loss = Loss()
    runtime, device = Runtime(precision="bf16"), torch.device("cpu")
    runtime.keep_float32(loss, device)
    with runtime.autocast(device):
        output = torch.ones(2, 2) @ torch.ones(2, 2)
        assert output.dtype == torch.bfloat16
        loss([output], target=torch.ones(2, 2))
    assert seen == [torch.float32] * 3
