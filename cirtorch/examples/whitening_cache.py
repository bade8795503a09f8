"""A whitening in a file beside its network, with what it was learned from."""

import hashlib
import os

import numpy as np

from cirtorch.datasets.databases import load_database
from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.utils.fingerprints import (
    as_files,
    differences,
    is_fingerprint,
    stamp_of,
    with_digests,
)
from cirtorch.utils.general import get_data_root
from cirtorch.utils.weight_files import load_plain, load_whitening, save_weights


class WhiteningCache:
    """The published file of ``m`` and ``P``; what it was learned from is an entry of ours.

    Args:
        path: of the file.
        net: the network as it is now.
        name: the training set.
        ms, image_size: scales, and longest side in pixels.
    """

    def __init__(self, path: str, net, name: str, ms, image_size: int | None):
        self.path, self.name = path, name
        self.folder = os.path.join(get_data_root(), "train", name)
        self.list = os.path.join(self.folder, f"{name}-whiten.pkl")
        self.now = {
            "network": _network_hash(net),
            "scales": [float(scale) for scale in ms],
            "image_size": image_size,
        }

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """``(m, P)``, whatever they were learned from."""
        return load_whitening(self.path)

    def difference(self) -> str | None:
        """From what else the file was learned; None: from nothing else, or it does not say."""
        learned_from = self._learned_from()
        if learned_from is None:
            return None
        words = {"network": "another network", "scales": "other scales"}
        for key, value in self.now.items():
            if learned_from.get(key) != value:
                return words.get(key, "images of another size")
        if not os.path.exists(self.list):
            return None
        changed = differences(self.folder, learned_from["images"])
        return f"other images ({changed[0]})" if changed else None

    def is_doubtful(self) -> bool:
        """Whether the file does not say what it was learned from and the network is newer."""
        network = self.path.rpartition(f"_{self.name}_whiten")[0]
        return (
            self._learned_from() is None
            and os.path.isfile(network)
            and os.path.getmtime(network) > os.path.getmtime(self.path)
        )

    def _learned_from(self):
        stored = load_plain(self.path)
        found = stored.get("learned_from") if isinstance(stored, dict) else None
        known = isinstance(found, dict) and is_fingerprint(found.get("images"))
        return found if known else None

    def learn(self, learn) -> tuple[np.ndarray, np.ndarray]:
        """Call ``learn`` for ``(m, P)`` and keep them."""
        images = self._images()
        m, P = learn()
        learned_from = {**self.now, "images": with_digests(self.folder, images)}
        save_weights({"m": m, "P": P, "learned_from": learned_from}, self.path)
        return m, P

    def _images(self):
        cids = load_database(self.list)["cids"]
        images = [cid2filename(cid, os.path.join(self.folder, "ims")) for cid in cids]
        return as_files(self.folder, {path: stamp_of(path) for path in [self.list, *images]})


def _network_hash(net):
    settings = {key: value for key, value in net.meta.items() if key != "Lw"}
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for name, tensor in net.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()
