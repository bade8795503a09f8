"""A whole training run: found or begun, trained, validated and kept."""

import copy
import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from cirtorch.utils.errors import DamagedFile
from mdir import distributed, registry
from mdir.artifacts import begun, changed_input, made_before, used, used_files
from mdir.data.sections import without_speed
from mdir.errors import gathered
from mdir.learning.checkpoints.folder import CheckpointFolder, StoredEpoch
from mdir.learning.checkpoints.soundness import require_state, stumbling_is_damage
from mdir.learning.checkpoints.within import Position
from mdir.learning.compute import leaves
from mdir.learning.events.event_files import EventFiles
from mdir.learning.events.events import Events
from mdir.learning.loop import run_epochs
from mdir.learning.seeding import seed_everything
from mdir.learning.validation import Setting, check_decisive, make_validation
from mdir.networks.comparing import Differs, require_equal
from mdir.networks.factory import initialize_network, network_from_state
from mdir.paths import resolve_path
from mdir.registry import Check, Options, Section, check_parameters, register, within
from mdir.resources import Resources, code_version


@register("learning", "TrainValLearning")
class TrainValLearning:
    """Training with validation in between, resumed where its folder says.

    Args:
        network: the scenario's network section.
        data: its data sections.
        output: its ``output.learning``: parameters by processor.
        device: where to train.
        inputs: columns of names that the step was given.
        checkpoints: see :class:`mdir.learning.checkpoints.folder.CheckpointFolder`.
        training: see :class:`mdir.learning.training.EpochTraining`.
        validation: a validation section, false, or the text of a criterion that decides which
            epoch is best.
    """

    def __init__(
        self,
        network: dict,
        data: dict,
        output: dict,
        device,
        inputs=(),
        *,
        checkpoints: Annotated[dict, Options(CheckpointFolder)],
        training: Annotated[dict, Section("training")],
        validation: Annotated[dict, Section("validation")]
        | Literal[False]
        | Annotated[str, Check(check_decisive)],
    ):
        self.sections: dict[str, Any] = copy.deepcopy(
            {"training": training, "validation": validation, "data": data, "output": output}
        )
        self.folder = CheckpointFolder(**checkpoints)
        stored = self._made(network, data, output, device, inputs)
        while stored is not None and not self._is_taken_up(stored):
            stored = self._made(network, data, output, device, inputs)
        distributed.barrier()  # everybody has read what is stored
        if distributed.is_first():
            self.folder.begin(list(self.network.state_dict()))
            self.folder.inputs.begin() if stored is None else self.folder.inputs.update()
        is_own = stored is None or made_before(self.folder.folder)
        begun(self.folder.folder if is_own else None)
        if stored is None:
            self.events.start()
        else:
            self.events.load_state_dict(stored.learning["events"])
            self._restore_within(stored.within)

    def _made(self, network, data, output, device, inputs):
        """Make all parts anew; returns the stored epoch that they are to go on from, if any."""
        training, validation = self.sections["training"], self.sections["validation"]
        self.network, stored = self._find(network, device, training["epochs"])
        self.training, self.validation = self._make_parts(training, validation, data, inputs)
        self.events = self._make_events(output)
        self.resources = Resources(stored and stored.learning["resources"]["cumulative_stats"])
        self.start = stored.epoch if stored else 0
        self.position: Position | None = None
        return stored

    def _is_taken_up(self, stored):
        """Whether the state fits every part; one of another kind is told and left out."""
        error = None
        try:
            with stumbling_is_damage(self.folder.source):
                trial = Events()
                trial.load_state_dict(stored.learning["events"])
                if stored.within is not None:
                    trial.load_open(stored.within["events"])
                    trial.close_epoch()
                    self.events.load_open(stored.within["events"])
                self.training.restore(stored.learning, stored.extra)
        except DamagedFile as damage:
            error = damage
        error = next(filter(None, distributed.gather(error)), None)  # all go back, or none
        if error is not None:
            self.folder.leave_out(error)
        return error is None

    def _make_parts(self, training, validation, data, inputs):
        """The training and its validation; what is missing for either is told at once."""
        parts = []

        def make_training():
            parts.append(registry.make("training", training, self.network, data, inputs))
            return parts[0]

        def make_validations():
            # without a training nothing is measured: any loss stands for its own
            criterion = parts[0].criterion if parts else torch.nn.L1Loss()
            setting = Setting(self.network, data, criterion, training["seed"], inputs=inputs)
            return make_validation(validation, setting)

        return gathered([make_training, make_validations])

    def _restore_within(self, within):
        if within is not None:
            self.events.load_open(within["events"])
            self.position = Position(within["seed"], within["iteration"])

    def _find(self, section, device, epochs):
        """The network and the newest epoch of this very run; a fresh network and None without.

        What this step itself made earlier, from other settings or inputs, is set aside.
        """
        try:
            while (stored := self.folder.latest(epochs)) is not None:
                try:
                    return self._stored_network(stored, section, device), stored
                except DamagedFile as error:
                    self.folder.leave_out(error)
        except Differs as error:
            if not made_before(self.folder.folder):
                raise
            self._set_aside(error)
        seed_everything(self.sections["training"].get("seed"))  # weights as constructed, too
        return initialize_network(section, device), None

    def _stored_network(self, stored, section, device):
        require_state(stored, self.folder.source)
        self._require_same_run(stored.learning, list(network_paths(section)))
        tell_paths(section)
        with stumbling_is_damage(self.folder.source):
            return network_from_state(stored.networks, section=section, device=device)

    def _set_aside(self, reason):
        distributed.barrier()  # everybody has read what is stored
        if distributed.is_first():
            place = self.folder.set_aside()
            change = str(reason).partition(";")[0]
            print(f"{change}: training begins anew, the old run is now {place}", file=sys.stderr)
        self.folder.begin_anew()
        distributed.barrier()

    def run(self) -> dict:
        """Train what is left to train.

        Returns:
            the step's metadata: ``metrics``, ``best_epoch``, ``resource_usage``, ``code_version``;
            ``best_epoch`` alone, which is None, for a run of 0 epochs.
        """
        metadata = self._run()
        if distributed.is_first():
            self.folder.inputs.update()
        return metadata

    def _run(self):
        epochs = self.training.epochs
        if epochs == 0:
            self.training.method.prepare_offtheshelf()
            if distributed.is_first():
                self.folder.save_untrained(self.network.state_dict())
            return {"best_epoch": None}
        if self.start == epochs:
            if distributed.is_first():
                self._finish_again()
        else:
            if self.start == 0:
                self._log_network_graph()
            if distributed.is_first():
                self._tell_start(epochs)
            run_epochs(self)
        self.events.close()
        return {
            "metrics": self.events.metrics.metadata(),
            "best_epoch": self.events.metrics.best_epoch(self.validation.decisive_criterion),
            "resource_usage": self.resources.usage(),
            "code_version": code_version(),
        }

    def _tell_start(self, epochs):
        place = f"epoch {self.start} of {epochs}"
        if self.position is not None:
            place = f"{self.position.iteration} iterations of epoch {self.start + 1} of {epochs}"
        if self.start or self.position:
            print(f"{self.folder.folder}: goes on after {place}", file=sys.stderr, flush=True)

    def _finish_again(self):
        self.events.hand_on(self.training.method.results())
        names, validation = list(self.network.state_dict()), self.validation
        self.folder.finish(names, self.training.epochs)
        best = self.events.metrics.best_epoch(
            validation.decisive_criterion, last_tie=validation.ties_are_best
        )
        self.folder.restore_best(names, best and best["index"] + 1)

    def save(self, epoch: int, best: bool) -> None:
        """Keep what is due after an epoch (from 0); the first of several processes does."""
        if self.folder.keeps(epoch + 1, self.training.epochs):
            self.folder.within.restart()
        if not distributed.is_first():
            return
        self.folder.save(
            epoch + 1,
            self.training.epochs,
            self.network.state_dict(),
            best,
            lambda: self._learning_state(epoch),
            self.training.extra_state,
        )

    def step_done(self, epoch: int, position: Position) -> None:
        """Keep the state in the middle of an epoch (from 0) where it is time for it."""
        within = self.folder.within
        if not within.is_due():
            return
        lacking = self.training.lacks_state_within()
        if lacking is not None:
            within.every_minutes = None
            self._tell_lacking(lacking)
            return
        extra = self.training.state_within()
        if distributed.is_first():
            events = {"events": self.events.open_state(), **vars(position)}
            state = (self.network.state_dict(), self._learning_state(epoch - 1), extra, events)
            self.folder.save_within(StoredEpoch(epoch, *state))
        within.restart()

    def _tell_lacking(self, lacking):
        if distributed.is_first():
            print(
                f"{lacking} does not say how to keep what it prepares for an epoch: a run that is "
                "killed goes on at the beginning of its epoch",
                file=sys.stderr,
            )

    def _learning_state(self, epoch):
        """The dict of ``learning_epoch_NN.pth``, as the published project has it."""
        params = {k: v for k, v in self.sections["training"].items() if k != "type"}
        processors = _without_type(self.sections["output"])
        return {
            "training": {
                "type": self.sections["training"]["type"],
                "params": params,
                "optimizer_state": self.training.optimizer.state_dict(),
                "epoch": epoch,
            },
            "validation": {"params": self.sections["validation"]},
            "datasets": self.sections["data"],
            "events": self.events.state_dict(processors, str(self.folder.folder)),
            "resources": self.resources.state_dict(),
        }

    def _require_same_run(self, learning, networks):
        """Refuse to continue a run with other settings or inputs, unless they change no result."""
        change = self.folder.inputs.change(networks) if distributed.is_first() else None
        change = distributed.from_first(change)
        if change is not None:
            raise Differs(
                f"{self.folder.folder}: {change} since this was trained; put it back, remove or "
                f"rename the folder to train anew, or remove {self.folder.inputs.path.name} in it "
                "to go on with what is there now"
            )
        if changed_input() is not None:
            if made_before(self.folder.folder):
                raise Differs(f"{self.folder.folder}: {changed_input()} since this was trained")
            self._tell_mixed(changed_input())
        ours = {
            "learning": {
                "training": _without_free(self.sections["training"]),
                "validation": self.sections["validation"],
            },
            "data": self.sections["data"],
        }
        stored = {"type": learning["training"]["type"], **learning["training"]["params"]}
        theirs = {
            "learning": {
                "training": _without_free(stored),
                "validation": learning["validation"]["params"],
            },
            "data": learning["datasets"],
        }
        require_equal(without_speed(ours), without_speed(theirs), str(self.folder.folder))

    def _tell_mixed(self, change):
        if distributed.is_first():
            print(
                f"Warning: {self.folder.folder}: {change} since this training began, and it goes "
                "on with what is there now; remove or rename the folder to train anew",
                file=sys.stderr,
            )

    def _log_network_graph(self):
        texts = {
            name: {"dtype": "text", "data": repr(single.model)}
            for name, single in leaves(self.network).items()
        }
        self.events.register(None, None, None, "net/network_graph", texts, "blob")

    def _make_events(self, output):
        """Files and processors for the first process; the others only count."""
        if not distributed.is_first():
            return Events()
        folder = self.folder.folder
        processors = {**self.training.method.processors, **output}
        return Events(make_processors(processors, folder), EventFiles(folder))


def tell_paths(network: dict) -> None:
    """Tell the stored networks that a section begins with, which a resumed run does not read."""
    for place in map(Path, network_paths(network)):
        _, underscore, suffix = place.name.partition("_")
        if place.is_file():
            members = place.parent.glob(f"*_{glob.escape(suffix)}") if underscore else ()
            used_files([place, *members])
        else:
            used(place)


def network_paths(network: dict) -> Iterator[str]:
    """The stored networks of a section that are there; no URL."""
    for key, value in network.items():
        if isinstance(value, dict):
            yield from network_paths(value)
        elif key in ("path", "initialize", "whitening") and isinstance(value, str):
            place = os.path.abspath(resolve_path(value))
            if os.path.exists(place):
                yield place


def make_processors(output: dict, folder) -> list:
    """The processors of an ``output.learning`` section, made for a folder (None: no files)."""
    return [
        registry.construct(registry.lookup("processor", name), _as_keywords(name, params), folder)
        for name, params in _without_type(output).items()
    ]


def check_processors(output):
    """Every problem of an ``output.learning`` section."""
    for name, params in _without_type(output).items():
        try:
            component = registry.lookup("processor", name)
        except registry.ComponentError as error:
            yield from within((name,), error.problems)
            continue
        yield from check_parameters(component, _as_keywords(name, params), (name,))


def _as_keywords(name, params):
    """A mapping as it is; any other value is the processor's first parameter."""
    if isinstance(params, dict):
        return params
    fields, _ = registry.schema(registry.lookup("processor", name))
    return {next(iter(fields), "value"): params}


def _without_type(output):
    return {name: params for name, params in output.items() if name != "type"}


def _without_free(training):
    """The settings of a training that a resumed run may not change."""
    free = ("epochs", "runtime", "debug")
    return {key: value for key, value in training.items() if key not in free}
