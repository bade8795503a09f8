"""SpCL (Ge et al., Self-paced Contrastive Learning with Hybrid Memory, NeurIPS 2020)."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from torch.nn.functional import normalize

from mdir.clustering.centroids import class_means
from mdir.clustering.jaccard import jaccard_distance
from mdir.clustering.self_paced import cluster_labels, noise_apart, self_paced_labels
from mdir.data.sections import DataName
from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.methods.base import Dividing
from mdir.methods.pseudo_labels import (
    BatchNorm,
    PseudoLabelMethod,
    PseudoLabels,
    Seconds,
    from_the_first,
)
from mdir.registry import register
from mdir.registry.ranges import above, at_least


@register("method", "spcl")
class SpCL(PseudoLabelMethod):
    """Unlabelled images beside a labelled source (UDA), or alone (USL). Criterion: hybrid_memory.

    Data: ``[source, target]``, whose batches are of one size and go through the network together,
    the source's first; or the target alone.

    1. before the first epoch: the memory gets a row for each class of the source, the mean of its
       images, and one for each image of the target
    2. before each epoch: Jaccard distances between the target's rows, clusters at three radii; an
       image stays in its cluster where that is independent of the others (hardly joined by them at
       the looser radius) and compact (hardly broken at the tighter one), and is alone elsewhere
    3. step: each image against the memory, where classes, clusters and lone images compete; then
       the rows of its class or itself follow it

    Args:
        images: data section of the target's images as evaluations see them.
        source_images: the same of the source; null: there is none.
        eps: radius of a cluster, in Jaccard distance. eps_gap: how much the other radii differ.
        k1, k2: neighbours, see :func:`mdir.clustering.jaccard.jaccard_distance`.
        min_samples: images, itself included, that make one the core of a cluster.
        self_paced: false: all clusters are trusted, as without the paper's two criteria.
        batch_norm: see :class:`mdir.methods.pseudo_labels.PseudoLabelMethod`.
    """

    criterion_name, streams, keeps_preparation = "hybrid_memory", (1, 2), True

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        data=None,
        *,
        images: DataName,
        source_images: DataName | None = None,
        eps: Annotated[float, above(0)] = 0.6,
        eps_gap: Annotated[float, at_least(0)] = 0.02,
        k1: Annotated[int, at_least(1)] = 30,
        k2: Annotated[int, at_least(1)] = 6,
        min_samples: Annotated[int, at_least(1)] = 4,
        self_paced: bool = True,
        batch_norm: BatchNorm = "synchronised",
    ):
        super().__init__(network, optimizer, criterion, data, images, batch_norm)
        if criterion.gradients == "published":
            self.dividing = Dividing("published gradients refresh the memory before it is whole")
        self.source_images, self.self_paced = source_images, self_paced
        self.eps, self.eps_gap, self.k1, self.k2 = eps, eps_gap, k1, k2
        self.min_samples, self.threshold, self.classes = min_samples, None, 0

    def prepare_epoch(self, dataset, epoch):
        self.require_streams(dataset)
        seconds = Seconds()
        with seconds.of("features"):
            if self.criterion.features is None:
                self.start_memory()
        found, self.threshold = from_the_first(self.find_labels, epoch, seconds)
        labels = torch.from_numpy(found.labels)
        self.criterion.relabel(torch.cat([torch.arange(self.classes), self.classes + labels]))
        return self.keep(found)

    def require_streams(self, dataset):
        """Data sections and those that describe their images must fit."""
        datasets = dataset if isinstance(dataset, list) else [dataset]
        names = [self.source_images, self.images][-len(datasets) :]
        if None in names or (self.source_images is not None and len(datasets) == 1):
            raise UserError(
                "spcl learns from data: [source, target] with source_images, or from the target "
                "alone without"
            )
        for name, one in zip(names, datasets, strict=True):
            self.require_same_images(name, one)
        if getattr(self.network.model, "domains", 1) > len(datasets):
            raise UserError(
                "the network's batch normalisation is of two domains, and there is no source; "
                "set network.model.domains: 1"
            )
        self.classes = max(datasets[0].identities) + 1 if len(datasets) == 2 else 0

    def start_memory(self):
        """Fill the memory with what the network sees before it has learned anything."""
        rows = self.extract(self.images)
        if self.source_images is not None:
            classes = np.array(self.data(self.source_images).identities)
            centroids = class_means(self.extract(self.source_images).numpy(), classes)
            rows = torch.cat([normalize(torch.from_numpy(centroids), dim=1), rows])
        self.criterion.start(rows, torch.arange(len(rows)))

    def find_labels(self, epoch, seconds):
        """Labels of the target's rows in the memory, and the threshold of independence."""
        rows = self.criterion.features[self.classes :].cpu().numpy()
        farthest = self.eps + self.eps_gap
        with seconds.of("distances"):
            near = jaccard_distance(rows, self.k1, self.k2, farthest, device=self.device)
        with seconds.of("clusters"):
            if self.self_paced:
                found = self_paced_labels(
                    near, self.eps, self.eps_gap, self.threshold, self.min_samples
                )
                labels, threshold = found.labels, found.threshold
            else:
                labels = noise_apart(cluster_labels(near, self.eps, self.min_samples))
                threshold = None
        return PseudoLabels(epoch, labels, seconds), threshold

    def epoch_data(self, streams, epoch):
        *source, target = streams
        if source and len({stream.section["loader"].get("batch_size") for stream in streams}) > 1:
            raise UserError("spcl: the batches of source and target must be of one size")
        source = [replace(stream, first_epoch=epoch) for stream in source]
        return [*source, self.relabelled(target, epoch)]

    def step(self, batch, part=WHOLE):
        batches = [batch] if self.source_images is None else batch
        images = torch.cat([images for images, _ in batches])
        outputs = self.network(images).T.chunk(len(batches))
        places = [about["identity"] for _, about in batches[:-1]]
        places.append(self.classes + batches[-1][1]["index"])
        losses = [self.criterion(x, at) for x, at in zip(outputs, places, strict=True)]
        loss = sum(losses)
        self.optimizer.zero_grad()
        self.minimise(loss, part)
        self.optimizer.step()
        for x, at in zip(outputs, places, strict=True):
            self.criterion.enqueue(part.join(x.detach()), part.join(at))
        names = ("source", "target")[-len(losses) :]
        parts = {name: one.detach() for name, one in zip(names, losses, strict=True)}
        return {"total": loss.detach(), **parts}

    def state_dict(self):
        return {**super().state_dict(), "threshold": self.threshold, "classes": self.classes}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.threshold, self.classes = state["threshold"], state.get("classes", 0)
