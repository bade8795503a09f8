"""Images of persons or vehicles, each of an identity and a camera."""

from pathlib import Path
from typing import Annotated, Literal

from torch.utils.data import Dataset

from cirtorch.downloads.known_files import known_folders
from cirtorch.utils.errors import DataError
from mdir.artifacts import used
from mdir.data.datasets.reid_folder import OwnImages
from mdir.data.datasets.reid_layouts import MSMT17, NAMED_SETS, ReidImage, SetLayout, VehicleID
from mdir.data.image_files import open_image, open_through
from mdir.paths import resolve_path
from mdir.registry import register
from mdir.registry.ranges import at_least

SetName = Literal[
    "market1501", "msmt17", "personx", "veri", "vehicleid", "vehiclex", "dukemtmcreid", "folder"
]
TestSize = Annotated[int, at_least(1)]


class ReidFiles:
    """The images of one data set.

    Args:
        set, image_dir, test_size, split_seed, complete: as of the dataset ``reid``.

    Raises:
        DataError: the set's folder is not there; the message says what to put where.
    """

    def __init__(self, set: str, image_dir: str, test_size: int, split_seed: int, complete: bool):
        layouts: dict[str, SetLayout] = {
            **NAMED_SETS,
            "msmt17": MSMT17(),
            "vehicleid": VehicleID(test_size, split_seed, complete),
            "folder": OwnImages(),
        }
        self.layout = layouts[set]
        self.root = Path(resolve_path(image_dir))
        if not (self.root / self.layout.folder).is_dir():
            known = [f.by_hand for f in known_folders("reid") if f.to.split("/")[0] == set]
            raise DataError(" ".join([f"'{self.root / self.layout.folder}' is not available.",
                                      *known]))  # fmt: skip
        used(self.root / self.layout.folder)

    @property
    def has_cameras(self) -> bool:
        """Whether the set says which camera took an image."""
        return self.layout.has_cameras(self.root)

    def read(self, split: str) -> list[ReidImage]:
        """The images of ``train``, ``query`` or ``gallery``, with identities as the set has them.

        Raises:
            DataError, UserError: a folder, a list, or names that do not fit; or no image at all.
        """
        images = self.layout.read(self.root, split)
        if not images:
            raise DataError(f"{self.root / self.layout.folder}: {split} has no pictures")
        return sorted(images)


def ascending(identities: list[int]) -> list[int]:
    """Identities as 0, 1, 2, ... in the order of their numbers."""
    places = {identity: at for at, identity in enumerate(sorted(set(identities)))}
    return [places[identity] for identity in identities]


@register("dataset", "reid")
class ReidImages(Dataset):
    """Images of a re-identification data set, sorted by file name.

    An item is ``(image, about)``: what ``transform`` makes of the opened image, and a dict of
    ``index`` (in this dataset), ``identity`` and ``camera``. Identities of ``train`` are 0, 1, 2,
    ... in the order of their numbers; others are the set's own.

    Attributes:
        files: paths of the images.
        identities, cameras: a number per image.
        queries: how many of the first items are queries.

    Args:
        transform: pipeline over one PIL image.
        set: name of the data set; ``folder`` are images of one's own, see
            :class:`mdir.data.datasets.reid_folder.OwnImages`.
        image_dir: the folder in which the set was unpacked (it holds ``Market-1501-v15.09.15`` and
            the like; for ``folder`` the images' own one), relative to the root.
        split: ``test`` are the queries followed by the gallery.
        test_size: of vehicleid, identities of the test: 800, 1600 or 2400.
        split_seed: of vehicleid, decides which image of an identity is the gallery's.
        complete: of vehicleid, whether it must have as many identities as published.

    Raises:
        DataError, UserError: the folder is not there or not as it must be.
    """

    takes_decoded_cache = True

    def __init__(
        self,
        transform,
        inputs=(),
        *,
        set: SetName,
        image_dir: str,
        split: Literal["train", "query", "gallery", "test"] = "train",
        test_size: TestSize = 800,
        split_seed: int = 1,
        complete: bool = True,
    ):
        found = ReidFiles(set, image_dir, test_size, split_seed, complete)
        parts = {p: found.read(p) for p in (("query", "gallery") if split == "test" else (split,))}
        images = [image for part in parts.values() for image in part]
        self.transform, self.are_own = transform, set == "folder"
        self.files = [found.root / image.file for image in images]
        identities = [image.identity for image in images]
        self._identities = ascending(identities) if split == "train" else identities
        self._cameras = [image.camera for image in images]
        self.queries = len(parts.get("query", ()))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.view(index), self.about(index)

    def view(self, index: int):
        """The image alone."""
        reading = str(self.files[index]), "RGB", self.are_own
        return self.transform(open_through(self.transform, open_image, *reading))

    def about(self, index: int) -> dict[str, int]:
        """Index, identity and camera of an image."""
        identity, camera = self.identities[index], self.cameras[index]
        return {"index": index, "identity": identity, "camera": camera}

    @property
    def identities(self) -> list[int]:
        """The identity of each item, for samplers."""
        return self._identities

    @property
    def cameras(self) -> list[int]:
        """The camera of each item, for samplers."""
        return self._cameras

    def relabelled(self, labels) -> "Relabelled":
        """The same images under other identities, such as numbers of clusters.

        Args:
            labels: one per image; those of a negative one are left out.
        """
        return Relabelled(self, [int(label) for label in labels])


class Relabelled(Dataset):
    """Images of a dataset under other identities; ``index`` is still that in the dataset."""

    def __init__(self, dataset: ReidImages, labels: list[int]):
        if len(labels) != len(dataset):
            raise ValueError(f"{len(labels)} labels for {len(dataset)} pictures")
        self.dataset = dataset
        self.kept = [index for index, label in enumerate(labels) if label >= 0]
        self.identities = [labels[index] for index in self.kept]
        self.cameras = [dataset.cameras[index] for index in self.kept]

    def __len__(self):
        return len(self.kept)

    def __getitem__(self, index):
        image, about = self.dataset[self.kept[index]]
        return image, {**about, "identity": self.identities[index]}
