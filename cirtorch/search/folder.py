"""The folder of an index: what it is, and what may be searched for in it and added to it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cirtorch.search.catalogue import Catalogue
from cirtorch.search.exact import longest_row
from cirtorch.search.payload import checked_payload
from cirtorch.utils.errors import DataError
from cirtorch.utils.fingerprints import fingerprint

_FORMAT = 1


@dataclass(frozen=True)
class About:
    """What an index is.

    ``network``: fingerprint of the network with its wrappers, whitening among them;
    ``preprocessing``: how images were read (``image_size``, ``transforms``, ``upright``; {}: not
    told); ``details``: of the engine, such as the recall that was reached.
    """

    engine: str
    network: str
    preprocessing: dict
    dimensions: int
    images: int
    details: dict


class IndexFolder:
    """What the indexes of all engines share."""

    def __init__(self, folder, catalogue, device="cpu"):
        self.folder, self.catalogue, self.device = Path(folder), catalogue, device
        if catalogue.get("format") != _FORMAT:
            raise DataError(f"{folder}: is an index of another version; make it again")

    @classmethod
    def create(
        cls, folder, *, network, preprocessing, dimensions, engine="exact", device="cpu", **more
    ):
        """A new, empty index, or the one that was begun there with the same arguments.

        Args:
            more: what the engine needs to know, such as ``url`` for ``qdrant``.

        Raises:
            DataError: the folder holds an index of another network, preprocessing or dimensions.
        """
        catalogue = Catalogue(folder, create=True)
        with catalogue.writing():
            if catalogue.get("format") is None:
                catalogue.put(
                    format=_FORMAT,
                    engine=engine,
                    network=network,
                    preprocessing=preprocessing,
                    dimensions=dimensions,
                    finished=False,
                    longest=0.0,
                    **more,
                )
        index = cls(folder, catalogue, device)
        index.require(network, preprocessing, dimensions)
        return index

    @property
    def about(self) -> About:
        get = self.catalogue.get
        return About(
            engine=get("engine"),
            network=get("network"),
            preprocessing=get("preprocessing"),
            dimensions=get("dimensions"),
            images=len(self),
            details=get("details", {}),
        )

    def require(self, network, preprocessing=None, dimensions=None):
        """Refuse descriptors that cannot be compared with those of the index.

        Args:
            network: fingerprint. preprocessing, dimensions: None: not compared.

        Raises:
            DataError: what differs.
        """
        about = self.about
        if network != about.network:
            raise DataError(
                f"{self.folder}: this index is of another network, or of the same with another "
                "whitening or other wrappers; its descriptors cannot be compared with these. Make "
                "another index, in a folder of its own, or take the network that made this one"
            )
        for key, value in (preprocessing or {}).items():
            if key in about.preprocessing and about.preprocessing[key] != value:
                raise DataError(
                    f"{self.folder}: the images of this index were read with {key} "
                    f"{about.preprocessing[key]!r}, these with {value!r}"
                )
        if dimensions not in (None, about.dimensions):
            raise DataError(
                f"{self.folder}: this index has descriptors of {about.dimensions} dimensions, "
                f"these have {dimensions}"
            )

    def added(self) -> int:
        """How many rows were added by ``add``, of removed images too."""
        return sum(part.rows for part in self.catalogue.parts() if part.fingerprint is None)

    def path_of(self, part) -> str:
        """The absolute path of a file of rows."""
        return os.path.abspath(self.folder / part.file)

    def finish(self):
        """All images of the build are there: the index can be opened."""
        with self.catalogue.writing():
            self.catalogue.put(finished=True)

    def require_images(self):
        """DataError: the index is empty."""
        if not len(self):
            raise DataError(f"{self.folder}: this index is empty; nothing can be found in it")

    def checked(self, descriptors, payloads):
        """What is to be added: float32 ``[n, D]`` and payloads with all columns; DataError."""
        rows = np.ascontiguousarray(descriptors, dtype=np.float32)
        payloads = [checked_payload(payload) for payload in payloads]
        if rows.ndim != 2 or len(rows) != len(payloads):
            raise DataError(f"index: {len(payloads)} images for descriptors {list(rows.shape)}")
        self.require(self.catalogue.get("network"), dimensions=rows.shape[1])
        longest_row(rows)
        return rows, payloads

    def told_of(self, path):
        """A file as it is kept in mind: its path below the folder, and its fingerprint as JSON."""
        path = os.path.abspath(path)
        seen = json.dumps(fingerprint(path))
        return os.path.relpath(path, os.path.abspath(self.folder)), seen
