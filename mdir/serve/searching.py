"""What the server can do: describe, find, translate and add pictures, and show those it holds."""

import hashlib
import io
import os
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import default_collate

from cirtorch.search.index import open_index
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import atomic_write
from mdir.data.datasets.images import label_images
from mdir.data.transforms.parse import parse_transforms
from mdir.errors import UserError
from mdir.inference.descriptors import describe
from mdir.inference.fingerprint import network_fingerprint
from mdir.inference.outputs.pixels import to_pixels
from mdir.inference.outputs.rgb import image_size as kept_size
from mdir.learning.compute import default_device
from mdir.networks.factory import load_network
from mdir.serve.decoders import Decoders
from mdir.serve.indexed import Indexed
from mdir.serve.limits import Refused
from mdir.stages.extract import image_transform, told_preprocessing

SIDES = {"small": 360, "large": 1280}
_TRANSLATED = 512  # longest side
_KEPT_BYTES = 64 << 20  # of JPEGs
_TOLD = ("place", "condition", "date", "latitude", "longitude")


class Searching:
    """One network and one index; every method may be called from any thread.

    Args:
        network: as :func:`mdir.networks.factory.load_network` gives it. index: see
            :mod:`cirtorch.search.index`. reading: ``transforms``, ``mean_std``, ``image_size`` and
            ``upright`` of the extraction. generators: networks by what they translate to.

    Raises:
        DataError: the index is of another network or of images that were read otherwise.
    """

    def __init__(self, network, index, reading: dict, decoders: Decoders, generators: dict):
        self.network, self.index, self.decoders = network, index, decoders
        self.side, self.upright = reading["image_size"], reading["upright"]
        self.transform = image_transform(network, reading["transforms"], reading["mean_std"])
        preprocessing = told_preprocessing(self.transform, self.side, self.upright)
        index.require(network_fingerprint(network, {}), preprocessing)
        self.generators = {name: _Generator(one) for name, one in generators.items()}
        self._computing, self._adding = threading.Lock(), threading.Lock()
        self._shown = _Kept(_KEPT_BYTES)

    def about(self) -> dict:
        """What there is to be searched."""
        about = self.index.about
        return {
            "images": about.images,
            "dimensions": about.dimensions,
            "engine": about.engine,
            "conditions": self.index.values("condition"),
            "translations": [*self.generators],
        }

    def search(self, data, number, box, k, where) -> dict:
        """The ``k`` images that are most like an encoded picture, or like one of the index.

        Args:
            data: bytes, or None where ``number``, the id of an image, is given, which is then left
                out of what is found. box: four fractions of width and height, or None.
            where: filter, see :mod:`cirtorch.search.payload`.

        Returns:
            ``results``: ``id``, ``score``, ``name`` and what is told of each; ``query``: what is
            told of an image of the index.
        """
        query, more = {}, 0
        if number is not None:
            query, more = self._told(number, self._payload(number)), 1
        if number is None or box is not None:
            row = self._described(self._picture(data, number, box)[1])
        else:
            row = self.index.rows_of([number])
        try:
            ids, scores = self.index.search(row, k + more, where)
        except DataError as error:
            raise Refused(409 if not len(self.index) else 422, self._words(error)) from error
        pairs = zip(ids[0].tolist(), scores[0].tolist(), strict=True)
        pairs = [pair for pair in pairs if pair[0] != number][:k]
        payloads = self.index.payload([one for one, _ in pairs])
        results = [
            {**self._told(one, payload), "score": score}
            for (one, score), payload in zip(pairs, payloads, strict=True)
            if payload is not None  # removed meanwhile
        ]
        return {"results": results, "query": query}

    def add(self, data: bytes, told: dict) -> dict:
        """Add an encoded picture to the index, kept in a folder beside it; returns its ``id``."""
        answer, image = self._picture(data, None, None)
        row = self._described(image)
        name = f"{hashlib.sha256(data).hexdigest()}.{answer['suffix']}"
        path = Path(os.path.abspath(self.index.folder)) / "images" / name
        with self._adding:
            if (known := self.index.find(str(path))) is not None:
                raise Refused(409, f"the picture is in the index already, as image {known}")
            with atomic_write(path) as file:
                file.write(data)
            try:
                exif = self.decoders.ask(give="exif", path=str(path))[0]["payload"]
                payload = {**exif, **told, "path": str(path)}
                number = int(self.index.add(row, [payload])[0])
            except DataError as error:
                path.unlink()
                raise Refused(422, self._words(error)) from error
            except BaseException:
                path.unlink()
                raise
        return {"id": number, "images": len(self.index)}

    def translate(self, data, number, name: str) -> bytes:
        """A JPEG of a picture as the generator ``name`` makes it; for arguments see ``search``."""
        if name not in self.generators:
            known = ", ".join(self.generators) or "none"
            raise Refused(404, f"there is no such translation; there are: {known}")
        image = self._picture(data, number, None, _TRANSLATED)[1]
        with self._computing:
            return self.generators[name](image)

    def shown(self, number: int, size: str) -> bytes:
        """An image of the index as JPEG, ``size`` one of ``SIDES``."""
        path = self._payload(number)["path"]
        if (found := self._shown.get((path, size))) is None:
            request = {"path": path, "side": SIDES[size], "upright": self.upright}
            found = self._decoded(number, give="jpeg", **request)[1]
            self._shown.put((path, size), found)
        return found

    def missing(self) -> int:
        """How many images are no longer where they were."""
        return sum(not os.path.exists(path) for _, path in self.index.paths())

    def _payload(self, number):
        (payload,) = self.index.payload([number])
        if payload is None:
            raise Refused(404, "there is no such image in the index")
        return payload

    def _told(self, number, payload):
        path = os.path.join(*payload["path"].split(os.sep)[-2:])
        name = path.encode("utf-8", "replace").decode()
        return {"id": number, "name": name, **{key: payload[key] for key in _TOLD}}

    def _picture(self, data, number, box, side=None):
        """What the decoder tells, and the picture as the network is to have it."""
        path = None if number is None else self._payload(number)["path"]
        bounds = {"side": side or self.side, "pixels": self.decoders.limits.pixels, "box": box}
        request = {"path": path, "upright": True if path is None else self.upright, **bounds}
        answer, content = self._decoded(number, data or b"", give="pixels", **request)
        return answer, Image.frombytes("RGB", tuple(answer.pop("size")), content)

    def _decoded(self, number, data=b"", **request):
        try:
            return self.decoders.ask(data, **request)
        except Refused as error:
            if number is None or error.status == 503:
                raise
            raise Refused(404, f"the file of image {number}: {error.words}") from None

    def _described(self, image):
        batch = default_collate([label_images(self.transform(image), ["picture"])])
        with self._computing:
            return describe(self.network, batch, 1, "picture").T.numpy()

    def _words(self, error):
        """Of an error of the index, without where it lies."""
        return str(error).replace(f"{self.index.folder}: ", "")


class _Generator:
    def __init__(self, network):
        self.network = network.eval()
        self.mean_std = network.preprocessing.get("mean_std") or [[0.5] * 3, [0.5] * 3]
        self.transform = parse_transforms("pil2np | totensor | normalize", self.mean_std)

    @torch.no_grad()
    def __call__(self, image) -> bytes:
        batch = self.transform(image)[None]
        output = self.network(batch)
        while isinstance(output, (list, tuple)):
            output = output[0]
        height, width = kept_size(batch.shape[-2:], output.shape[-2:])
        pixels = to_pixels(output[0, :, :height, :width].float().cpu().numpy(), self.mean_std)
        return _encoded(pixels)


def _encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


class _Kept:
    """What was shown last, so many bytes of it."""

    def __init__(self, most):
        self.most, self.size, self.found = most, 0, OrderedDict()
        self.lock = threading.Lock()

    def get(self, key):
        with self.lock:
            if key in self.found:
                self.found.move_to_end(key)
            return self.found.get(key)

    def put(self, key, content):
        with self.lock:
            if key not in self.found:
                self.found[key] = content
                self.size += len(content)
            while self.size > self.most:
                self.size -= len(self.found.popitem(last=False)[1])


def open_searching(indexed: Indexed, decoders: Decoders, generators: dict[str, str]) -> Searching:
    """Load the networks and open the index of a scenario.

    Args:
        generators: network files by what they translate to.
    """
    device = default_device()
    index = open_index(indexed.directory, device)
    network = load_network(indexed.extraction["network"], device)
    loaded = {}
    for name, path in generators.items():
        generator = load_network({"path": path, "runtime": None}, device)
        if generator.meta.get("out_channels") not in (1, 3):
            raise UserError(f"{path}: is no generator: what it gives is no picture")
        loaded[name] = generator
    return Searching(network, index, indexed.extraction, decoders, loaded)
