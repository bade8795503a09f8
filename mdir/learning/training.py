"""Everything that one training needs, built from a scenario's ``learning.training``."""

import os
from functools import partial
from typing import Annotated, Literal, TypedDict

import torch

from mdir import distributed, registry
from mdir.data.loading import Datasets, make_loader
from mdir.data.sections import named_sections, section_names
from mdir.data.streams import Stream, join_loaders, stream_loaders
from mdir.errors import UserError, gathered
from mdir.learning.checkpoints.soundness import optimizer_faults
from mdir.learning.compute import Runtime
from mdir.learning.optimizers import make_optimizer
from mdir.learning.parallel.steps import DividedLoader, DividedSteps
from mdir.learning.schedulers import check_schedule, make_scheduler
from mdir.learning.seeding import generators_state, restore_generators, seed_everything
from mdir.networks.base import models_of
from mdir.registry import Options, Problem, Section, register, within
from mdir.registry.ranges import at_least

SHUFFLED = {"shuffle": True}
CHOSEN = "chosen_for_epoch"  # attribute of a dataset, see ``mdir.data.loading.make_dataset``


class Iteration(TypedDict):
    """What every ``epoch_iteration`` has besides the method's own parameters.

    Args:
        data: name of a data section, or a list of those whose items each batch joins.
        criterion: "default" (the training's) or a section.
    """

    data: str | list[str]
    criterion: Literal["default"] | Annotated[dict, Section("criterion")]


def _check_parts(params):
    schedule = check_schedule(params.get("scheduler"), params.get("epochs"))
    yield from within(("scheduler",), schedule)
    section = params.get("epoch_iteration")
    wanted = section.get("criterion") if isinstance(section, dict) else None
    if wanted == "default" and params.get("criterion", {}) is None:
        message = "'default' is the training's criterion, which is null"
        yield Problem(("epoch_iteration", "criterion"), message)


@register("training", "EpochTraining", check=_check_parts)
class EpochTraining:
    """A method with its data, loss, optimizer and schedule, over a number of epochs.

    Args:
        network: to be trained.
        data: the data sections by name.
        inputs: columns of names that the step was given.
        epochs: how many in all; a resumed run may ask for more.
        seed: of the whole run; epoch e uses ``seed + e``. Null: by chance.
        deterministic: the deterministic algorithms of cuDNN and cuBLAS. On a GPU the gradients of
            reflecting pads and of bilinear resizing still differ by rounding from run to run.
        criterion: the loss, "default" elsewhere; null if the parts name their own.
        optimizer: of the network, or one for each member (``composition``).
        scheduler: of the learning rates; null keeps them.
        epoch_iteration: the method (``type`` and its own parameters) and :class:`Iteration`.
        epoch_iterations: an epoch is so many batches, however long a pass over the data is; null:
            one pass, over the first of several data sections (of the others, as many batches).
        debug: torch's anomaly detection: slow, names the operation that made a NaN.
        runtime: see :class:`mdir.learning.compute.Runtime`; not in published scenarios.
    """

    def __init__(
        self,
        network,
        data: dict,
        inputs=(),
        *,
        epochs: Annotated[int, at_least(0)],
        seed: int | None,
        deterministic: bool,
        criterion: Annotated[dict, Section("criterion")] | None,
        optimizer: Annotated[dict, Section("optimizer")],
        scheduler: Annotated[dict, Section("scheduler")] | None,
        epoch_iteration: Annotated[dict, Section("method", beside=Iteration)],
        epoch_iterations: Annotated[int, at_least(1)] | None = None,
        debug: bool = False,
        runtime: Annotated[dict, Options(Runtime)] | None = None,
    ):
        self.network, self.epochs, self.seed, self.debug = network, epochs, seed, debug
        self.epoch_iterations = epoch_iterations
        self.runtime = Runtime(**(runtime or {}))
        self.runtime.prepare(network)
        self.data = Datasets(data, network.preprocessing, inputs)
        names = section_names(epoch_iteration["data"])
        datasets = self._open(names, epoch_iteration)
        self.streams = [
            Stream(dataset, self.data.section(name))
            for name, dataset in zip(names, datasets, strict=True)
        ]
        for stream in self.streams:
            network.require_normalization(stream.section.get("mean_std"))
            require_batches(stream.dataset, stream.section, SHUFFLED)
        # A section of less than one batch would be refused at the first epoch: tell it now.
        stream_loaders(self.streams, SHUFFLED, iterations=self.epoch_iterations)
        _set_deterministic(deterministic)
        seed_everything(seed)
        self.criterion = make_criterion(criterion, network.device)
        self.optimizer = make_optimizer(optimizer, network)
        self.scheduler = make_scheduler(scheduler, self.optimizer, epochs)
        self.method = self._make_method(epoch_iteration)
        self.method.check_dataset(self.dataset)
        self.divided = None
        if distributed.size() > 1:
            self.divided = DividedSteps(self.method, self.optimizer, models_of(network))

    def _open(self, names, iteration):
        """Datasets of these sections; what others that the method names lack is told, too."""
        method = registry.lookup("method", iteration["type"])
        others = [name for _, name in named_sections(method, iteration) if name]
        every = [*names, *others]
        return gathered(partial(self.data, name) for name in every)[: len(names)]

    def _make_method(self, section):
        own = Iteration.__annotations__
        rest = {key: value for key, value in section.items() if key not in own}
        criterion = self.criterion
        if section["criterion"] != "default":
            criterion = make_criterion(section["criterion"], self.network.device)
        self.runtime.keep_float32(criterion, self.network.device)
        return registry.make("method", rest, self.network, self.optimizer, criterion, self.data)

    @property
    def dataset(self):
        """The dataset, of several data sections a list of theirs."""
        datasets = [stream.dataset for stream in self.streams]
        return datasets if len(datasets) > 1 else datasets[0]

    @property
    def mean_std(self) -> list | None:
        """The normalization of its images (of the first data section), to be undone for viewing."""
        return self.streams[0].section.get("mean_std")

    def loader(self, seed: int, epoch: int, done: int = 0):
        """What :meth:`step` takes in one epoch, shuffled unless the data sections say otherwise.

        Args:
            done: the first batches, so many, are left out.
        """
        streams = self.method.epoch_data(self.streams, epoch)
        loaders = stream_loaders(streams, SHUFFLED, seed, epoch, self.epoch_iterations)
        return join_loaders(loaders, done) if self.divided is None else DividedLoader(loaders, done)

    def step(self, batch) -> dict:
        """One optimisation step; losses by name, not yet fetched from the device."""
        with (
            torch.autograd.set_detect_anomaly(self.debug),
            self.runtime.autocast(self.network.device),
        ):
            if self.divided is not None:
                return self.divided.step(*batch)
            return self.method.step(batch)

    def end_epoch(self) -> None:
        """After the last step of an epoch: processes that share the work become equal again."""
        if self.divided is not None:
            self.divided.end_epoch()

    def extra_state(self) -> dict:
        """What the published format has no place for."""
        return {"generators": generators_state(), "method": self.method.state_dict()}

    def state_within(self) -> dict:
        """As :meth:`extra_state`, in the middle of an epoch; all processes have to ask for it."""
        processes = self.divided.states() if self.divided is not None else []
        datasets = [
            {name: getattr(stream.dataset, name) for name in getattr(stream.dataset, CHOSEN, ())}
            for stream in self.streams
        ]
        return {**self.extra_state(), "datasets": datasets, "processes": processes}

    def lacks_state_within(self) -> str | None:
        """Whose preparation of an epoch would be lost in the middle of it; None: nobody's."""
        parts = [(self.method, "keeps_preparation")]
        parts += [(stream.dataset, CHOSEN) for stream in self.streams]
        return next((type(part).__name__ for part, says in parts if not _keeps(part, says)), None)

    def restore(self, learning: dict, extra: dict) -> None:
        """Continue after a stored epoch, or in the middle of one.

        Raises:
            ValueError: the state of the optimizer is not one.
        """
        for fault in optimizer_faults(self.optimizer, learning["training"]["optimizer_state"]):
            raise ValueError(f"training.{fault}")
        self.optimizer.load_state_dict(learning["training"]["optimizer_state"])
        self.scheduler.apply(learning["training"]["epoch"] + 1)
        if "method" in extra:
            self.method.load_state_dict(extra["method"])
        for stream, chosen in zip(self.streams, extra.get("datasets", ()), strict=False):
            for name, value in chosen.items():
                setattr(stream.dataset, name, value)
        if "generators" in extra:
            restore_generators(extra["generators"])
        if self.divided is not None and extra.get("processes"):
            self.divided.load_states(extra["processes"])


def _keeps(part, attribute):
    """Whether the class that prepares an epoch, or a child of it, has this attribute set."""
    if not hasattr(part, "prepare_epoch"):
        return True
    for kind in type(part).__mro__:
        if attribute in vars(kind):
            return bool(vars(kind)[attribute])
        if "prepare_epoch" in vars(kind):
            return False
    return False


def require_batches(dataset, section: dict, defaults: dict | None = None) -> None:
    """Refuse data that cannot be gone through, before anything is trained.

    Raises:
        UserError: loader options are missing, there are no data, or fewer than a batch where
            incomplete ones are dropped.
    """
    if not len(make_loader(dataset, section, defaults)):
        raise UserError(
            f"{type(dataset).__name__}: {len(dataset)} items give no whole batch; ask for a "
            "smaller batch_size or drop_last: false"
        )


def make_criterion(section: dict | None, device):
    """The loss of a criterion section on a device; None for null."""
    if section is None:
        return None
    criterion = registry.make("criterion", section)
    return criterion.to(device) if isinstance(criterion, torch.nn.Module) else criterion


def _set_deterministic(deterministic):
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False  # sizes of images vary, each would be searched anew
    if deterministic:
        # Products in cuBLAS are the same every time only where its workspace has a fixed size;
        # it reads this when the first handle is made, so before anything is on a GPU.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
