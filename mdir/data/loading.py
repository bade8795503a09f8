"""From a data section of a scenario to batches."""

import os
import signal

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from cirtorch.datasets import cut_short
from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.data import labelled  # noqa: F401  (teaches the default collate labelled images)
from mdir.data.decoded_cache import CachedCompose, DecodedCache
from mdir.data.samplers import EpochSampler, OnePass, PassesSampler, sample_seed, seeded
from mdir.data.sections import loader_options, merge_defaults
from mdir.data.transforms.parse import Compose, parse_transforms
from mdir.errors import USER_ERRORS, UserError

_WORKERS = -2  # in place of an index: what the loader itself draws belongs to no sample


def make_dataset(section: dict, defaults: dict | None = None, inputs=()):
    """Build the dataset of a data section.

    Args:
        section: ``{dataset, transforms, mean_std, loader}`` of a scenario, checked already.
        defaults: the network's ``runtime.data``; the section's own values win.
        inputs: columns of names and the like that the step was given.

    Raises:
        DataError, UserError: the transforms do not fit the defaults, or the dataset's files are not
            right.
    """
    section = merge_defaults(section, defaults)
    dataset = dict(section["dataset"])
    columns = dataset.pop("data_cols", None)
    transform = make_pipeline(
        section.get("transforms"), section.get("mean_std"), section.get("decoded_cache")
    )
    made = registry.make("dataset", dataset, transform, select_columns(inputs, columns))
    made.strict_images = section.get("strict_images", False)
    made.num_workers = (section.get("loader") or {}).get("num_workers")
    if hasattr(made, "require_files"):  # so that no night is lost to the last of them
        made.require_files()
    return made


def make_pipeline(text: str | None, mean_std, decoded_cache: float | str | None) -> Compose:
    """The pipeline of :func:`parse_transforms`, with a cache of so many GiB unless that is None."""
    plain = parse_transforms(text, mean_std)
    if decoded_cache is None:
        return plain
    return CachedCompose(plain.transforms, DecodedCache(float(decoded_cache)))


class Datasets:
    """The datasets of a step's data sections by name, each made at its first use.

    Args:
        sections: the data sections by name.
        defaults: the network's ``runtime.data``; a section's own values win.
        inputs: columns of names and the like that the step was given.
    """

    def __init__(self, sections: dict, defaults: dict | None = None, inputs=()):
        self._sections, self._defaults, self._inputs = sections, defaults, inputs
        self._made = {}

    def section(self, name: str) -> dict:
        """The data section of that name, with the defaults filled in; UserError without one."""
        if name not in self._sections:
            raise UserError(registry.unknown("data section", name, self._sections))
        return merge_defaults(self._sections[name], self._defaults)

    def __call__(self, name: str) -> Dataset:
        """The dataset of that section, the same at every call."""
        if name not in self._made:
            self._made[name] = make_dataset(self.section(name), None, self._inputs)
        return self._made[name]


def select_columns(inputs, columns: str | None) -> tuple:
    """The ``"a:b"`` slice of the input's columns (all for None)."""
    if columns is None:
        return tuple(inputs)
    try:
        start, end = (int(part) if part else None for part in columns.split(":"))
    except ValueError:
        raise UserError(f"data_cols {columns!r}: expected first:end, such as 0:2") from None
    return tuple(inputs)[start:end]


def make_loader(
    dataset,
    section: dict,
    stage_defaults: dict | None = None,
    seed: int | None = 0,
    epoch: int = 0,
    collate_fn=None,
    iterations: int | None = None,
    first_epoch: int = 0,
) -> DataLoader:
    """A loader for one epoch, a pass over ``dataset``; make a new one for each epoch.

    Precedence of options, low to high: the published defaults, ``stage_defaults`` (training:
    ``shuffle: true``), the dataset's ``loader_defaults``, the section's ``loader``.

    Args:
        seed: with ``epoch`` and the index it decides a sample's random numbers; None: by chance.
        collate_fn: makes a batch of a list of items; the dataset's own, or torch's by default.
        iterations: an epoch is so many batches instead, of an endless row of passes (whose
            incomplete last batches are left out) that begins with ``first_epoch``.

    Raises:
        UserError: no batch size is given, or a pass is empty (with ``iterations``: smaller than a
            batch).
        DataError: in iterating, what was wrong with an item.
    """
    own = getattr(dataset, "loader_defaults", None) or {}
    layers = {**(stage_defaults or {}), **own, **(section.get("loader") or {})}
    options = registry.construct(loader_options, layers, len(dataset))
    if options["batch_size"] is None:
        raise UserError("loader: batch_size is missing")
    if len(dataset) == 0:
        raise UserError(f"{type(dataset).__name__}: the dataset is empty")
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    options["pin_memory"] = options["pin_memory"] and torch.cuda.is_available()
    sampler = _sampler(options.pop("sampler"), dataset, options.pop("shuffle"), seed, epoch)
    if iterations is None:
        sampler = OnePass(sampler)
    else:
        sampler = PassesSampler(sampler, options["batch_size"], iterations, first_epoch)
    return _Loader(
        _Items(dataset, seed),
        sampler=sampler,
        collate_fn=_GuardedCollate(
            collate_fn or getattr(dataset, "collate_fn", None) or default_collate
        ),
        generator=torch.Generator().manual_seed(sample_seed(seed, epoch, _WORKERS)),
        worker_init_fn=_start_worker,
        multiprocessing_context="fork" if options["num_workers"] else None,
        **options,
    )


def _sampler(section, dataset, shuffle, seed, epoch):
    if section is None:
        return EpochSampler(len(dataset), shuffle, seed, epoch)
    return registry.make("sampler", section, dataset, seed, epoch)


class _Loader(DataLoader):
    """Raises what is wrong with the data here, with its own message instead of a worker's trace."""

    def __iter__(self):
        for batch in super().__iter__():
            if isinstance(batch, DataError):
                raise batch
            yield batch


class _Items(Dataset):
    """Items made with all generators seeded, or the :class:`DataError` that came up in making one.

    They are asked for as :class:`OnePass` gives them.
    """

    def __init__(self, dataset, seed):
        self.dataset, self.seed, self.strict = dataset, seed, _is_strict(dataset)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, place):
        try:
            cut_short.found.clear()
            with seeded(sample_seed(self.seed, *place)):
                item = self.dataset[place[1]]
            if self.strict and cut_short.found:
                faults = "; ".join(dict.fromkeys(cut_short.found))
                raise DataError(f"{faults}, which strict_images does not admit")
            return item
        except USER_ERRORS as error:
            return DataError(str(error))


def _is_strict(dataset):
    """What :func:`make_dataset` noted, also of the dataset behind a part or a view of it."""
    while not hasattr(dataset, "strict_images") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return getattr(dataset, "strict_images", False)


class _GuardedCollate:
    def __init__(self, collate):
        self.collate = collate

    def __call__(self, items):
        errors = [item for item in items if isinstance(item, DataError)]
        return errors[0] if errors else self.collate(items)


def _start_worker(_):
    # Workers are the parallelism; threads of OpenCV's own do not survive a fork.
    import cv2

    cv2.setNumThreads(0)
    # A job manager ends all processes at once: a worker that went first with any other status
    # would look like a failure, before the main process says that it was asked to end.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
