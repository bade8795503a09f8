"""Schedules: factor tables, compositions, mistakes."""

import pytest
import torch

from mdir.learning.optimizers import AlternationOptimizer
from mdir.learning.schedulers import check_schedule, make_scheduler
from mdir.registry import ComponentError, Section, check


def optimizer(lr=2.0):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(section, epochs, lr=1.0):
    opt = optimizer(lr)
    scheduler = make_scheduler(section, opt, epochs)
    table = []
    for epoch in range(epochs + 1):
        scheduler.apply(epoch)
        table.append(opt.param_groups[0]["lr"])
    return table


def test_linear_decay_of_pix2pix():
    table = rates({"algorithm": "lambda_p2p", "n_epochs_decay": 2}, 5)
    assert table == pytest.approx([1, 1, 1, 2 / 3, 1 / 3, 0])


def test_linear_decay_after_a_share_of_the_epochs():
    assert rates({"algorithm": "lambda", "fixed_ratio": 0.5}, 4) == pytest.approx(
        [1, 1, 2 / 3, 1 / 3, 0]
    )


def test_gamma_as_number_and_as_text():
    assert rates({"algorithm": "gamma", "gamma": 0.5}, 3) == [1, 0.5, 0.25, 0.125]
    expected = [1, 0.36787944117144233]
    assert rates({"algorithm": "gamma", "gamma": "exp(-1)"}, 1) == pytest.approx(expected)


@pytest.mark.parametrize(("step_size", "gamma"), [(20, 0.1), (5, 0.5), (1, 0.9)])
def test_steps_are_those_of_torch(step_size, gamma):
    opt, expected = optimizer(3.5e-4), []
    published = torch.optim.lr_scheduler.StepLR(opt, step_size, gamma)
    for _ in range(51):
        expected.append(opt.param_groups[0]["lr"])
        opt.step()
        published.step()
    section = {"algorithm": "step", "step_size": step_size, "gamma": gamma}
    assert rates(section, 50, 3.5e-4) == pytest.approx(expected, rel=1e-12)


def test_null_and_const_keep_the_rate():
    assert rates(None, 2, 0.3) == [0.3] * 3
    assert rates({"algorithm": "const"}, 2, 0.3) == [0.3] * 3


def test_a_set_has_one_schedule_for_each_optimizer():
    both = AlternationOptimizer({"b": optimizer(1.0), "a": optimizer(2.0)})
    section = {
        "composition": {"type": "set"},
        "a": {"algorithm": "const"},
        "b": {"algorithm": "gamma", "gamma": 0.5},
    }
    make_scheduler(section, both, 4).apply(2)
    assert both["a"].param_groups[0]["lr"] == 2.0
    assert both["b"].param_groups[0]["lr"] == 0.25
    del section["b"]
    with pytest.raises(ComponentError, match="'b' needs a schedule"):
        make_scheduler(section, both, 4)


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"algorithm": "gamma", "gamma": "exp(x)"}, ["gamma"]),
        ({"algorithm": "lambda_p2p"}, [""]),
        ({"algorithm": "step", "step_size": 0}, ["step_size"]),
        ({"algorithm": "step", "step_size": 5, "gamma": 0}, ["gamma"]),
        ({"algorithm": "gama", "gamma": 1}, ["algorithm"]),
        ({"composition": {"type": "list"}, "a": {"algorithm": "const"}}, ["composition.type"]),
        ({"composition": {"type": "set"}, "a": None}, ["a"]),
    ],
)
def test_every_mistake_of_a_section_is_told_with_its_key(section, where):
    assert [".".join(map(str, p.path)) for p in check(Section("scheduler"), section)] == where


def test_schedules_without_any_epoch_of_decay_or_of_constancy():
    assert rates({"algorithm": "lambda_p2p", "n_epochs_decay": 0}, 2) == [1, 1, 0]
    assert rates({"algorithm": "lambda", "fixed_ratio": 1}, 2) == [1, 1, 0]
    falling = [2 / 3, 1 / 3, 0]
    assert rates({"algorithm": "lambda", "fixed_ratio": 0}, 2) == pytest.approx(falling)
    assert rates({"algorithm": "step", "step_size": 1}, 1) == [1, 0.1]


@pytest.mark.parametrize(
    ("gamma", "message"),
    [
        ("exp(x)", "expected a number or exp(number), got 'exp(x)'"),
        ("exp(1000)", "expected a number or exp(number), got 'exp(1000)'"),
        ("0", "expected more than 0, got 0"),
        (-0.5, "expected more than 0, got -0.5"),
        ("inf", "expected more than 0, got inf"),
    ],
)
def test_what_a_base_may_be_is_told(gamma, message):
    (problem,) = check(Section("scheduler"), {"algorithm": "gamma", "gamma": gamma})
    assert problem.message == message


def test_a_text_of_a_base_may_have_spaces():
    assert rates({"algorithm": "gamma", "gamma": " exp( 0 ) "}, 1) == [1, 1]
    assert rates({"algorithm": "gamma", "gamma": " 0.25 "}, 1) == [1, 0.25]


@pytest.mark.parametrize(
    ("section", "epochs", "told"),
    [
        ({"algorithm": "lambda_p2p", "n_epochs_decay": 3}, 2, ["n_epochs_decay"]),
        ({"algorithm": "lambda_p2p", "n_epochs_decay": 2}, 2, []),
        ({"algorithm": "lambda_p2p", "n_epochs_decay": 2}, 0, []),
        ({"algorithm": "lambda_p2p", "n_epochs_decay": "${1_a.b}"}, 1, []),
        ({"algorithm": "const", "n_epochs_decay": 3}, 2, []),
        ({"composition": {}, "a": {"algorithm": "lambda_p2p", "n_epochs_decay": 3}, "b": None},
         2, ["a.n_epochs_decay"]),
        ({"algorithm": "lambda_p2p", "n_epochs_decay": 3}, "${1_a.epochs}", []),
        (None, 2, []),
    ],
)  # fmt: skip
def test_a_decay_over_more_epochs_than_there_are_is_doubted(section, epochs, told):
    found = list(check_schedule(section, epochs))
    assert [".".join(each.path) for each in found] == told
    for problem in found:
        assert problem.warns and problem.message == (
            "the rate falls over 3 epochs and there are only 2: the first one learns at 0.5 of it"
        )


def test_a_set_of_schedules_that_does_not_fit_is_told():
    section = {"composition": {"type": "set"}, "a": {"algorithm": "const"}}
    with pytest.raises(ComponentError) as caught:
        make_scheduler(section, optimizer(), 1)
    (problem,) = caught.value.problems
    assert problem.path == ("composition",)
    assert problem.message == "a set of schedules needs a composition of optimizers"
    with pytest.raises(ComponentError) as caught:
        make_scheduler(section, AlternationOptimizer({"b": optimizer()}), 1)
    assert [(each.path, each.message) for each in caught.value.problems] == [
        (("b",), "missing: the optimizer of 'b' needs a schedule"),
        (("a",), "no optimizer is named 'a'. Optimizers: ['b']"),
    ]


def test_the_rate_of_a_resumed_run_starts_from_the_initial_one():
    opt = optimizer(2.0)
    make_scheduler({"algorithm": "gamma", "gamma": 0.5}, opt, 3).apply(2)
    assert opt.param_groups[0]["lr"] == 0.5
    again = make_scheduler({"algorithm": "gamma", "gamma": 0.5}, opt, 3)
    again.apply(1)
    assert (opt.param_groups[0]["lr"], opt.param_groups[0]["initial_lr"]) == (1.0, 2.0)
