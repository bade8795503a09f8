"""Features as points of a plane, to be looked at."""

import numpy as np

_DISTINCT = 4  # features that a t-SNE needs; of equal ones alone its tree does not end


def tsne_points(vectors: np.ndarray, seed: int) -> list[list[float]] | None:
    """The t-SNE of rows ``[N, D]``, a point a row; None for those of a collapsed network."""
    # imported late: few evaluations draw maps
    from sklearn.manifold import TSNE

    if len(np.unique(vectors, axis=0)) < _DISTINCT:
        return None
    perplexity = min(30, (len(vectors) - 1) // 3)
    tsne = TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
    return tsne.fit_transform(vectors).round(4).tolist()
