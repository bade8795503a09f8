"""What a training algorithm is to the loop that runs it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from mdir.data.streams import Stream
from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.inference.descriptors import prepare_dataset
from mdir.registry import Problem


@dataclass(frozen=True)
class Dividing:
    """How a batch of a method may be divided among processes.

    Attributes:
        refused: why it may not; None: it may.
        at_once: the images of a batch go through the networks together, not one by one.
        reports_its_part: losses of a step are shares of those of the whole batch, which add up to
            them; false: they are means over the items that are here.
    """

    refused: str | None = None
    at_once: bool = True
    reports_its_part: bool = False


class Method:
    """One training algorithm (kind ``method``; named by ``epoch_iteration.type``).

    A method knows networks, optimizers and losses of one optimisation step. Epochs, files, devices
    and logging are the loop's (:mod:`mdir.learning.loop`), which calls for each epoch:

    1. :meth:`prepare_epoch` with the datasets, all networks in eval mode, and :meth:`results`
    2. :meth:`epoch_data`, which may put other items in the place of the training's
    3. :meth:`step` with each batch, all networks in train mode; now and then :meth:`samples`;
       :meth:`results` once more
    4. :meth:`validates`, and :meth:`state_dict` for the checkpoint

    A batch is what the dataset's ``collate_fn`` (or torch's) makes of its items, on the CPU. Where
    the scenario names several data sections, ``data: [source, target]``, it is a list, a batch of
    each in that order; their samplers, transforms and batch sizes are their own.

    A method declares, as keyword-only parameters of ``__init__``, what a scenario may write
    besides ``type``, ``data`` and ``criterion`` (:data:`mdir.data.sections.DataName`: the name of
    a further data section, which is checked before the run), and as attributes:

        networks: names of the members that the method needs; () if it takes the network as a whole.
        streams: how many data sections its batches may be made of.
        views: how many views of an image it takes; None where the method is not one of views.
        criterion_name: the only criterion that fits it, or a tuple of those that do; None: any
            that is called alike.
        dividing: how a batch may be divided among processes.
        processors: parameters by name of the processors that it needs besides those of
            ``output.learning``.
        keeps_preparation: said again by who defines :meth:`prepare_epoch`: after a step,
            ``state_dict`` holds all of it that further steps need. Without, a killed run goes on at
            the beginning of its epoch, not in the middle.

    Args:
        network: a network or container of networks (``mdir.networks.base.Network``).
        optimizer: a torch optimizer or, for a composition, ``optimizer[name]``.
        criterion: ``criterion(output, target)`` with attribute ``reduction``, or as the method
            says; None where the scenario has none.
        data: ``data(name)`` is the dataset of any data section, with its own transforms
            (:class:`mdir.data.loading.Datasets`).
    """

    networks: tuple[str, ...] = ()
    streams: tuple[int, ...] = (1,)
    views: int | None = None
    criterion_name: str | tuple[str, ...] | None = None
    processors: Mapping[str, dict] = MappingProxyType({})
    dividing = Dividing("its loss compares the images of a batch")
    keeps_preparation = True

    def __init__(self, network, optimizer, criterion, data=None):
        missing = [name for name in self.networks if name not in network]
        if missing:
            given = ", ".join(sorted(network.members)) or "a single network"
            raise UserError(
                f"{type(self).__name__} needs the networks {', '.join(self.networks)}; "
                f"missing: {', '.join(missing)} (given: {given})"
            )
        self.network = network
        self.optimizer = optimizer
        self.criterion = criterion
        self.data = data

    @classmethod
    def check_criterion(cls, iteration: dict, criterion: dict) -> Iterable[Problem]:
        """Problems of the criterion's section, before the run; nothing by default.

        Args:
            iteration: the section ``epoch_iteration``, unchecked like the other.
        """
        return ()

    @property
    def device(self):
        """Where the networks are."""
        return self.network.device

    def check_dataset(self, dataset) -> None:
        """Refuse data that it cannot learn from, before a run writes anything; nothing by default.

        Args:
            dataset: as of :meth:`prepare_epoch`.

        Raises:
            UserError: they do not fit the network or the loss.
        """

    def prepare_offtheshelf(self) -> None:
        """Adapt the untrained networks in a run of 0 epochs; nothing by default."""

    def prepare_epoch(self, dataset, epoch: int) -> dict | None:
        """Before an epoch: mining, clustering, filling of memories; mining alone by default.

        Args:
            dataset: the training's; of several data sections the list of theirs.
            epoch: from 0.

        Returns:
            numbers (or lists of numbers) by name to be logged, seconds where the name ends in
            ``_s``; or None.
        """
        if not isinstance(dataset, list):
            return prepare_dataset(dataset, self.network)
        found = [prepare_dataset(one, self.network) or {} for one in dataset]
        return {
            f"{name}_{at}": value for at, one in enumerate(found, 1) for name, value in one.items()
        }

    def results(self):
        """What the preparation or the steps of the epoch have finished, for processors to keep.

        It is asked for after either, and given once, so that it can be forgotten; None: nothing.
        """

    def epoch_data(self, streams: list[Stream], epoch: int) -> list[Stream]:
        """What the batches of an epoch are made of; the training's data by default."""
        return streams

    def validates(self, epoch: int) -> bool:
        """Whether validations make sense after an epoch; a method of several phases may say no."""
        return True

    def step(self, batch, part=WHOLE) -> dict[str, Tensor | float]:
        """One optimisation step.

        Args:
            batch: as the loader collates it.
            part: which part of it that is (:class:`mdir.distributed.BatchPart`); left out by who
                has the whole, and never given to a method that refuses to be divided. Losses are
                means over the items that are here, :meth:`minimise` weighs their gradients.

        Returns:
            losses by name, ``total`` first: detached scalar tensors, not synchronised (no
            ``.item()`` inside).
        """
        raise TypeError(f"{type(self).__name__} defines no step")

    def minimise(self, loss: Tensor, part=WHOLE) -> None:
        """Add gradients of a loss that is a mean over the items of this part of a batch."""
        (loss * part.weight).backward()

    def samples(self) -> dict[str, Tensor]:
        """Images of the last step by label (input, output, ...); asked for now and then."""
        return {}

    def state_dict(self) -> dict:
        """What must survive a restart besides networks and optimizers: pools, banks, queues."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`."""
