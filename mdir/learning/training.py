"""Everything that one training needs, built from a scenario's ``learning.training``."""

import os
from collections.abc import Iterator
from typing import Annotated, Literal

import torch

from mdir import distributed, registry
from mdir.data.loading import Datasets, make_loader
from mdir.data.sections import section_names
from mdir.data.streams import Stream, join_loaders, stream_loaders
from mdir.errors import UserError
from mdir.learning.compute import Runtime, models
from mdir.learning.optimizers import make_optimizer
from mdir.learning.parallel.steps import SharedLoader, SharedSteps
from mdir.learning.schedulers import make_scheduler
from mdir.learning.seeding import generators_state, restore_generators, seed_everything
from mdir.registry import Holds, Section, check, check_parameters, register

ITERATION_KEYS = ("data", "criterion")
SHUFFLED = {"shuffle": True}


def _iteration(
    *, data: str | list[str], criterion: Literal["default"] | Annotated[dict, Section("criterion")]
):
    """What every ``epoch_iteration`` has besides the method's own parameters."""


@register("training", "EpochTraining")
class EpochTraining:
    """A method with its data, loss, optimizer and schedule, over a number of epochs.

    Args:
        network: to be trained.
        data: the data sections by name.
        inputs: columns of names that the step was given.
        epochs: how many in all; a resumed run may ask for more.
        seed: of the whole run; epoch e uses ``seed + e``. Null: by chance.
        deterministic: cuDNN's deterministic algorithms, no search for the fastest.
        criterion: the loss, "default" elsewhere; null if the parts name their own.
        optimizer: of the network, or one for each member (``composition``).
        scheduler: of the learning rates; null keeps them.
        epoch_iteration: the method (``type`` and its own parameters), ``data`` (name of a data
            section, or a list of those whose items each batch joins) and ``criterion`` ("default"
            or a section).
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
        epochs: int,
        seed: int | None,
        deterministic: bool,
        criterion: Annotated[dict, Section("criterion")] | None,
        optimizer: Annotated[dict, Section("optimizer")],
        scheduler: Annotated[dict, Section("scheduler")] | None,
        epoch_iteration: Annotated[dict, Holds(Section("method"), beside=_iteration)],
        epoch_iterations: int | None = None,
        debug: bool = False,
        runtime: Annotated[dict, Holds(Runtime)] | None = None,
    ):
        self.network, self.epochs, self.seed, self.debug = network, epochs, seed, debug
        self.epoch_iterations = epoch_iterations
        self.runtime = Runtime(**(runtime or {}))
        self.runtime.prepare(network)
        self.data = Datasets(data, runtime_data(network), inputs)
        self.streams = [
            Stream(self.data(name), self.data.section(name))
            for name in section_names(epoch_iteration["data"])
        ]
        for stream in self.streams:
            require_batches(stream.dataset, stream.section, SHUFFLED)
        _set_deterministic(deterministic)
        seed_everything(seed)
        self.criterion = make_criterion(criterion, network.device)
        self.optimizer = make_optimizer(optimizer, network)
        self.scheduler = make_scheduler(scheduler, self.optimizer, epochs)
        self.method = self._make_method(epoch_iteration)
        self.shared = None
        if distributed.size() > 1:
            self.shared = SharedSteps(self.method, self.optimizer, models(network))

    def _make_method(self, section):
        rest = {key: value for key, value in section.items() if key not in ITERATION_KEYS}
        criterion = self.criterion
        if section["criterion"] != "default":
            criterion = make_criterion(section["criterion"], self.network.device)
        self.runtime.keep_float32(criterion, self.network.device)
        return registry.build("method", rest, self.network, self.optimizer, criterion, self.data)

    @property
    def dataset(self):
        """The dataset, of several data sections a list of theirs."""
        datasets = [stream.dataset for stream in self.streams]
        return datasets if len(datasets) > 1 else datasets[0]

    @property
    def mean_std(self) -> list | None:
        """The normalization of its images (of the first data section), to be undone for viewing."""
        return self.streams[0].section.get("mean_std")

    def loader(self, seed: int, epoch: int):
        """What :meth:`step` takes in one epoch, shuffled unless the data sections say otherwise."""
        streams = self.method.epoch_data(self.streams, epoch)
        loaders = stream_loaders(streams, SHUFFLED, seed, epoch, self.epoch_iterations)
        return join_loaders(loaders) if self.shared is None else SharedLoader(loaders)

    def step(self, batch) -> dict:
        """One optimisation step; losses by name, not yet fetched from the device."""
        with (
            torch.autograd.set_detect_anomaly(self.debug),
            self.runtime.autocast(self.network.device),
        ):
            if self.shared is not None:
                return self.shared.step(*batch)
            return self.method.step(batch)

    def end_epoch(self) -> None:
        """After the last step of an epoch: processes that share the work become equal again."""
        if self.shared is not None:
            self.shared.end_epoch()

    def extra_state(self) -> dict:
        """What the published format has no place for."""
        return {"generators": generators_state(), "method": self.method.state_dict()}

    def restore(self, learning: dict, extra: dict) -> None:
        """Continue after a stored epoch."""
        self.optimizer.load_state_dict(learning["training"]["optimizer_state"])
        self.scheduler.apply(learning["training"]["epoch"] + 1)
        if "method" in extra:
            self.method.load_state_dict(extra["method"])
        if "generators" in extra:
            restore_generators(extra["generators"])


def require_batches(dataset, section: dict, defaults: dict | None = None) -> None:
    """Refuse data that cannot be gone through, before anything is trained.

    Raises:
        UserError, ComponentError: loader options are wrong or missing, there are no data, or fewer
            than a batch where incomplete ones are dropped.
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
    criterion = registry.build("criterion", section)
    return criterion.to(device) if isinstance(criterion, torch.nn.Module) else criterion


def runtime_data(network) -> dict:
    """The preprocessing that a network brings along."""
    return network.runtime.get("data") or {}


def _set_deterministic(deterministic):
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False  # sizes of images vary, each would be searched anew
    if deterministic:
        # Products in cuBLAS are the same every time only where its workspace has a fixed size;
        # it reads this when the first handle is made, so before anything is on a GPU.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _check_training(params) -> Iterator[tuple[tuple, str]]:
    if isinstance(params.get("epochs"), int) and params["epochs"] < 0:
        yield ("epochs",), f"expected 0 or more, got {params['epochs']}"
    if isinstance(params.get("epoch_iterations"), int) and params["epoch_iterations"] < 1:
        yield ("epoch_iterations",), f"expected 1 or more, got {params['epoch_iterations']}"
    if params.get("runtime"):
        found = check_parameters(Runtime.__init__, params["runtime"], ("runtime",), "runtime")
        yield from ((problem.path, problem.message) for problem in found)
    section = params.get("epoch_iteration")
    if not isinstance(section, dict):
        return
    own = {key: section[key] for key in ITERATION_KEYS if key in section}
    rest = {key: value for key, value in section.items() if key not in ITERATION_KEYS}
    where = ("epoch_iteration",)
    for problem in (
        *check_parameters(_iteration, own, where, "epoch_iteration"),
        *check(Section("method"), rest, where),
    ):
        yield problem.path, problem.message
    if section.get("criterion") == "default" and params.get("criterion", {}) is None:
        yield (*where, "criterion"), "'default' is the training's criterion, which is null"


EpochTraining.check_section = _check_training
