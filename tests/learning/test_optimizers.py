"""Optimizers: sections, alternation order, frozen members."""

import pytest
import torch
from torch import nn

from cirtorch.utils.weight_files import load_weights, save_weights
from mdir.errors import UserError
from mdir.learning.optimizers import AlternationOptimizer, make_optimizer
from mdir.registry import ComponentError, Section, check

ADAM = {"algorithm": "adam", "lr": 0.1, "beta1": 0.5, "beta2": 0.9, "weight_decay": 0}
ADAMP = {"algorithm": "adamp", "lr": 0.1}
SGD = {"algorithm": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}


class Pair:
    """Stands in for a container of two networks."""

    def __init__(self):
        self.members = {"a": nn.Linear(2, 1), "b": nn.Linear(3, 1)}
        self.frozen = set()

    def __contains__(self, name):
        return name in self.members

    def freeze(self, name=None):
        self.frozen.add(name)

    def parameters(self, options=None, name=None):
        names = [name] if name else list(self.members)
        return [
            p for one in names if one not in self.frozen for p in self.members[one].parameters()
        ]


def composition(order="a,b", turns=1, **members):
    keys = {"type": "alternation", "order": order, "alternate_iteration": turns}
    return {"composition": keys, **members}


def problems(section):
    return [".".join(map(str, p.path)) for p in check(Section("optimizer"), section)]


def test_a_single_optimizer_takes_all_parameters_and_its_options():
    optimizer = make_optimizer(ADAM, Pair())
    assert len(optimizer.param_groups[0]["params"]) == 4
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.9)
    assert make_optimizer(SGD, Pair()).param_groups[0]["momentum"] == 0.9


def test_options_reach_the_parameter_groups_of_a_network():
    seen = {}

    class Grouped(Pair):
        def parameters(self, options=None, name=None):
            seen.update(options)
            return [{"params": super().parameters(), "lr": options["lr"] * 10}]

    optimizer = make_optimizer(SGD, Grouped())
    assert seen == {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.0)


def test_each_of_a_composition_has_the_groups_of_its_network():
    class Grouped(Pair):
        def parameters(self, options=None, name=None):
            found = super().parameters(options, name)
            return [{"name": name, "params": found, "lr": options["lr"] * 10}]

    pair = Grouped()
    sections = {"a": SGD, "b": {**ADAM, "lr": 0.5}}
    optimizer = make_optimizer(composition("b,a", 1, **sections), pair)
    for name, rate in (("a", 1.0), ("b", 5.0)):
        (group,) = optimizer[name].param_groups
        assert (group["name"], group["lr"]) == (name, pytest.approx(rate))
        assert group["params"] == list(pair.members[name].parameters())
    assert list(optimizer) == ["b", "a"] and optimizer.alternate_iteration == 1


def test_alternation_against_a_table_written_by_hand():
    names = "abc"
    calls = []

    class Spy:
        def __init__(self, name):
            self.name = name

        def step(self):
            calls.append(self.name)

    for turns, expected in [(1, "abcabca"), (2, "aabbcca"), (3, "aaabbbc")]:
        calls.clear()
        optimizer = AlternationOptimizer({n: Spy(n) for n in names}, turns)
        for _ in range(7):
            optimizer.step()
        assert "".join(calls) == expected


def test_a_null_section_freezes_and_a_missing_one_does_not():
    pair = Pair()
    optimizer = make_optimizer(composition("a", None, a=SGD, b=None), pair)
    assert pair.frozen == {"b"}
    assert list(optimizer) == ["a"]
    pair = Pair()
    make_optimizer(composition("a", None, a=SGD), pair)
    assert pair.frozen == set()


def test_state_survives_a_restart():
    pair = Pair()
    first = make_optimizer(composition("b,a", 2, a=SGD, b=ADAM), pair)
    for p in pair.parameters():
        p.grad = torch.ones_like(p)
    for _ in range(3):
        first.step()
    second = make_optimizer(composition("b,a", 2, a=SGD, b=ADAM), pair)
    second.load_state_dict(first.state_dict())
    assert second.iteration == 3
    assert second.current == first.current == 1
    assert second.state_dict()["b"]["state"][0]["step"] == 2


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({**SGD, "nesterov": True}, ["nesterov"]),
        ({"algorithm": "adam", "lr": "fast"}, ["lr", "", "", ""]),
        (composition("a", 1, a=SGD, b=ADAM), ["composition.order"]),
        (composition("a,b", -1, a=SGD, b=ADAM), ["composition.alternate_iteration"]),
        (composition("a,b", None, a=SGD, b=ADAM), ["composition.alternate_iteration"]),
        (composition("a", 1, a=SGD), ["composition.alternate_iteration"]),
        (composition("a,b", 1, a=SGD, b={**ADAM, "algorithm": "adem"}), ["b.algorithm"]),
        (composition("a,b", 1, a=None, b=None), [""]),
        ({**composition("a,b", 1, a=SGD, b=ADAM), "composition": {"type": "x"}},
         ["composition.type", "composition", "composition"]),
    ],
)  # fmt: skip
def test_every_mistake_of_a_section_is_told_with_its_key(section, where):
    assert problems(section) == where


def test_an_unknown_member_and_a_frozen_network_are_user_errors():
    with pytest.raises(ComponentError, match="no network named 'z'"):
        make_optimizer(composition("a,z", 1, a=SGD, z=SGD), Pair())
    pair = Pair()
    pair.freeze("a")
    with pytest.raises(UserError, match="a network is frozen"):
        make_optimizer(composition("a,b", 1, a=SGD, b=SGD), pair)


class Proxies(nn.Module):
    """Stands in for a network that names the groups of its parameters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.parts = {name: nn.Linear(4, 4, bias=False) for name in ("backbone", "refactor", "fc")}

    def parameters(self, options=None, name=None):
        return [{"name": n, "params": list(m.parameters())} for n, m in self.parts.items()]

    def weights(self):
        return {name: part.weight for name, part in self.parts.items()}

    def learn(self, optimizer, seed, frozen=()):
        generator = torch.Generator().manual_seed(seed)
        optimizer.zero_grad()
        for name, weight in self.weights().items():
            gradient = torch.randn(weight.shape, generator=generator)
            if name not in frozen:
                weight.grad = gradient
        optimizer.step()


def test_groups_have_options_of_their_own():
    groups = {"fc": {"lr": "1e-2"}, "backbone": {"weight_decay": 1}}
    optimizer = make_optimizer({**ADAMP, "groups": groups}, Proxies())
    found = {
        group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups
    }
    assert found == {"backbone": (0.1, 1), "refactor": (0.1, 0), "fc": (0.01, 0)}


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Proxies(),
            "groups.refator: unknown group of parameters 'refator'.*Did you mean 'refactor'.*fc",
        ),
        (Pair(), "unknown group of parameters 'refator'; the network has no groups with names"),
    ],
)
def test_a_misspelt_group_is_told_its_name(network, message):
    with pytest.raises(ComponentError, match=message):
        make_optimizer({**ADAMP, "groups": {"refator": {"lr": 0.1}}}, network)


def test_mistakes_in_groups_are_told_before_the_run():
    assert problems({**ADAMP, "groups": {"fc": {"rl": 0.1}}}) == ["groups.fc.rl"]
    assert problems({**ADAMP, "groups": {"fc": {"lr": -1}}}) == ["groups.fc.lr"]


def test_frozen_weights_stay_and_count_their_steps_later():
    network = Proxies()
    optimizer = make_optimizer({**ADAMP, "weight_decay": 0.1}, network)
    before = network.weights()["backbone"].clone()
    for seed in range(3):
        network.learn(optimizer, seed, frozen={"backbone"})
    assert torch.equal(network.weights()["backbone"], before)
    network.learn(optimizer, 3)
    counts = {name: optimizer.state[w]["step"] for name, w in network.weights().items()}
    assert counts == {"backbone": 1, "refactor": 4, "fc": 4}


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_restart_keeps_the_counts(at, tmp_path):
    def run(network, optimizer, steps):
        for step in steps:
            network.learn(optimizer, step, frozen={"backbone"} if step < 2 else ())

    whole, parted, section = Proxies(), Proxies(), {**ADAMP, "groups": {"fc": {"lr": 0.01}}}
    first = make_optimizer(section, parted)
    run(whole, make_optimizer(section, whole), range(6))
    run(parted, first, range(at))
    save_weights(first.state_dict(), tmp_path / "optimizer.pth")
    again = make_optimizer(section, parted)
    again.load_state_dict(load_weights(tmp_path / "optimizer.pth"))
    run(parted, again, range(at, 6))
    for name, weight in whole.weights().items():
        assert torch.equal(parted.weights()[name], weight)


def test_no_turns_step_all_together():
    pair = Pair()
    optimizer = make_optimizer(composition(" b, a ,", 0, a=SGD, b=ADAM), pair)
    assert list(optimizer) == ["b", "a"] and "a" in optimizer and "c" not in optimizer
    for p in pair.parameters():
        p.grad = torch.ones_like(p)
    before = [p.detach().clone() for p in pair.parameters()]
    optimizer.step()
    optimizer.step()
    assert all((p < was).all() for p, was in zip(pair.parameters(), before, strict=True))
    assert optimizer.state_dict()["alternation"] == {"iteration": 2, "optimizer": 0}
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 2]
    optimizer.zero_grad()
    assert all(p.grad is None for p in pair.parameters())


def test_options_that_a_section_leaves_out():
    options = make_optimizer(ADAMP, Proxies()).defaults
    assert (options["betas"], options["weight_decay"]) == ((0.9, 0.999), 0)
    assert options["nesterov"] is False
    given = {"beta1": 0.8, "beta2": 0.9, "weight_decay": 0.2, "nesterov": True}
    options = make_optimizer({**ADAMP, **given}, Proxies()).defaults
    assert (options["betas"], options["weight_decay"]) == ((0.8, 0.9), 0.2)
    assert options["nesterov"] is True


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (composition("a", None, a=None, b=None), "no member of the composition has an optimizer"),
        (composition("a", 1, a=SGD), "expected null with a single optimizer, got 1"),
        (composition("a,b", None, a=SGD, b=SGD), "expected a whole number with 2 optimizers, got"),
        (composition("a,c", 1, a=SGD, b=SGD), "expected a, b in any order, each once; got 'a,c'"),
        (composition("a,a,b", 1, a=SGD, b=SGD), "expected a, b in any order, each once; got"),
    ],
)
def test_what_a_composition_may_be_is_told(section, message):
    (problem,) = check(Section("optimizer"), section)
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    "section",
    [
        composition("${1_a.order}", 1, a=SGD, b=SGD),
        composition("a", "${1_a.turns}", a=SGD),
        composition("b,a", 0, a=SGD, b=SGD, c=None),
    ],
)
def test_compositions_in_which_nothing_is_wrong(section):
    assert problems(section) == []


def test_a_frozen_network_has_no_use_for_an_optimizer():
    pair = Pair()
    pair.frozen = {"a", "b"}
    with pytest.raises(UserError, match="^the whole network is frozen: an optimizer has no use$"):
        make_optimizer(SGD, pair)
