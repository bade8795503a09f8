"""A handful of drawn images on disk, in the layouts of training and test sets."""

import pickle

import numpy as np
import torch
import torchvision.transforms as T
from PIL import Image
from torch import nn

from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.layers.pooling import GeM
from cirtorch.networks.imageretrievalnet import ImageRetrievalNet

TRANSFORM = T.Compose([T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
SIZES = [(96, 72), (72, 96), (96, 72), (77, 99), (128, 96)]


def tiny_network(dim=8):
    """A network of two convolutions, ``[B, 3, H, W] -> [dim, B]``."""
    torch.manual_seed(0)
    features = [nn.Conv2d(3, dim, 3, stride=2, padding=1), nn.BatchNorm2d(dim), nn.ReLU()]
    meta = {"architecture": "tiny", "local_whitening": False, "pooling": "gem", "regional": False}
    meta |= {"whitening": False, "outputdim": dim, "mean": [0.5] * 3, "std": [0.5] * 3}
    return ImageRetrievalNet(features, None, GeM(), None, meta).eval()


def draw(path, seed, size=None):
    """Write a noisy image of smooth colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.RandomState(seed).randint(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size or SIZES[seed % len(SIZES)])
    image.save(path, "PNG" if path.suffix == ".png" else "JPEG")


def training_set(root, name="retrieval-SfM-tiny", images=24, clusters=8):
    """Write a training database of pairs below ``root/data/train``; returns its folder."""
    folder = root / "data" / "train" / name
    cids = [f"{i:032x}" for i in range(images)]
    for i, cid in enumerate(cids):
        path = cid2filename(cid, str(folder / "ims"))
        draw(type(folder)(path), i)
    cluster = [i % clusters for i in range(images)]
    pairs = {"qidxs": list(range(images - clusters)), "pidxs": list(range(clusters, images))}
    database = {"cids": cids, "cluster": cluster, **pairs}
    (folder / f"{name}.pkl").write_bytes(pickle.dumps({"train": database, "val": database}))
    flat = {"cids": cids, **pairs}
    (folder / f"{name}-whiten.pkl").write_bytes(pickle.dumps(flat))
    return folder


def test_set(root, name="roxford5k", images=12, queries=3):
    """Write a revisited test set below ``root/data/test``; returns its folder."""
    folder = root / "data" / "test" / name
    imlist, qimlist = [f"im{i}" for i in range(images)], [f"q{i}" for i in range(queries)]
    for i, image in enumerate(imlist + qimlist):
        draw(folder / "jpg" / f"{image}.jpg", i)
    gnd = [
        {"bbx": [4, 6, 61.6, 66.2], "easy": [i], "hard": [i + 3], "junk": [i + 6]}
        for i in range(queries)
    ]
    content = {"imlist": imlist, "qimlist": qimlist, "gnd": gnd}
    (folder / f"gnd_{name}.pkl").write_bytes(pickle.dumps(content))
    return folder
