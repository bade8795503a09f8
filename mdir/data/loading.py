"""From a data section of a scenario to batches.

Randomness of a sample depends on (seed, epoch, index) only, so that any number of workers, and a
run resumed after being killed, give the same batches bit for bit.
"""

import copy
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from mdir import registry
from mdir.data import labelled  # noqa: F401  (teaches the default collate labelled images)
from mdir.data.transforms.parse import check_transforms, parse_transforms
from mdir.errors import UserError
from mdir.registry import Check, Problem, Section, check_parameters, register

_MAX_WORKERS = 6
_PATIENCE_S = 600  # a worker that gives nothing for so long is an error, not a hang
_PASSES = 10**6  # passes that begin with one epoch are numbered apart from those of the next
_SHUFFLE, _WORKERS = -1, -2  # in place of an index, for what belongs to no sample


def loader_options(
    *,
    batch_size: int | None = None,
    shuffle: bool = False,
    num_workers: int | None = None,
    pin_memory: bool = True,
    drop_last: bool = False,
    prefetch_factor: int | None = None,
    timeout: float = _PATIENCE_S,
) -> dict:
    """The ``loader`` part of a data section with its defaults filled in.

    ``num_workers`` null: as many as the machine has processors, at most 6. ``timeout`` in seconds.
    """
    if num_workers is None:
        num_workers = min(_MAX_WORKERS, len(os.sched_getaffinity(0)))
    options = locals()
    if num_workers == 0:
        options.update(timeout=0, prefetch_factor=None)
    return options


def _check_mean_std(value):
    if len(value) != 2 or len(value[0]) != len(value[1]):
        raise ValueError("expected [means, standard deviations], two lists of one length")
    if any(float(std) == 0 for std in value[1]):
        raise ValueError("a standard deviation is zero")


@register("data", "")
def data_section(
    *,
    dataset: dict,
    loader: dict | None = None,
    transforms: Annotated[str, Check(check_transforms)] | None = None,
    mean_std: Annotated[list[list[float]], Check(_check_mean_std)] | None = None,
) -> dict:
    """One entry of ``data``; transforms and mean_std may come from the network's runtime instead.

    ``dataset`` is a dataset section; with input data it may also hold ``data_cols: "a:b"``, the
    columns of the input to use. ``loader``: see :func:`loader_options`.
    """
    return {
        "dataset": dataset,
        "loader": loader or {},
        "transforms": transforms,
        "mean_std": mean_std,
    }


def _check_parts(section) -> Iterator[tuple[tuple, str]]:
    dataset, loader = section.get("dataset"), section.get("loader")
    if isinstance(dataset, dict):
        dataset = {key: value for key, value in dataset.items() if key != "data_cols"}
        for problem in registry.check(Section("dataset"), dataset, ("dataset",)):
            yield problem.path, problem.message
    if isinstance(loader, dict):
        for problem in check_parameters(loader_options, loader, ("loader",), "loader"):
            yield problem.path, problem.message


data_section.check_section = _check_parts


def check_data_section(section, path: tuple = (), defaults: dict | None = None):
    """Every :class:`Problem` of a data section that is going to be used.

    With ``defaults`` (the network's ``runtime.data``), also that a dataset has its transforms'
    mean_std. Sections that a step does not use are better left unchecked: the published scenarios
    share files between steps and leave some incomplete.
    """
    if not isinstance(section, dict):
        yield Problem(path, f"expected a data section (a mapping), got {section!r}")
        return
    merged = merge_defaults(section, defaults)
    yield from check_parameters(data_section, merged, path, "data section")
    if defaults is not None and not merged.get("mean_std") and _normalizes(merged):
        yield Problem(path, "mean_std is missing: the transforms normalize")


def _normalizes(section):
    return "normalize" in str(section.get("transforms") or "")


def merge_defaults(section: dict, defaults: dict | None) -> dict:
    """A data section over the network's ``runtime.data`` (transforms, mean_std)."""
    return {**(defaults or {}), **{k: v for k, v in section.items() if v is not None}}


def make_dataset(section: dict, defaults: dict | None = None, inputs=()):
    """Build the dataset of a data section.

    Args:
        section: ``{dataset, transforms, mean_std, loader}`` as the scenario has it.
        defaults: the network's ``runtime.data``; the section's own values win.
        inputs: columns of names and the like that the step was given.

    Raises:
        ComponentError, UserError: the section is not right, or the dataset's files are not.
    """
    section = merge_defaults(section, defaults)
    problems = list(check_data_section(section, (), {}))
    if problems:
        raise registry.ComponentError(problems)
    dataset = dict(section["dataset"])
    columns = dataset.pop("data_cols", None)
    transform = parse_transforms(section.get("transforms"), section.get("mean_std"))
    return registry.build("dataset", dataset, transform, select_columns(inputs, columns))


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
        UserError: no batch size is given, or the dataset is empty (or smaller than a batch).
    """
    own = getattr(dataset, "loader_defaults", None) or {}
    layers = {**(stage_defaults or {}), **own, **(section.get("loader") or {})}
    problems = list(check_parameters(loader_options, layers, ("loader",), "loader"))
    if problems:
        raise registry.ComponentError(problems)
    options = loader_options(**layers)
    if options["batch_size"] is None:
        raise UserError("loader: batch_size is missing")
    if len(dataset) == 0:
        raise UserError(f"{type(dataset).__name__}: the dataset is empty")
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    options["pin_memory"] = options["pin_memory"] and torch.cuda.is_available()
    options["num_workers"] = min(options["num_workers"], len(dataset))
    sampler = EpochSampler(len(dataset), options.pop("shuffle"), seed, epoch)
    if iterations is not None:
        sampler = PassesSampler(sampler, options["batch_size"], iterations, first_epoch)
    return DataLoader(
        SeededDataset(dataset, seed, epoch),
        sampler=sampler,
        collate_fn=collate_fn or getattr(dataset, "collate_fn", None) or default_collate,
        generator=torch.Generator().manual_seed(sample_seed(seed, epoch, _WORKERS)),
        worker_init_fn=_start_worker,
        multiprocessing_context="fork" if options["num_workers"] else None,
        **options,
    )


class EpochSampler(Sampler):
    """All indices once, in order or shuffled by a generator of (seed, epoch)."""

    def __init__(self, length: int, shuffle: bool, seed: int, epoch: int):
        self.length, self.shuffle, self.seed, self.epoch = length, shuffle, seed, epoch

    def __len__(self):
        return self.length

    def __iter__(self):
        if not self.shuffle:
            return iter(range(self.length))
        generator = torch.Generator().manual_seed(sample_seed(self.seed, self.epoch, _SHUFFLE))
        return iter(torch.randperm(self.length, generator=generator).tolist())


class PassesSampler(Sampler):
    """The indices of ``iterations`` batches out of an endless row of passes over a dataset.

    Yields (pass, index): an image that comes twice within an epoch gets other random numbers.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, iterations: int, first_epoch: int):
        self.sampler, self.batch_size, self.iterations = sampler, batch_size, iterations
        self.first_epoch = first_epoch
        if len(sampler) < batch_size:
            raise UserError(f"the dataset has {len(sampler)} items, a batch {batch_size}")

    def __len__(self):
        return self.iterations * self.batch_size

    def __iter__(self):
        start = (self.sampler.epoch - self.first_epoch) * self.iterations
        batches = len(self.sampler) // self.batch_size
        current, order = None, []
        for iteration in range(start, start + self.iterations):
            number, batch = divmod(iteration, batches)
            if number != current:
                current, one_pass = number, copy.copy(self.sampler)
                one_pass.epoch = self.first_epoch * _PASSES + number
                order = list(one_pass)
            for index in order[batch * self.batch_size : (batch + 1) * self.batch_size]:
                yield one_pass.epoch, index


class SeededDataset(Dataset):
    """A dataset whose item i is made with all generators seeded from (seed, epoch, i)."""

    def __init__(self, dataset, seed: int, epoch: int):
        self.dataset, self.seed, self.epoch = dataset, seed, epoch

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index) -> Any:
        epoch, index = index if isinstance(index, tuple) else (self.epoch, index)
        with seeded(sample_seed(self.seed, epoch, index)):
            return self.dataset[index]


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """63 well-mixed bits of (seed, epoch, index)."""
    entropy = [number % 2**64 for number in (seed, epoch, index)]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def seeded(seed: int):
    """Seed Python's, NumPy's and torch's CPU generators inside the block; restore them after."""
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])


def _start_worker(_):
    # Workers are the parallelism; threads of OpenCV's own do not survive a fork.
    import cv2

    cv2.setNumThreads(0)
