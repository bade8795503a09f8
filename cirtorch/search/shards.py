"""Descriptors too many for memory: rows in one or several ``.npy`` files, read block by block."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from cirtorch.utils.errors import DataError

INDEX = "shards.json"


class ShardedRows:
    """Rows ``[N, D]`` spread over ``.npy`` files, memory-mapped; ``shape``, slicing of rows.

    Slices are copied to one array ``[rows, D]``, so that a caller holds a block, not a file.
    """

    def __init__(self, arrays):
        self.arrays = list(arrays)
        widths = {array.shape[1] for array in self.arrays}
        if len(widths) != 1:
            raise DataError(f"shards hold descriptors of different sizes: {sorted(widths)}")
        self.ends = np.cumsum([len(array) for array in self.arrays])
        self.shape = (int(self.ends[-1]), widths.pop())

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError("shards are sliced by consecutive rows only")
        parts = []
        for array, end in zip(self.arrays, self.ends, strict=True):
            begin = int(end) - len(array)
            part = array[max(start - begin, 0) : max(stop - begin, 0)]
            if len(part):
                parts.append(part)
        return np.concatenate(parts) if parts else np.zeros((0, self.shape[1]), np.float32)

    def take(self, indices):
        """Chosen rows ``[n, D]`` float32. Args: indices: int64 array ``[n]``."""
        found = np.empty((len(indices), self.shape[1]), np.float32)
        owners = np.searchsorted(self.ends, indices, side="right")
        for owner in np.unique(owners):
            array, here = self.arrays[owner], owners == owner
            found[here] = array[indices[here] - (int(self.ends[owner]) - len(array))]
        return found


class SelectedRows:
    """Some rows of a database, as a database: ``shape``, slicing of rows.

    Args:
        rows: as of :func:`row_blocks`. indices: int64 ``[n]``, ascending.
    """

    def __init__(self, rows, indices):
        self.rows, self.indices = rows, indices
        self.shape = (len(indices), rows.shape[1])

    def __getitem__(self, rows):
        return self.take(np.arange(*rows.indices(len(self.indices))))

    def take(self, indices):
        """Chosen rows ``[n, D]`` float32. Args: indices: int64 array ``[n]`` of places here."""
        return gather_rows(self.rows, self.indices[indices])


@dataclass(frozen=True)
class Shards:
    """Descriptors that an extraction wrote.

    ``rows``: :class:`ShardedRows` ``[N, D]`` float32; ``names``: of the N images, one per row;
    ``images``: folder that the names are relative to; ``network``: fingerprint of the network.
    These two are None where an index does not tell. ``upright``: the images were turned as their
    EXIF says. ``preprocessing``: how they were read, as far as the extraction tells.
    """

    rows: ShardedRows
    names: list[str]
    images: str | None
    network: str | None
    upright: bool = False
    preprocessing: dict = field(default_factory=dict)


def open_shards(folder):
    """The :class:`Shards` of a folder.

    Raises:
        DataError: the folder has no finished index, or a file does not fit it.
    """
    folder = Path(folder)
    if not (folder / INDEX).exists():
        raise DataError(f"{folder}: holds no {INDEX}; its extraction is missing or unfinished")
    index = read_json(folder / INDEX, "shards")
    arrays, names = [], []
    for shard in index["shards"]:
        if not isinstance(shard, dict) or not {"vectors", "names"} <= set(shard):
            raise DataError(f"{folder / INDEX}: {shard!r} tells no file of vectors and of names")
        array = map_rows(folder / str(shard["vectors"]))
        shard_names = read_json(folder / str(shard["names"]), "names")["names"]
        if len(array) != len(shard_names):
            raise DataError(
                f"{folder / shard['vectors']}: {len(array)} rows for {len(shard_names)} names"
            )
        arrays.append(array)
        names += shard_names
    if not arrays:
        raise DataError(f"{folder / INDEX}: names no shards")
    told = index.get("images"), index.get("network"), index.get("upright") is True
    told = *told, index.get("preprocessing") or {}
    return Shards(ShardedRows(arrays), names, *told)


def map_rows(path):
    """The rows ``[N, D]`` of a ``.npy`` file, memory-mapped.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except Exception as error:  # a damaged header makes the parser stumble in many ways
        raise DataError(f"{path}: cannot be read as an array ({error})") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path}: holds no descriptors, which are rows of floats")
    return array


def read_json(path, *keys):
    """The mapping of a JSON file that has all of some keys.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise DataError(f"{path}: is not a mapping with {' and '.join(keys)}")
    return content


def row_blocks(rows, size, device="cpu"):
    """Yield ``(start, tensor [size or fewer, D] float32 on device)`` over all rows.

    ``rows``: NumPy array (memory-mapped or not), tensor, or :class:`ShardedRows`.
    """
    for start in range(0, rows.shape[0], size):
        block = rows[start : start + size]
        if not torch.is_tensor(block):
            block = torch.from_numpy(np.array(block, dtype=np.float32))
        yield start, block.to(device, torch.float32)


def gather_rows(rows, indices):
    """Chosen rows ``[n, D]`` as a float32 array.

    Args:
        rows: as of :func:`row_blocks`. indices: int64 array ``[n]``.
    """
    if torch.is_tensor(rows):
        return rows[torch.from_numpy(indices).to(rows.device)].float().cpu().numpy()
    if isinstance(rows, np.ndarray):
        return np.asarray(rows[indices], dtype=np.float32)
    return rows.take(indices)
