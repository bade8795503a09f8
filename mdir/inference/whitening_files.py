"""Lists of matching images that whitenings are learned on."""

from cirtorch.datasets.databases import load_database
from mdir.artifacts import used
from mdir.paths import local_file


def read_pairs(path: str) -> tuple[list[str], list[int], list[int]]:
    """``cids``, ``qidxs``, ``pidxs`` of a whitening list: images, and the numbers of matching ones.

    Raises:
        DataError: the file lacks a part or names an image outside its list.
    """
    place = local_file(path)
    used(place)
    columns = load_database(place)
    return columns["cids"], columns["qidxs"], columns["pidxs"]
