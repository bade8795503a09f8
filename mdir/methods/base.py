"""What a training algorithm is to the loop that runs it."""

from torch import Tensor

from mdir.errors import UserError
from mdir.inference.descriptors import prepare_dataset


class Method:
    """One training algorithm (kind ``method``; named by ``epoch_iteration.type``).

    A method knows networks, optimizers and losses of one optimisation step. Epochs, files, devices
    and logging are the loop's. Keyword-only parameters of ``__init__`` are what a scenario may
    write besides ``type``, ``data`` and ``criterion``. Attributes:

        networks: names of the members that the method needs; () if it takes the network as a whole.
        views: how many views of an image it takes; None: it is no method of views.
        criterion_name: the only criterion that fits it; None: any that is called alike.
        undivided_because: why a batch cannot be divided among processes; None where it can.
        at_once: the images of a batch go through the networks together, not one by one.
        part: which part of a divided batch :meth:`step` gets (``mdir.distributed.Part``); None: it
            gets the whole. Losses are means over the items that are here, and gradients are made
            by :meth:`minimise`.
        reports_its_part: losses are shares of those of the whole batch instead.

    Args:
        network: a network or container of networks (``mdir.networks.base.Network``).
        optimizer: a torch optimizer or, for a composition, ``optimizer[name]``.
        criterion: ``criterion(output, target)`` with attribute ``reduction``, or as the method
            says; None where the scenario has none.
    """

    networks: tuple[str, ...] = ()
    views: int | None = None
    criterion_name: str | None = None
    undivided_because: str | None = "its loss compares the images of a batch"
    at_once = True
    part = None
    reports_its_part = False

    def __init__(self, network, optimizer, criterion):
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

    @property
    def device(self):
        """Where the networks are."""
        return self.network.device

    def prepare_offtheshelf(self) -> None:
        """Adapt the untrained networks in a run of 0 epochs; nothing by default."""

    def prepare_epoch(self, dataset, epoch: int) -> dict | None:
        """Before an epoch, networks in eval mode: mining, clustering, filling of memories.

        Returns:
            numbers (or lists of numbers) by name to be logged, or None.
        """
        return prepare_dataset(dataset, self.network)

    def epoch_data(self, dataset, section: dict, epoch: int) -> tuple:
        """What an epoch is to go through; the training's data by default.

        Returns:
            ``(dataset, data section, first epoch of a row of epochs over that dataset)``.
        """
        return dataset, section, 0

    def validates(self, epoch: int) -> bool:
        """Whether validations make sense after an epoch; a method of several phases may say no."""
        return True

    def step(self, batch) -> dict[str, Tensor | float]:
        """One optimisation step on a batch of the loader (tensors on the CPU).

        Returns:
            losses by name, ``total`` first: detached scalar tensors, not synchronised (no
            ``.item()`` inside).
        """
        raise TypeError(f"{type(self).__name__} defines no step")

    def minimise(self, loss: Tensor) -> None:
        """Add gradients of a loss that is a mean over the items that are here."""
        (loss if self.part is None else loss * self.part.weight).backward()

    def samples(self) -> dict[str, Tensor]:
        """Images of the last step by label (input, output, ...); asked for now and then."""
        return {}

    def state_dict(self) -> dict:
        """What must survive a restart besides networks and optimizers: pools, banks, queues."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`."""
