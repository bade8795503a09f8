"""Optimizers: sections, alternation order, frozen members."""

import pytest
import torch
from torch import nn

from mdir.errors import UserError
from mdir.learning.optimizers import AlternationOptimizer, make_optimizer
from mdir.registry import ComponentError, Section, check

ADAM = {"algorithm": "adam", "lr": 0.1, "beta1": 0.5, "beta2": 0.9, "weight_decay": 0}
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
