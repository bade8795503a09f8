"""The retrieval methods written plainly, as published: one image at a time, full sorts, loops."""

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from cirtorch.datasets.genericdataset import ImagesFromList


def extract(net, images, image_size, transform, ms, msp, workers):
    """Descriptors ``[D, N]``, one image after the other."""
    dataset = ImagesFromList("", images, image_size, transform=transform)
    vecs = torch.zeros(net.meta["outputdim"], len(images))
    with torch.no_grad():
        for i, x in enumerate(DataLoader(dataset, batch_size=1, num_workers=workers)):
            v = torch.zeros(net.meta["outputdim"])
            for s in ms:
                scaled = x
                if s != 1:
                    scaled = F.interpolate(x, scale_factor=s, mode="bilinear", align_corners=False)
                v += net(scaled).pow(msp).squeeze()
            v = (v / len(ms)).pow(1 / msp)
            vecs[:, i] = v / v.norm() if len(ms) > 1 else v
    return vecs


def mine(qvecs, pool, query_clusters, pool_clusters, neg_num):
    """Positions of the negatives ``[Q, neg_num]``: all scores, a full sort, a walk a query."""
    ranks = torch.sort(torch.mm(pool.t(), qvecs), dim=0, descending=True, stable=True)[1]
    result = []
    for q in range(qvecs.shape[1]):
        clusters, chosen, r = [query_clusters[q]], [], 0
        while len(chosen) < neg_num:
            candidate = int(ranks[r, q])
            if pool_clusters[candidate] not in clusters:
                chosen.append(candidate)
                clusters.append(pool_clusters[candidate])
            r += 1
        result.append(chosen)
    return torch.tensor(result)


def anchors(vecs, size, exclude, include):
    """Diverse anchors: the similarities to all picked ones anew in every step."""
    picked = [0]
    for _ in range(size - 1):
        similarity = (vecs.t() @ vecs[:, picked]).max(dim=1).values
        similarity[picked] = float("inf")
        valid = vecs.shape[1] - len(picked)
        stop = max(int(valid * (1 - exclude)), 1)
        start = min(int(valid * (1 - include)), stop - 1)
        band = torch.argsort(similarity, stable=True)[start:stop]
        picked.append(int(band[torch.randint(len(band), (1,))]))
    return picked


def mean_average_precision(vecs, qvecs, gnd):
    """Mean average precision from the matrix of all ranks."""
    ranks = np.argsort(-np.dot(vecs.T, qvecs), axis=0, kind="stable")
    total = 0.0
    for i, query in enumerate(gnd):
        positions = np.arange(len(ranks))[np.isin(ranks[:, i], query["ok"])]
        junk = np.arange(len(ranks))[np.isin(ranks[:, i], query["junk"])]
        ap, skipped = 0.0, 0
        for j, position in enumerate(positions):
            while skipped < len(junk) and position > junk[skipped]:
                skipped += 1
            rank = position - skipped
            before = 1.0 if rank == 0 else j / rank
            ap += (before + (j + 1) / (rank + 1)) * (1.0 / len(query["ok"])) / 2.0
        total += ap
    return total / len(gnd)


def whiten(X, qidxs, pidxs):
    """Learned whitening with whole copies and the general eigensolver."""
    m = X[:, qidxs].mean(axis=1, keepdims=True)
    difference = X[:, qidxs] - X[:, pidxs]
    P = np.linalg.inv(np.linalg.cholesky(difference @ difference.T / difference.shape[1]))
    Y = P @ (X - m)
    values, vectors = np.linalg.eig(Y @ Y.T)
    return m, vectors[:, values.argsort()[::-1]].T @ P


def search(database, queries, k):
    """Scores of the whole database in double precision, all of them sorted."""
    scores = queries.astype(np.float64) @ database.T.astype(np.float64)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def augment(database, k, alpha):
    """Rows ``[N, D]`` with their ``k`` nearest ones, one row after the other."""
    result = []
    for number, row in enumerate(database):
        similarities = database @ row
        order = np.argsort(-similarities, kind="stable")
        near = order[order != number][:k]
        total = row + sum(max(similarities[i], 0) ** alpha * database[i] for i in near)
        result.append(total / np.linalg.norm(total))
    return np.stack(result)


def superglobal(query, rows, neighbours, beta):
    """Places of a query's first images by SuperGlobal, one image after the other."""
    refined = []
    for number, row in enumerate(rows):
        similarities = rows @ row
        order = np.argsort(-similarities, kind="stable")
        near = order[order != number][:neighbours]
        weights = np.array([1, *(beta * max(similarities[i], 0) for i in near)])
        refined.append(weights @ rows[[number, *near]].astype(np.float64) / weights.sum())
    refined = np.stack(refined)
    first = refined @ query
    order = np.argsort(-first, kind="stable")
    second = first + refined @ refined[order[: neighbours + 1]].max(axis=0)
    return order[np.argsort(-second[order], kind="stable")].tolist()
