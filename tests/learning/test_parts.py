"""The parts that a training is made of: devices and speed, checks, processors, what is restored."""

import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from mdir import distributed
from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.learning import training
from mdir.learning.compute import Runtime, default_device, leaves
from mdir.learning.train_val import TrainValLearning, check_processors, make_processors, tell_paths
from mdir.learning.training import make_criterion, require_batches
from mdir.networks.architectures.resnet_generator import ResnetGenerator
from mdir.networks.base import models_of
from mdir.registry import Section, check
from tests.learning.tiny_run import train_params, write_data


def network(model=None, **members):
    return SimpleNamespace(model=model, members=members)


@pytest.mark.parametrize(
    ("gpus", "processes", "rank", "device"),
    [
        (False, 1, None, "cpu"),
        (False, 2, "1", "cpu"),
        (True, 1, "1", "cuda"),
        (True, 2, "1", "cuda:1"),
        (True, 2, None, "cuda:0"),
    ],
)
def test_devices(monkeypatch, gpus, processes, rank, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setattr(distributed, "size", lambda: processes)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert str(default_device()) == device


def test_networks_inside_by_name_and_in_order():
    one, other, third = (network(name) for name in "abc")
    whole = network(first=one, pair=network(second=other, third=third))
    assert models_of(whole) == ["a", "b", "c"]
    assert leaves(whole) == {"first": one, "second": other, "third": third}
    assert models_of(one) == ["a"]
    assert leaves(one) == {"net": one} and leaves(one, "x") == {"x": one}


def test_settings_of_speed(monkeypatch):
    threads, compiled = [], []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    layers = [nn.Conv2d(3, 4, 3) for _ in range(2)]
    whole = network(a=network(layers[0]), b=network(layers[1]))

    def is_last(layer):
        return layer.weight.is_contiguous(memory_format=torch.channels_last)

    Runtime().prepare(whole)
    assert (threads, compiled, is_last(layers[0])) == ([], [], False)
    Runtime(channels_last=True, compile=True, threads=3).prepare(whole)
    assert (threads, compiled) == ([3], layers)
    assert is_last(layers[0]) and is_last(layers[1])


def test_blocks_that_repeat_are_compiled_once(monkeypatch):
    compile = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile(self, backend="eager"))
    counters.clear()
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = ResnetGenerator(
        input_nc=3, output_nc=3, ngf=2, n_blocks=3, norm_layer="instance"
    ).requires_grad_(False)
    image = torch.rand(1, 3, 16, 16)
    usual = model(image)
    Runtime(compile=True).prepare(network(a=network(model)))
    torch.testing.assert_close(model(image), usual)
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]


def test_a_loss_is_left_alone_unless_networks_compute_in_less(monkeypatch):
    loss = nn.L1Loss()
    Runtime().keep_float32(loss, "cpu")
    assert "forward" not in vars(loss)
    reduced = Runtime(precision="bf16")
    reduced.keep_float32(loss, "cpu")
    left, right = torch.tensor([1.5], dtype=torch.bfloat16), torch.tensor([1.0])
    found = loss(left, target=right)
    assert found.dtype == torch.float32 and found.item() == 0.5
    plain = SimpleNamespace(forward=None)
    reduced.keep_float32(plain, "cpu")
    assert plain.forward is None
    with Runtime().autocast("cpu"):
        assert not torch.is_autocast_enabled("cpu")
    with reduced.autocast("cpu"):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")


def told(**changes):
    section = {**train_params()["learning"]["training"], **changes}
    return {
        ".".join(map(str, each.path)): each.message for each in check(Section("training"), section)
    }


def test_a_default_criterion_has_to_be_there():
    assert told() == {}
    assert told(criterion=None) == {
        "epoch_iteration.criterion": "'default' is the training's criterion, which is null"
    }
    decay = {"algorithm": "lambda_p2p", "n_epochs_decay": 5}
    assert told(scheduler=decay) == {
        "scheduler.n_epochs_decay": (
            "the rate falls over 5 epochs and there are only 2: the first one learns at 0.333 of it"
        )
    }
    assert told(scheduler=decay, epochs=5) == told(scheduler=decay, epochs="${1_a.n}") == {}


def test_data_of_less_than_a_batch_are_refused():
    section = {"loader": {"batch_size": 4, "drop_last": True}}
    with pytest.raises(UserError) as caught:
        require_batches([1, 2, 3], section)
    assert str(caught.value) == (
        "list: 3 items give no whole batch; ask for a smaller batch_size or drop_last: false"
    )
    require_batches([1, 2, 3, 4], section)
    require_batches([1], {"loader": {"batch_size": 4}}, {"shuffle": True})


def test_losses_are_put_on_the_device():
    assert make_criterion(None, "cpu") is None
    loss = make_criterion({"loss": "l1"}, "meta")
    assert isinstance(loss, nn.Module)


@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_algorithms(monkeypatch, deterministic):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", not deterministic)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "x")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    training._set_deterministic(deterministic)
    assert torch.backends.cudnn.deterministic is deterministic
    assert torch.backends.cudnn.benchmark is False
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if deterministic else None)


class Prepares:
    def prepare_epoch(self, *_):
        pass


class Keeps(Prepares):
    keeps_preparation = True


class KeepsNoMore(Keeps):
    keeps_preparation = False


class PreparesOtherwise(Keeps):
    def prepare_epoch(self, *_):
        pass


class Chooses(Prepares):
    chosen_for_epoch = ("items",)


@pytest.mark.parametrize(
    ("method", "dataset", "lacking"),
    [
        (object, list, None),
        (Keeps, Chooses, None),
        (Prepares, list, "Prepares"),
        (KeepsNoMore, list, "KeepsNoMore"),
        (PreparesOtherwise, list, "PreparesOtherwise"),
        (Keeps, Prepares, "Prepares"),
        (Keeps, Keeps, "Keeps"),
    ],
)
def test_whose_preparation_would_be_lost(method, dataset, lacking):
    streams = [SimpleNamespace(dataset=[]), SimpleNamespace(dataset=dataset())]
    parts = SimpleNamespace(method=method(), streams=streams)
    assert training.EpochTraining.lacks_state_within(parts) == lacking


def test_processors_by_name():
    output = {"type": "x", "progress": 3, "tensorboard": {}}
    progress, _ = make_processors(output, None)
    assert (progress.print_each, progress.print_each_val) == (3, 3)
    assert (
        make_processors({"progress": {"print_each": 2, "print_each_val": 0}}, None)[0].print_each
        == 2
    )
    assert list(check_processors(output)) == []
    wrong = {"progres": 3, "progress": {"print_eahc": 1}, "tensorboard": 5}
    found = {each.path: each.message for each in check_processors(wrong)}
    assert found[("progres",)].startswith("unknown processor 'progres'. Did you mean 'progress'?")
    assert ("progress", "print_eahc") in found and ("tensorboard", "value") in found
    assert len(found) == 3


def test_stored_networks_are_told_as_inputs(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(tmp_path))
    names = ("net_[1].pth", "first_[1].pth", "net_2.pth", "alone.pth", "w.pkl")
    names += ("a_b_c.pth", "d_b_c.pth", "d_c.pth")
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    section = {
        "path": "net_[1].pth",
        "first": {"initialize": "alone.pth", "runtime": {"whitening": "w.pkl"}},
        "last": {"path": "folder", "initialize": {"weights": "x", "path": "https://x/y.pth"}},
        "model": "net_2.pth",
        "second": {"path": "a_b_c.pth"},
    }
    with collecting() as artifacts:
        tell_paths(section)
    files = [os.path.basename(path) for found in artifacts.files.values() for path in found]
    expected = ["a_b_c.pth", "alone.pth", "d_b_c.pth", "first_[1].pth", "net_[1].pth", "w.pkl"]
    assert sorted(files) == expected
    assert artifacts.inputs == [str(tmp_path / "folder")]


def test_what_the_parts_of_a_run_are_given(root):
    write_data(root)
    params = train_params(epochs=7)
    sections = params["learning"]
    sections["training"]["scheduler"] = {"algorithm": "lambda", "fixed_ratio": 0.5}
    output = {"type": "x", **params["output"]["learning"]}
    given = {key: value for key, value in sections.items() if key != "type"}
    names = [["0", "1"]]
    run = TrainValLearning(params["network"], params["data"], output, "cpu", names, **given)
    setting = run.validation.setting
    assert (setting.seed, setting.inputs, setting.stage) == (3, names, "learning")
    assert setting.network is run.network and setting.data is params["data"]
    assert setting.criterion is run.training.criterion and run.validation.label == "val"
    assert (run.start, run.position, run.training.epochs, run.training.seed) == (0, None, 7, 3)
    rates = []
    for epoch in range(7):
        run.training.scheduler.apply(epoch)
        rates.append(run.training.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3 * (1 - max(0, e + 1 - 3.5) / 4.5) for e in range(7)])
    state = run._learning_state(4)
    kept = {key: value for key, value in sections["training"].items() if key != "type"}
    optimizer = state["training"].pop("optimizer_state")
    assert set(optimizer) == {"state", "param_groups"}
    assert state["training"] == {"type": "EpochTraining", "params": kept, "epoch": 4}
    assert state["validation"] == {"params": sections["validation"]}
    assert state["datasets"] == params["data"]
    assert state["events"] == {
        "name": "EventBroker",
        "params": {"processors": {"progress": 0}, "dataroot": str(run.folder.folder)},
        "consts": {},
        "data": [],
    }
    assert set(state) == {"training", "validation", "datasets", "events", "resources"}
