"""The data of the day/night experiments (published project: gandtr)."""

import os

from cirtorch.utils.download import download_parts
from cirtorch.utils.general import get_data_root


def rsfm120k(data_dir: str | os.PathLike | None = None) -> None:
    """Training pictures and databases, the lists of day and night pictures, links to four of them.

    ``data_dir`` defaults to ``<root>/data``.

    Raises:
        DataError: for everything that could not be had, with what to do about it.
    """
    download_parts(data_dir or get_data_root(), "train", "day_night")


def roxf5k_rpar6k_247tokyo1k(data_dir: str | os.PathLike | None = None) -> None:
    """Test data; see :func:`cirtorch.utils.download.download_test`."""
    download_parts(data_dir or get_data_root(), "test")
