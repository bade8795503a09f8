"""Training tuples: query, positive, hard negatives (published project: cnnimageretrieval)."""

import os

import torch
from torch.utils.data import Dataset

from cirtorch.datasets.databases import load_database
from cirtorch.datasets.datahelpers import cid2filename, default_loader, imresize
from cirtorch.datasets.mining import mine_hard_negatives
from cirtorch.networks.extraction import extract_vectors
from cirtorch.utils.general import get_data_root

NAMES = "retrieval-SfM", "gl"  # how names of training sets begin


class TuplesDataset(Dataset):
    """Tuples of an epoch; item: list of images ``[1, C, h, w]``, targets ``[-1, 1, 0, ...]``.

    ``create_epoch_tuples(net)`` draws the pairs and mines the negatives of an epoch; call it
    before the first item is taken.

    Args:
        name: ``retrieval-SfM-...``, read from ``<root>/data/train/<name>/<name>.pkl`` with images
            in ``ims``, or ``gl...`` with images ``images/train/<cid>.jpg``.
        mode: ``train`` or ``val``.
        imsize: longest side in pixels, None: original.
        nnum: negatives a tuple. qsize: tuples an epoch. poolsize: images searched for negatives.
        transform: PIL image -> tensor. loader: path -> PIL image.
    """

    def __init__(
        self,
        name,
        mode,
        imsize=None,
        nnum=5,
        qsize=2000,
        poolsize=20000,
        transform=None,
        loader=default_loader,
    ):
        if mode not in ("train", "val"):
            raise RuntimeError(
                f"MODE should be either train or val, passed as string; not {mode!r}"
            )
        if not name.startswith(NAMES):
            raise RuntimeError(f"Unknown dataset name {name!r}: retrieval-SfM... or gl... expected")
        db_root = os.path.join(get_data_root(), "train", name)
        db = load_database(os.path.join(db_root, f"{name}.pkl"), mode)
        self.images = _image_files(name, db_root, db["cids"])
        self.name = name
        self.mode = mode
        self.imsize = imsize
        self.clusters = db["cluster"]
        self.qpool = db["qidxs"]
        self.ppool = db["pidxs"]
        self.transform = transform
        self.loader = loader
        self.print_freq = 10
        self.nnum = nnum
        self.qsize = min(qsize, len(self.qpool))
        self.poolsize = min(poolsize, len(self.images))
        self.qidxs = None
        self.pidxs = None
        self.nidxs = None

    def __getitem__(self, index):
        if self.qidxs is None:
            raise RuntimeError(
                "List qidxs is empty. Run ``dataset.create_epoch_tuples(net)`` method to create "
                "subset for train/val!"
            )
        members = [self.qidxs[index], self.pidxs[index], *self.nidxs[index]]
        output = [self.loader(self.images[member]) for member in members]
        if self.imsize is not None:
            output = [imresize(img, self.imsize) for img in output]
        if self.transform is not None:
            output = [self.transform(img).unsqueeze(0) for img in output]
        return output, torch.tensor([-1.0, 1.0] + [0.0] * len(self.nidxs[index]))

    def __len__(self):
        return self.qsize

    def __repr__(self):
        transform = repr(self.transform).replace("\n", "\n" + " " * 25)
        return (
            f"Dataset {type(self).__name__}\n"
            f"    Name and mode: {self.name} {self.mode}\n"
            f"    Number of images: {len(self.images)}\n"
            f"    Number of training tuples: {len(self.qpool)}\n"
            f"    Number of negatives per tuple: {self.nnum}\n"
            f"    Number of tuples processed in an epoch: {self.qsize}\n"
            f"    Pool size for negative remining: {self.poolsize}\n"
            f"    Transforms (if any): {transform}\n"
        )

    def create_epoch_tuples(self, net):
        """Draw pairs at random and mine their hardest negatives with the network as it is.

        Random numbers come from torch's global generator: first the pairs, then the pool.

        Returns:
            average L2 distance of the queries to their negatives (0 without negatives).
        """
        print(f">> Creating tuples for an epoch of {self.name}-{self.mode}...")
        print(">>>> used network: ")
        print(net.meta_repr())
        pairs = torch.randperm(len(self.qpool))[: self.qsize].tolist()
        self.qidxs = [self.qpool[i] for i in pairs]
        self.pidxs = [self.ppool[i] for i in pairs]
        if self.nnum == 0:
            self.nidxs = [[] for _ in self.qidxs]
            return 0
        pool = torch.randperm(len(self.images))[: self.poolsize].tolist()
        print(">> Extracting descriptors for query images...")
        qvecs = self._extract(net, self.qidxs)
        print(">> Extracting descriptors for negative pool...")
        poolvecs = self._extract(net, pool)
        print(">> Searching for hard negatives...")
        qclusters, pclusters = ([self.clusters[i] for i in part] for part in (self.qidxs, pool))
        found, distances = mine_hard_negatives(qvecs, poolvecs, qclusters, pclusters, self.nnum)
        self.nidxs = [[pool[i] for i in row] for row in found.tolist()]
        average = distances.mean().item()
        print(f">>>> Average negative l2-distance: {average:.2f}")
        print(">>>> Done")
        return average

    def _extract(self, net, members):
        images = [self.images[i] for i in members]
        vecs = extract_vectors(net, images, self.imsize, self.transform, print_freq=self.print_freq)
        return vecs.cuda() if torch.cuda.is_available() else vecs


def _image_files(name, db_root, cids):
    if name.startswith("gl"):
        return [os.path.join(db_root, "images", "train", f"{cid}.jpg") for cid in cids]
    return [cid2filename(cid, os.path.join(db_root, "ims")) for cid in cids]
