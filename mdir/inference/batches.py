"""Images are loaded one by one; those of one size go through a network together."""

from collections.abc import Iterator

from torch.utils.data import default_collate

from cirtorch.datasets.same_size_batches import same_size_batches
from cirtorch.utils.progress import progress
from mdir.data.loading import make_loader


def load_same_size(
    dataset, loader: dict | None, batch_size: int, what: str
) -> Iterator[tuple[list[int], object]]:
    """A pass over a dataset in batches of one size; see :func:`same_size_batches` for the order.

    Args:
        dataset: items are images ``[C, H, W]`` (tensors or labelled images), ``{}`` for one that
            cannot be read, or tuples (rows of several images, kept to themselves).
        loader: options of the data loader, whose own ``batch_size`` does not count.
        what: shown beside the progress.

    Yields:
        positions in the dataset, and the batch of their items: ``[B, C, H, W]``, labelled or not,
        ``{}``, or a list of batches of one.
    """
    one_by_one = {**(loader or {}), "batch_size": 1, "shuffle": False, "drop_last": False}
    items = make_loader(dataset, {"loader": one_by_one}, collate_fn=_only)
    for positions, images in same_size_batches(progress(items, len(dataset), what), batch_size):
        yield positions, default_collate(images)


def _only(batch):
    (item,) = batch
    return item
