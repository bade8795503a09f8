"""Query expansion and database-side augmentation of unit descriptors.

Average expansion: Chum et al., Total Recall, ICCV 2007; weights ``s ** alpha``: Radenović et al.,
Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018; the database by itself:
Gordo et al., End-to-end Learning of Deep Visual Representations for Image Retrieval, IJCV 2017.
"""

import numpy as np
import torch
from torch.nn.functional import normalize

from cirtorch.search.exact import Search
from cirtorch.search.shards import gather_rows, row_blocks

_NUMBERS_AT_ONCE = 1 << 24


def expand_queries(queries, database, k: int, alpha: float, own=None, device="cpu"):
    """Each query plus its ``k`` nearest rows, weighted by ``max(similarity, 0) ** alpha``.

    ``alpha`` 0 is average expansion, ``k`` 0 changes nothing; there are no more neighbours than
    rows. Memory grows with the result and with ``Q k``.

    Args:
        queries: ``[Q, D]`` unit rows. database: ``[N, D]`` unit rows: array, memory map, tensor or
            :class:`~cirtorch.search.shards.ShardedRows`.
        own: int64 ``[Q]``, each query's row in the database, which is no neighbour of its own; -1
            where it has none. Null: none has.
        device: where neighbours are searched.

    Returns:
        ``[Q, D]`` float32 unit rows on the CPU.

    Raises:
        DataError: NaN or infinity in a row.
    """
    own = np.full(queries.shape[0], -1) if own is None else own
    found, weights = _neighbours(queries, database, k, alpha, own, device)
    expanded = torch.empty(queries.shape)
    step = max(1, _NUMBERS_AT_ONCE // max(1, found.shape[1] * queries.shape[1]))
    for start, block in row_blocks(queries, step):
        part = slice(start, start + len(block))
        rows = torch.from_numpy(gather_rows(database, found[part].ravel()))
        sums = torch.einsum("bk,bkd->bd", weights[part], rows.view(*found[part].shape, -1))
        expanded[part] = normalize(block + sums, dim=1) if k else block
    return expanded


def augment_database(database, k: int, alpha: float, device="cpu"):
    """Each row of a database expanded by the others, all at once; see :func:`expand_queries`.

    Returns:
        ``[N, D]`` float32 unit rows on the CPU.
    """
    return expand_queries(database, database, k, alpha, np.arange(database.shape[0]), device)


def _neighbours(queries, database, k, alpha, own, device):
    """``[Q, k + 1]`` rows and their weights, 0 for a query's own row and for the last otherwise."""
    scores, found = Search(database, device=device).search(queries, k + 1)
    others = found != own[:, None]
    others &= others.cumsum(axis=1) <= k
    return found, torch.from_numpy(others * np.maximum(scores, 0) ** np.float32(alpha))
