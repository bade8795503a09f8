"""Descriptors of many images through a network and its wrappers.

The one place where mining, whitening and evaluation get their descriptors from.
"""

import time
from collections.abc import Iterator

import torch
from torch.nn.functional import normalize
from torch.utils.data import Dataset, Subset

from cirtorch.datasets.same_size_batches import PIXELS_ON_CPU, PIXELS_ON_GPU, area, one
from cirtorch.networks.extraction import naming
from cirtorch.networks.fused import computed_by, fused_pairs
from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite
from mdir import distributed
from mdir.data.labelled import tensor_of
from mdir.inference.batches import ahead, load_same_size
from mdir.inference.cost import count_batch
from mdir.networks.base import models_of, wrappers_of
from mdir.registry import takes

_BATCH_ON_GPU = 8


class Views(Dataset):
    """One view of each item of a dataset, without what else it tells."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset.view(index)


@torch.no_grad()
def extract_descriptors(network, dataset, loader: dict | None = None, what: str = "descriptors"):
    """Descriptors of every image of a dataset; processes that work together divide them.

    Args:
        network: a :class:`~mdir.networks.base.Network`; it is put into eval mode and stays there.
        dataset: items are images ``[C, H, W]`` (tensors or labelled images), or ``{}`` for one
            that could not be read.
        loader: options of the data loader; ``batch_size`` is the number of images of equal size
            that go through the network together (null: half a million pixels of them on a CPU, 8
            million on a GPU; 1 and 8 images of a model that does not say that it maps images
            apart).
        what: shown beside the progress.

    Returns:
        ``[D, N]`` float32 on the CPU; the column of an unreadable image is NaN. D is the length of
        what the wrappers give, which whitening may have reduced.

    Raises:
        DataError: no image could be read.
    """
    found = extract_together(network, dataset, loader, what)
    if not found:
        raise DataError(f"{what}: none of {len(dataset)} images could be read")
    result = torch.full((len(found[0][1]), len(dataset)), float("nan"))
    for indices, columns in found:
        result[:, indices] = columns
    return result


def extract_unit_rows(network, dataset, loader: dict | None, what: str) -> torch.Tensor:
    """L2-normalised descriptors ``[N, D]``, on the CPU, of one view of each item of a dataset.

    For arguments see :func:`extract_descriptors`.

    Raises:
        DataError: as there, or a descriptor is not finite.
    """
    rows = extract_descriptors(network, Views(dataset), loader, what).T
    require_finite(rows, getattr(dataset, "files", None), what)
    return normalize(rows, dim=1)


def prepare_dataset(dataset, network) -> dict | None:
    """Let a dataset choose the items of an epoch, by what the network sees in images if need be.

    Its ``prepare_epoch(extract)`` gets ``extract(images, what)``, which is
    :func:`extract_descriptors` with the descriptors on the network's device, where mining is
    fastest; ``num_workers`` of the dataset's own loader, if given, holds for it, too.

    Returns:
        numbers (or lists of numbers) by name to be logged, or None.
    """
    if not hasattr(dataset, "prepare_epoch"):
        return None
    if takes(dataset.prepare_epoch, "device"):  # one written for version 1.0
        return dataset.prepare_epoch(network, network.device)

    reading = {"num_workers": getattr(dataset, "num_workers", None)}  # as its data section has it

    def extract(images, what):
        return extract_descriptors(network, images, reading, what).to(network.device)

    return dataset.prepare_epoch(extract)


def extract_together(network, dataset, loader: dict | None = None, what: str = "descriptors"):
    """As :func:`extract_batches`, divided among the processes of a launch; all get the whole.

    Returns:
        a list of ``(indices, columns [D, n] float32 on the CPU)``.
    """
    own, found = distributed.own_part(range(len(dataset))), []
    if own:
        part = dataset if len(own) == len(dataset) else Subset(dataset, own)
        found = [
            ([own[index] for index in indices], columns)
            for indices, columns in extract_batches(network, part, loader, what)
        ]
    return [bucket for part in distributed.gather(found) for bucket in part]


@torch.no_grad()
def extract_batches(
    network, dataset, loader: dict | None = None, what: str = "descriptors"
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """As :func:`extract_descriptors`, batch by batch: ``(indices, columns [D, n])``, on the CPU.

    Indices come in the order in which batches fill; unreadable images are left out.
    """
    network.eval()
    limit, weight = _batch_limit(network, loader)
    faster = fused_pairs(models_of(network)) if network.device.type == "cpu" else []
    batches = load_same_size(dataset, loader, limit, what, weight)
    if network.device.type == "cuda":  # which leaves the processors to the loader
        batches = ahead(batches)
    for indices, images in batches:
        if not isinstance(images, dict):
            begin = time.perf_counter()
            name = image_name(dataset, indices[0], images)
            with computed_by(faster):
                columns = describe(network, images, len(indices), name)
            count_batch(columns, time.perf_counter() - begin, network.device)
            yield indices, columns


def _batch_limit(network, loader):
    """What a batch may hold, and what an image counts: one each, or its pixels.

    Of models that do not say that they map images apart, some take one image at a time.
    """
    on_gpu = network.device.type == "cuda"
    wrappers = wrappers_of(network, "eval")
    if not all(getattr(wrapper, "takes_batches", True) for wrapper in wrappers):
        return 1, one
    if size := (loader or {}).get("batch_size"):
        return size, one
    if getattr(getattr(network, "model", None), "maps_images_apart", False):
        return PIXELS_ON_GPU if on_gpu else PIXELS_ON_CPU, area
    return _BATCH_ON_GPU if on_gpu else 1, one


@torch.no_grad()
def describe(network, batch, count: int, name: str) -> torch.Tensor:
    """Descriptors of one batch, ``[D, count]`` float32 on the CPU, as :func:`extract_batches` has.

    Args:
        network: in eval mode. name: of the first image, for what is told of it.
    """
    with naming(name, batch):
        output = network(batch)
    return _columns(output, count).float().cpu().contiguous()


def image_name(dataset, index: int, batch) -> str:
    """What the first image of a batch is called: its file, where batch or dataset tell it.

    Args:
        index: of the image in the dataset.
    """
    path = getattr(batch[0] if isinstance(batch, list) else batch, "path", None)
    while path is None and hasattr(dataset, "dataset"):
        index = dataset.indices[index] if isinstance(dataset, Subset) else index
        dataset = dataset.dataset
    files = getattr(dataset, "files", None)
    if path is None:
        return f"image {index}" if files is None else str(files[index])
    return path if isinstance(path, str) else path[0]


def _columns(output, count):
    parts = output if isinstance(output, (list, tuple)) else [output]
    columns = torch.cat([_as_columns(part) for part in parts], dim=1)
    if columns.shape[1] != count:
        raise DataError(
            f"{count} images gave an output of shape {tuple(columns.shape)}; descriptors "
            "are columns, one per image"
        )
    return columns


def _as_columns(output):
    """``[D]``, ``[D, n]`` or anything with further axes of length one -> ``[D, n]``."""
    output = tensor_of(output)
    if output.dim() > 2:
        output = output.squeeze()
    return output[:, None] if output.dim() == 1 else output
