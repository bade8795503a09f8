"""Step: train a network."""

from contextlib import nullcontext
from typing import Annotated, TypedDict

from cirtorch.utils.errors import is_slip
from mdir import distributed, registry
from mdir.data.sections import DataSections
from mdir.learning.checkpoints.lock import claimed
from mdir.learning.checks import (
    component,
    data_problems,
    frequency_problems,
    method_problems,
    method_sections,
    overlay_problems,
    validation_sections,
)
from mdir.learning.compute import default_device
from mdir.learning.train_val import check_processors
from mdir.paths import resolve_path
from mdir.registry import Holds, Named, Problem, Section, is_unresolved, within
from mdir.stages.step import step


def _check(params):
    """What the parts of a training say of each other: data sections, members, processors."""
    learning, network = params.get("learning"), params.get("network")
    if not isinstance(learning, dict):
        return
    training = learning.get("training")
    training = training if isinstance(training, dict) else {}
    iteration = training.get("epoch_iteration")
    iteration = iteration if isinstance(iteration, dict) else {}
    where = ("learning", "training", "epoch_iteration")
    wanted = [((*where, *path), name) for path, name in method_sections(iteration)]
    for path, section in validation_sections(learning.get("validation"), ("learning",)):
        wanted.append(((*path, "data"), section.get("data")))
        if section.get("criterion") == "default" and training.get("criterion", {}) is None:
            message = "'default' is the training's criterion, which is null"
            yield Problem((*path, "criterion"), message)
    yield from data_problems(wanted, params.get("data"))
    epochs = training.get("epochs")
    yield from frequency_problems(learning.get("validation"), ("learning",), epochs)
    yield from overlay_problems(learning.get("validation"), ("learning",), network)
    yield from method_problems(training, iteration, params.get("data"))
    if isinstance(network, dict) and "type" in network:
        yield from _member_problems(network, training, iteration, where)
    yield from _output_problems(params.get("output"))


def _member_problems(network, training, iteration, where):
    members = set(_member_names(network))
    if members:
        for name in _needed_networks(iteration.get("type")):
            if name not in members:
                slip = next((each for each in members if is_slip(each, name)), None)
                if slip is not None:
                    message = registry.unknown("network", slip, [name])
                    yield Problem(("network", slip), f"{message} (of {iteration['type']})")
                message = f"{iteration['type']} needs a network named {name!r}"
                yield Problem((*where, "type"), message)
    for part in ("optimizer", "scheduler"):
        section = training.get(part)
        if isinstance(section, dict) and "composition" in section:
            for name in section:
                if name not in members and name != "composition":
                    message = registry.unknown("network", name, members)
                    yield Problem(("learning", "training", part, name), message)


def _member_names(network):
    for name, section in network.items():
        if isinstance(section, dict) and "type" in section:
            yield name
            yield from _member_names(section)


def _needed_networks(method):
    return getattr(component("method", method), "networks", ())


def _output_problems(output):
    if not isinstance(output, dict):
        return
    for key in output:
        if key != "learning" and not is_unresolved(key):
            yield Problem(("output", key), registry.unknown("output", key, ["learning"]))
    if isinstance(output.get("learning"), dict):
        yield from within(("output", "learning"), check_processors(output["learning"]))


class Watching(TypedDict, total=False):
    """What watches a training: parameters by processor (progress, htmlreport, tensorboard)."""

    learning: Annotated[dict, Named("processor")] | None


@step(check=_check)
def train(
    inputs,
    *,
    network: Annotated[dict, Section("network")],
    learning: Annotated[dict, Section("learning")],
    output: Annotated[dict, Holds(Watching)],
    data: DataSections,
):
    """Train a network, resuming where the folder of its checkpoints says.

    Several processes (torchrun) divide every batch among themselves. The first of them holds the
    folder against other runs.

    Args:
        network: a network section, kept in the checkpoints.
        learning: ``type`` (TrainValLearning), ``checkpoints``, ``training``, ``validation``.
        output: ``learning``: what watches the run (progress, htmlreport, tensorboard).
        data: data sections by name.

    Returns:
        metadata ``metrics`` {name: value per epoch}, ``best_epoch``, ``resource_usage``,
        ``code_version``; of a run of 0 epochs ``best_epoch`` alone, which is None.
    """
    processors = output.get("learning") or {}
    directory = resolve_path(learning["checkpoints"]["directory"])
    with distributed.together(), claimed(directory) if distributed.is_first() else nullcontext():
        given = (network, data, processors, default_device(), inputs)
        return registry.make("learning", learning, *given).run()
