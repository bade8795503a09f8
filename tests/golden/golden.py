"""Access to the golden vectors: their folder, weights and random inputs by the published rules."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def golden_root() -> Path:
    """``GOLDEN_ROOT``, or ``../shared/golden`` beside the checkout."""
    return Path(os.environ.get("GOLDEN_ROOT", ROOT.parent / "shared" / "golden")).resolve()


def present(topic: str, name: str) -> Path | None:
    """The path of a golden file, or None where the set lacks it."""
    path = golden_root() / topic / name
    return path if path.exists() else None


def needs(topic: str, name: str) -> Path:
    """The path of a golden file; skips the test with a message where it is absent."""
    path = golden_root() / topic / name
    if not path.exists():
        pytest.skip(f"golden file {path} is absent (set GOLDEN_ROOT)")
    return path


def load_json(topic: str, name: str, default=None):
    """A golden JSON file, or ``default`` where absent (for collecting cases)."""
    path = present(topic, name)
    return default if path is None else json.loads(path.read_text())


def load_npz(topic: str, name: str):
    """All arrays of a golden ``.npz`` as a dict; empty where the file is absent."""
    path = present(topic, name)
    return {} if path is None else dict(np.load(path, allow_pickle=False))


def needed_npz(topic: str, name: str):
    """All arrays of a golden ``.npz`` as a dict; skips the test where the file is absent."""
    return dict(np.load(needs(topic, name), allow_pickle=False))


def filled(key: str, shape, prefix: str = "", kept=("p",)):
    """The value of one state_dict entry by the fill rule (float32), None if it is to stay."""
    last = key.rpartition(".")[2]
    if last in kept:
        return None
    n = np.random.RandomState(zlib.crc32((prefix + key).encode())).standard_normal(tuple(shape))
    if key.endswith("running_var"):
        value = 0.5 + np.abs(0.1 * n)
    elif key.endswith("running_mean"):
        value = 0.1 * n
    elif len(shape) == 1 and key.endswith("weight"):
        value = 1 + 0.1 * n
    elif key.endswith("bias"):
        value = 0.05 * n
    else:
        value = n / np.sqrt(np.prod(shape[1:]))
    return np.asarray(value).astype(np.float32)


def fill(module, prefix: str = "", kept=("p", "filt")):
    """Fill every floating entry of ``module.state_dict()`` by the rule; returns the module."""
    import torch

    state = module.state_dict()
    for key, tensor in state.items():
        if tensor.is_floating_point():
            value = filled(key, tensor.shape, prefix, kept)
            if value is not None:
                state[key] = torch.from_numpy(value).to(tensor.dtype).reshape(tensor.shape)
    module.load_state_dict(state)
    return module


def uniform(seed: int, shape):
    """``U(seed, shape)``: uniform in [-1, 1], float32."""
    return np.random.RandomState(seed).uniform(-1, 1, tuple(shape)).astype(np.float32)


def normal(seed: int, shape):
    """``N(seed, shape)``: standard normal, float32."""
    return np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32)


def files(topic: str, pattern: str) -> list[str]:
    """Names of the golden files of a kind, e.g. ``files("contrastive", "recall*.npz")``."""
    return sorted(path.name for path in (golden_root() / topic).glob(pattern))


def array_cases(topic: str, pattern: str, ending: str) -> list:
    """Cases of all ``.npz`` files of a kind: every prefix ``CASE`` of an array ``CASE_ending``.

    Returns pytest parameters (file name, case).
    """
    cases = []
    for name in files(topic, pattern):
        with np.load(golden_root() / topic / name, allow_pickle=False) as arrays:
            found = [key[: -len(ending) - 1] for key in arrays.files if key.endswith("_" + ending)]
        cases += [pytest.param(name, case, id=f"{name}-{case}") for case in sorted(found)]
    return cases
