"""Random numbers that depend on the seed and the epoch only, so that a resumed run repeats them."""

import random

import numpy as np
import torch


def seed_everything(seed: int | None) -> None:
    """Seed Python's, NumPy's and torch's global generators; None leaves them as they are."""
    if seed is None:
        return
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_epoch(seed: int | None, epoch: int) -> int:
    """Seed everything for one epoch with ``seed + epoch``; returns the seed for its data loader.

    Without a seed the loader's one comes from torch's generator, which a checkpoint restores.
    """
    if seed is None:
        return int(torch.randint(2**31, ()))
    seed_everything(seed + epoch)
    return seed


def generators_state() -> dict:
    """The state of every global generator, of types that ``weights_only`` loading admits."""
    version, words, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    keys, position = numpy["state"]["key"], numpy["state"]["pos"]
    return {
        "python": [version, list(words), gauss],
        "numpy": [
            numpy["bit_generator"],
            torch.from_numpy(keys.astype(np.int64)),
            position,
            numpy["has_gauss"],
            numpy["gauss"],
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_generators(state: dict) -> None:
    """Put the generators back to a state from :func:`generators_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count() and state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
