"""State files whose sections are of another kind: told in a line, and the state before is taken."""

import copy
import random
import re
import shutil
from pathlib import Path

import pytest
import torch

from cirtorch.utils.errors import DamagedFile
from cirtorch.utils.weight_files import load_weights, save_weights
from mdir.errors import USER_ERRORS, UserError
from mdir.learning.checkpoints.soundness import (
    _is_alike,
    optimizer_faults,
    require_within,
    stumbling_is_damage,
)
from mdir.learning.optimizers import AlternationOptimizer
from mdir.networks.comparing import Differs
from tests.learning.checkpoints.test_damaged import STEPS, params
from tests.learning.test_killed import assert_same
from tests.learning.test_within_epoch import Stopped, outcome, performed
from tests.learning.tiny_run import write_data

NO_TURN = "optimizer_state.alternation is not two whole numbers"
MISSING = object()
BAD = [[], {}, "text", float("nan"), None, -1, MISSING, {"x": [1]}, [[1], "x"]]


def changed(value, path, bad):
    """The value with what is at a path of keys and indices replaced or left out."""
    if not path:
        return bad
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    if not rest and bad is MISSING:
        del copy[key]
    else:
        copy[key] = changed(copy[key], rest, bad)
    return copy if isinstance(value, dict) else type(value)(copy)


def places(value, path=()):
    """Paths to all that is in a state; of lists to the first two items."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, (list, tuple)):
        items = list(enumerate(value))[:2]
    for key, item in items:
        yield from places(item, (*path, key))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Runs stopped in their third epoch, with a state within it or without, and a whole one."""
    root = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRTORCH_ROOT", str(root))
        patch.chdir(root)
        write_data(root)
        performed(params("whole", epochs=3), minutes=None)
        for kind, minutes in (("plain", None), ("within", 0)):
            with pytest.raises(Stopped):
                performed(params(epochs=3), minutes=minutes, stop=2 * STEPS + 2)
            (root / "run").rename(root / kind)
        yield root, outcome(root / "whole/epochs")


def resumed(stopped, name, path, bad, capfd):
    """What is told of a run that goes on from a state with a change in one of its files."""
    root, whole = stopped
    shutil.rmtree(root / "run", ignore_errors=True)
    kind = "within" if name == "midepoch" else "plain"
    shutil.copytree(root / kind, root / "run", symlinks=True)
    file = root / "run/epochs" / f"{name}.pth"
    state = load_weights(file)
    file.unlink()
    save_weights(changed(state, path, bad), file)
    capfd.readouterr()
    performed(params(epochs=3), minutes=None)
    assert_same(outcome(root / "run/epochs"), whole)
    return capfd.readouterr().err.replace(f"{root}/run/epochs/", "")


@pytest.mark.parametrize(
    ("name", "path", "bad", "told"),
    [
        ("learning_epoch_02", "training", [], "training is list [], expected a mapping"),
        ("learning_epoch_02", "training.epoch", "1", "training.epoch is str '1', expected a whole"),
        ("learning_epoch_02", "training.epoch", 0, "training.epoch is int 0, expected 1"),
        ("learning_epoch_02", "events", MISSING, "events.consts is missing, expected a mapping"),
        (
            "learning_epoch_02",
            "events.data",
            [],
            "events.data is list [], expected what was logged",
        ),
        ("learning_epoch_02", "resources.cumulative_stats.io.read_gib", float("nan"), "resources"),
        ("learning_epoch_02", "training.optimizer_state.state", [], "state does not belong to"),
        ("learning_epoch_02", "training.optimizer_state.state.3.step", -1, "is of another kind"),
        ("learning_epoch_02", "training.optimizer_state.param_groups", {}, "is not a list of 1"),
        (
            "learning_epoch_02",
            "training.optimizer_state.param_groups.0.betas",
            "text",
            "param_groups.0.betas: str 'text' stands where (0.5, 0.999) was",
        ),
        ("extra_epoch_02", "generators", MISSING, "generators is missing, expected a mapping"),
        ("extra_epoch_02", "generators.torch", "text", "is not what a run keeps ("),
        ("last_epoch_02", "model_state", {}, "network 'last': weights do not fit ResnetGenerator"),
        ("last_epoch_02", "frozen", "no", "network 'last': frozen: expected true or false"),
        ("midepoch", "within.iteration", "text", "within.iteration is str 'text'"),
        ("midepoch", "within.events.rows.train/learning/loss.data", "text", "is not what a run"),
        ("midepoch", "networks", [], "networks is list [], expected a mapping"),
    ],
)
def test_the_run_goes_on_from_the_state_before(stopped, name, path, bad, told, capfd):
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]
    text = resumed(stopped, name, keys, bad, capfd)
    (line,) = [line for line in text.splitlines() if "going back" in line]
    file = "learning_epoch_02" if name == "extra_epoch_02" and "keeps" in told else name
    assert line.startswith(f"{file}.pth: ") and told in line
    assert line.endswith(": going back to the state before it")
    place = "epoch 2 of 3" if name == "midepoch" else "epoch 1 of 3"
    assert f"goes on after {place}" in text


def test_weights_that_are_no_numbers(stopped, capfd):
    root, _ = stopped
    state = load_weights(root / "plain/epochs/last_epoch_02.pth")
    key = next(iter(state["model_state"]))
    bad = state["model_state"][key] * float("nan")
    text = resumed(stopped, "last_epoch_02", ["model_state", key], bad, capfd)
    assert f"network 'last': {key} is not a number (NaN): going back" in text


def test_another_description_of_a_network_is_told_with_its_file(stopped, capfd):
    with pytest.raises(Differs, match=r"run/epochs/last_epoch_02.pth: network 'last': model.ngf"):
        resumed(stopped, "last_epoch_02", ["network_params", "model", "ngf"], MISSING, capfd)


@pytest.fixture
def optimizers():
    """Two that take turns, the second of which comes next."""
    parts = {}
    for name in ("a", "b"):
        weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
        for weight in weights:
            weight.grad = torch.ones(2)
        parts[name] = torch.optim.Adam(weights)
    both = AlternationOptimizer(parts)
    for _ in range(3):
        both.step()
    return both


@pytest.mark.parametrize(
    ("path", "bad", "fault"),
    [
        ((), [], "optimizer_state is not a mapping"),
        (("b",), MISSING, "optimizer_state.b is not a mapping"),
        (("alternation",), [], NO_TURN),
        (("alternation", "iteration"), -1, NO_TURN),
        (("alternation", "optimizer"), True, NO_TURN),
        (("alternation", "optimizer"), MISSING, NO_TURN),
        (("alternation", "optimizer"), 2,
         "optimizer_state.alternation.optimizer is no number of an optimizer"),
        (("b", "param_groups"), [], "optimizer_state.b.param_groups is not a list of 1"),
        (("b", "param_groups", 0, "params"), [0],
         "optimizer_state.b.param_groups.0 is not that of 2 parameters"),
        (("b", "param_groups", 0, "amsgrad"), 0,
         "optimizer_state.b.param_groups.0.amsgrad: int 0 stands where False was"),
        (("a", "state"), {2: {}}, "optimizer_state.a.state does not belong to 2 parameters"),
        (("a", "state", 1), 1, "optimizer_state.a.state holds what is not a mapping"),
        (("a", "state", 1, "exp_avg"), torch.ones(3),
         "optimizer_state.a.state.1.exp_avg is not finite numbers for its parameter"),
        (("a", "state", 0, "exp_avg_sq"), torch.tensor([1.0, float("inf")]),
         "optimizer_state.a.state.0.exp_avg_sq is not finite numbers for its parameter"),
        (("a", "state", 0, "exp_avg"), MISSING,
         "optimizer_state.a.state is of another kind for some parameters than for others"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_state_of_optimizers(optimizers, path, bad, fault):
    state = copy.deepcopy(optimizers.state_dict())
    assert list(optimizer_faults(optimizers, state)) == []
    assert list(optimizer_faults(optimizers, changed(state, path, bad))) == [fault]


def test_a_moment_may_be_one_number_for_all_of_a_parameter():
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = torch.optim.NAdam([weight])
    optimizer.step()
    state = optimizer.state_dict()
    assert state["state"][0]["mu_product"].shape == ()
    assert list(optimizer_faults(optimizer, state)) == []
    state["state"][0]["mu_product"] = torch.ones(2)
    fault = "optimizer_state.state.0.mu_product is not finite numbers for its parameter"
    assert list(optimizer_faults(optimizer, state)) == [fault]


@pytest.mark.parametrize(
    ("ours", "theirs", "alike"),
    [
        (True, False, True), (True, 1, False), (1, True, False), (1.5, 2, True), (1, 2.5, True),
        (1, float("nan"), False), (1.0, "1", False), (None, "x", False), (None, None, True),
        (None, True, True), (0.5, None, True), ("a", "b", True), ("a", 1, False),
        ((0.5, 1), [0.9, 2], True), ([0.5], [0.5, 0.5], False), ([0.5], ["x"], False),
        ([0.5], 0.5, False),
    ],
)  # fmt: skip
def test_settings_of_one_kind(ours, theirs, alike):
    assert _is_alike(ours, theirs) is alike


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (KeyError("x"), DamagedFile, "run/learning_epoch_02.pth: is not what a run keeps ('x')"),
        (ValueError("one\ntwo"), DamagedFile,
         "run/learning_epoch_02.pth: is not what a run keeps (one)"),
        (RuntimeError(), DamagedFile,
         "run/learning_epoch_02.pth: is not what a run keeps (nothing is said)"),
        (UserError("network 'last': no weights"), DamagedFile,
         "run/last_epoch_02.pth: is not what a run keeps (network 'last': no weights)"),
        (Differs("network 'first': n"), Differs, "run/first_epoch_02.pth: network 'first': n"),
        (DamagedFile("network 'last': cut"), DamagedFile, "network 'last': cut"),
        (torch.OutOfMemoryError("much"), torch.OutOfMemoryError, "much"),
    ],
)  # fmt: skip
def test_what_stumbles_over_a_state_is_told_with_its_file(error, kind, message):
    with pytest.raises(kind) as caught, stumbling_is_damage(Path("run/learning_epoch_02.pth")):
        raise error
    assert type(caught.value) is kind and str(caught.value) == message


def test_the_key_and_what_stands_there_are_told():
    state = {"epoch": 1, "networks": {}, "learning": {}, "within": {"seed": 1, "iteration": "x"}}
    with pytest.raises(DamagedFile) as caught:
        require_within(state, "a.pth")
    message = "a.pth: within.iteration is str 'x', expected a whole number"
    assert str(caught.value) == message
    del state["within"]
    with pytest.raises(DamagedFile, match=r"^a\.pth: within is missing, expected a mapping$"):
        require_within(state, "a.pth")
    with pytest.raises(DamagedFile) as caught:
        require_within({"epoch": "x" * 50}, "a.pth")
    assert str(caught.value) == f"a.pth: epoch is str '{'x' * 39}..., expected a whole number"


@pytest.mark.slow
def test_any_section_of_another_kind(stopped, capfd):
    """What was never there, of the optimizer or a log, cannot be told from what is taken away."""
    root, _ = stopped
    names = ["learning_epoch_02", "extra_epoch_02", "last_epoch_02", "net_epoch_02", "midepoch"]
    chance = random.Random(0)
    for _ in range(600):
        name = chance.choice(names)
        folder = root / ("within" if name == "midepoch" else "plain")
        found = list(places(load_weights(folder / "epochs" / f"{name}.pth")))
        depth = chance.randint(1, max(map(len, found)))
        path = chance.choice([each for each in found if len(each) == depth])
        bad = chance.choice(BAD)
        if path[-3:-1] == ("optimizer_state", "state") and bad is MISSING:
            continue
        if path[:3] == ("within", "events", "rows") and (bad is MISSING or bad == {}):
            continue
        try:
            resumed(stopped, name, path, bad, capfd)
        except USER_ERRORS as error:
            place = r"run/epochs(/\w+\.pth)?: "  # settings are those of the whole run
            assert re.search(place, str(error)), (name, path, bad)
            assert "\n" not in str(error)
