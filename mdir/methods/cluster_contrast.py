"""Cluster Contrast (Dai et al., Cluster Contrast for Unsupervised Re-ID, ACCV 2022)."""

from typing import Annotated, Literal

import numpy as np
import torch
from torch.nn.functional import normalize

from mdir.clustering.centroids import class_means
from mdir.clustering.jaccard import jaccard_distance
from mdir.clustering.self_paced import cluster_labels
from mdir.data.sections import DataName
from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.methods.pseudo_labels import (
    BatchNorm,
    PseudoLabelMethod,
    PseudoLabels,
    Seconds,
    from_the_first,
)
from mdir.registry import register
from mdir.registry.ranges import above, at_least


@register("method", "cluster_contrast")
class ClusterContrast(PseudoLabelMethod):
    """Unlabelled images alone. Criterion: cluster_memory, whose ``update`` is plain or hard.

    1. before each epoch: features of all images, Jaccard distances between them, clusters; the
       memory gets a row for each, the mean of its images; images in none are left out
    2. step: each image against the memory; then the row of its cluster follows it

    Args:
        images: data section of the training's images as evaluations see them.
        eps: radius of a cluster, in Jaccard distance.
        k1, k2: neighbours, see :func:`mdir.clustering.jaccard.jaccard_distance`.
        min_samples: images, itself included, that make one the core of a cluster.
        labels: given: the data set's identities are the clusters; the four above have no effect.
        batch_norm: see :class:`mdir.methods.pseudo_labels.PseudoLabelMethod`.
    """

    criterion_name, keeps_preparation = "cluster_memory", True

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        data=None,
        *,
        images: DataName,
        eps: Annotated[float, above(0)] = 0.6,
        k1: Annotated[int, at_least(1)] = 30,
        k2: Annotated[int, at_least(1)] = 6,
        min_samples: Annotated[int, at_least(1)] = 4,
        labels: Literal["clusters", "given"] = "clusters",
        batch_norm: BatchNorm = "synchronised",
    ):
        super().__init__(network, optimizer, criterion, data, images, batch_norm)
        self.eps, self.k1, self.k2, self.min_samples = eps, k1, k2, min_samples
        self.given = labels == "given"

    def prepare_epoch(self, dataset, epoch):
        self.require_same_images(self.images, dataset)
        seconds = Seconds()
        with seconds.of("features"):
            features = self.extract(self.images).numpy()
        found = from_the_first(self.find_labels, features, epoch, seconds)
        centroids = torch.from_numpy(class_means(features, found.labels))
        self.criterion.start(normalize(centroids, dim=1))
        return self.keep(found)

    def find_labels(self, features, epoch, seconds):
        """Clusters of the images, or their identities."""
        if self.given:
            identities = np.array(self.data(self.images).identities)
            if len(np.unique(identities)) < 2:
                raise UserError("cluster_contrast: labels: given needs a set of several identities")
            return PseudoLabels(epoch, identities, seconds)
        with seconds.of("distances"):
            near = jaccard_distance(features, self.k1, self.k2, self.eps, device=self.device)
        with seconds.of("clusters"):
            labels = cluster_labels(near, self.eps, self.min_samples)
        return PseudoLabels(epoch, labels, seconds)

    def epoch_data(self, streams, epoch):
        (stream,) = streams
        return [self.relabelled(stream, epoch)]

    def step(self, batch, part=WHOLE):
        images, about = batch
        x, labels = self.network(images).T, about["identity"]
        loss = self.criterion(x, labels)
        self.optimizer.zero_grad()
        self.minimise(loss, part)
        self.optimizer.step()
        self.criterion.enqueue(part.join(x.detach()), part.join(labels))
        return {"total": loss.detach()}
