"""Images are loaded one by one; those of one size go through a network together."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from torch.utils.data import default_collate

from cirtorch.datasets.same_size_batches import one, same_size_batches
from cirtorch.utils.progress import progress
from mdir.data.loading import make_loader

_END = object()


def load_same_size(
    dataset, loader: dict | None, limit: int, what: str, weight: Callable = one
) -> Iterator[tuple[list[int], object]]:
    """A pass over a dataset in batches of one size; see :func:`same_size_batches` for the order.

    Args:
        dataset: items are images ``[C, H, W]`` (tensors or labelled images), ``{}`` for one that
            cannot be read, or tuples (rows of several images, kept to themselves).
        loader: options of the data loader, whose own ``batch_size`` does not count.
        limit: images of a batch, or whatever ``weight`` counts.
        what: shown beside the progress.
        weight: of an image, see :func:`same_size_batches`.

    Yields:
        positions in the dataset, and the batch of their items: ``[B, C, H, W]``, labelled or not,
        ``{}``, or a list of batches of one.
    """
    # Pinned, each image would be copied once more, only to be stacked into pageable memory.
    one_by_one = {"batch_size": 1, "shuffle": False, "drop_last": False, "pin_memory": False}
    one_by_one = {**(loader or {}), **one_by_one}
    items = make_loader(dataset, {"loader": one_by_one}, collate_fn=_only)
    loaded = progress(items, len(dataset), what)
    for positions, images in same_size_batches(loaded, limit, weight):
        yield positions, default_collate(images)


def ahead(iterable: Iterable) -> Iterator:
    """The same, each item but the first made by a thread while the one before it is in use."""
    rest = iter(iterable)
    # The first is made by the caller: a loader begins its processes with it, and such a process,
    # if a thread of the pool had begun it, would wait for that thread at its end, and fail.
    item = next(rest, _END)
    with ThreadPoolExecutor(1) as thread:
        while item is not _END:
            coming = thread.submit(next, rest, _END)
            yield item
            item = coming.result()


def _only(batch):
    (item,) = batch
    return item
