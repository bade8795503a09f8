"""Download steps. Parameters are accepted and ignored, as published; the metadata is null."""

from cirtorch.utils import download
from cirtorch.utils.general import get_data_root
from mdir.stages.step import step


@step
def download_train(inputs, **ignored):
    """Images and databases of retrieval-SfM."""
    download.download_train(get_data_root())
    return (None,)


@step
def download_test(inputs, **ignored):
    """Oxford, Paris, their revisited versions and Tokyo 24/7."""
    download.download_test(get_data_root())
    return (None,)


@step
def rsfm120k(inputs, **ignored):
    """Images and databases of retrieval-SfM, day and night lists, links to four images."""
    download.download_parts(get_data_root(), "train", "day_night")
    return (None,)


@step
def roxf5k_rpar6k_247tokyo1k(inputs, **ignored):
    """The same test data as :func:`download_test`."""
    download.download_test(get_data_root())
    return (None,)
