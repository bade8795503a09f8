"""Making networks from scenario sections and from stored files."""

from mdir import registry
from mdir.errors import UserError
from mdir.networks.base import Network, network_from_state
from mdir.networks.containers import CirSequentialNetwork, NetworkSet, SequentialNetwork
from mdir.networks.files import (
    network_files,
    read_network_files,
    read_network_set,
    save_network,
)
from mdir.networks.single import SingleNetwork, SingleNetworkLink

__all__ = [
    "CirSequentialNetwork",
    "Network",
    "NetworkSet",
    "SequentialNetwork",
    "SingleNetwork",
    "SingleNetworkLink",
    "initialize_network",
    "load_network",
    "network_files",
    "network_from_state",
    "read_network_files",
    "read_network_set",
    "save_network",
]


def initialize_network(section: dict, device) -> Network:
    """The network of a training scenario's ``network`` section.

    Raises:
        ComponentError: with every problem of the section.
    """
    return registry.build("network", section, device)


def load_network(section: dict, device) -> Network:
    """The network of a section ``{path, runtime}``; without a path as :func:`initialize_network`.

    ``path`` is a network file, a run's folder or a URL. Top-level keys of ``runtime`` replace the
    stored ones; null, ``{}`` and ``load_from_checkpoint`` leave them.

    Raises:
        UserError, DataError: the section or the files are not as they must be.
    """
    if not section.get("path"):
        return initialize_network(section, device)
    states = read_network_files(section["path"])
    try:
        return network_from_state(states, section.get("runtime"), device=device)
    except UserError as error:
        raise UserError(f"{section['path']}: {error}") from None
