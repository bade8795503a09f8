"""Tuples of a query, a positive and hard negatives, mined before every epoch.

Source: Radenović, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation
(TPAMI 2019); published project: cnnimageretrieval-pytorch.
"""

from typing import Annotated, Literal

import torch
from torch.utils.data import Dataset

from cirtorch.datasets.datahelpers import collate_tuples
from cirtorch.datasets.mining import mine_hard_negatives
from cirtorch.utils.errors import DataError
from mdir.data.datasets.images import label_images
from mdir.data.datasets.training_database import load_training_database
from mdir.data.image_files import load_image, open_through
from mdir.data.labelled import LabelledImage
from mdir.registry import register
from mdir.registry.ranges import at_least


def draw(count: int, size: int, shuffle: bool) -> list[int]:
    """``size`` of ``count`` numbers: the first of a random permutation, or just the first."""
    return (torch.randperm(count) if shuffle else torch.arange(count))[:size].tolist()


@register("dataset", "CirTuples")
class CirTuples(Dataset):
    """Random pairs of the database with their hardest negatives, at most one a cluster.

    An item is ``(images, target)``: images ``(q, p, n1, ...)``, each ``[1, 3, h, w]`` and labelled
    ``anc``, ``pos``, ``neg``; target ``[-1, 1, 0, ...]``, float32.

    Args:
        transform: pipeline over all images of a tuple.
        dataset: ``retrieval-SfM-...``, or any name where ``dataset_pkl`` says where the database
            is.
        split: ``train`` or ``val``.
        image_size: longest side in pixels.
        neg_num: negatives of a tuple.
        query_size: tuples of an epoch; at most as many as there are pairs.
        pool_size: images among which negatives are searched; at most as many as there are.
        dataset_pkl, image_dir: null for the published places, see
            :func:`mdir.data.datasets.training_database.load_training_database`.
        shuffle: draw pairs and pool at random (torch's global generator) or take the first ones.
        swap_qp: let queries be positives and the other way round.
        first_neg: ``neg``; ``pos`` takes the hardest negative for a positive, ``exc`` leaves it
            out.
    """

    takes_decoded_cache = True
    collate_fn = staticmethod(collate_tuples)
    loader_defaults = {"drop_last": True}
    chosen_for_epoch = ("qidxs", "pidxs", "nidxs", "marks")

    def __init__(
        self,
        transform,
        inputs=(),
        *,
        dataset: str,
        split: Literal["train", "val"],
        image_size: Annotated[int | float, at_least(1)] | None,
        neg_num: int,
        query_size: float,
        pool_size: float,
        dataset_pkl: str | None = None,
        image_dir: str | None = None,
        shuffle: bool = True,
        swap_qp: bool = False,
        first_neg: Literal["neg", "pos", "exc"] = "neg",
    ):
        self.database = load_training_database(dataset, split, dataset_pkl, image_dir)
        self.transform, self.image_size = transform, image_size
        self.neg_num, self.shuffle, self.first_neg = neg_num, shuffle, first_neg
        pairs = [self.database.qidxs, self.database.pidxs]
        self.queries, self.positives = reversed(pairs) if swap_qp else pairs
        self.query_size = int(min(query_size, len(self.queries)))
        self.pool_size = int(min(pool_size, len(self.database.paths)))
        if self.query_size < 1 or neg_num < 0 or (neg_num and self.pool_size < 1):
            raise DataError(
                f"{type(self).__name__}: query_size {query_size}, pool_size {pool_size} and "
                f"neg_num {neg_num} leave nothing to train on"
            )
        self.qidxs, self.pidxs, self.nidxs, self.marks = None, None, None, None

    def __len__(self):
        return self.query_size

    def __getitem__(self, index):
        if self.qidxs is None:
            raise DataError(f"{type(self).__name__}: prepare_epoch has to come before items")
        members, labels, target = self._tuple(index)
        paths = [self.database.paths[member] for member in members]
        images = self.transform(*(_open(self, path) for path in paths))
        images = label_images(images, paths, labels)
        return tuple(_batch_of_one(image) for image in images), torch.tensor(target)

    def labels(self, index: int) -> list[str]:
        """Labels of the images of a tuple, the left-out negative included."""
        names = ["anc", "pos", self.first_neg, *["neg"] * self.neg_num][: 2 + self.neg_num]
        return [name + self.marks[index] for name in names]

    def _tuple(self, index):
        members = [self.qidxs[index], self.pidxs[index], *self.nidxs[index]]
        target = [-1.0, 1.0, *[0.0] * self.neg_num]
        labels = self.labels(index)
        if self.first_neg == "pos":
            target[2:3] = [1.0]
        elif self.first_neg == "exc":
            del members[2:3], target[2:3], labels[2:3]
        return members, labels, target

    def prepare_epoch(self, extract) -> dict:
        """Draw pairs and mine their negatives with the network as it is now.

        Args:
            extract: ``extract(images, what) -> descriptors [D, N]`` of a dataset of N images, on
                the device that is to compare them; ``what`` is shown beside the progress.

        Returns:
            lists to be reported: ``average_negative_distance``, one number for each negative.
        """
        report = self._choose_pairs(extract)
        self.nidxs = [[]] * len(self.qidxs)
        if self.neg_num == 0:
            return report
        pool = draw(len(self.database.paths), self.pool_size, self.shuffle)
        labels = [f"anc{mark}-mine" for mark in self.marks]
        queries = self._extract(extract, self.qidxs, labels)
        pool_vectors = self._extract(extract, pool, ["neg-pool-mine"] * len(pool))
        clusters = self.database.cluster
        positions, distances = mine_hard_negatives(
            queries,
            pool_vectors,
            [clusters[query] for query in self.qidxs],
            [clusters[image] for image in pool],
            self.neg_num,
        )
        self.nidxs = [[pool[position] for position in row] for row in positions.tolist()]
        return {**report, "average_negative_distance": distances.flatten().tolist()}

    def _choose_pairs(self, extract) -> dict:
        chosen = draw(len(self.queries), self.query_size, self.shuffle)
        self._set_pairs(chosen)
        return {}

    def _set_pairs(self, chosen):
        self.qidxs = [self.queries[pair] for pair in chosen]
        self.pidxs = [self.positives[pair] for pair in chosen]
        self.marks = [""] * len(chosen)

    def _extract(self, extract, images, labels):
        return extract(_SingleImages(self, images, labels), f"mining ({labels[0]})")


class _SingleImages(Dataset):
    """Images of the database by number, one by one, as mining looks at them."""

    def __init__(self, tuples, images, labels):
        self.dataset = tuples
        self.paths = [tuples.database.paths[image] for image in images]
        self.labels = labels
        self.transform, self.image_size = tuples.transform, tuples.image_size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        image = self.transform(_open(self, path))
        return label_images(image, [path], [self.labels[index]])


def _open(images, path):
    return open_through(images.transform, load_image, path, images.image_size)


def _batch_of_one(image: LabelledImage) -> LabelledImage:
    return LabelledImage(image.tensor[None], [image.path], [image.name], [image.image_label])
