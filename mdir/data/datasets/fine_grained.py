"""Images of many classes that look alike: cars, birds, or one's own."""

from pathlib import Path
from typing import Literal

from torch.utils.data import Dataset

from cirtorch.downloads.known_files import known_folders
from cirtorch.utils.errors import DataError
from mdir.artifacts import used_files
from mdir.data.datasets.fine_grained_layouts import (
    LAYOUTS,
    OWN_IMAGES,
    OWN_INDEX,
    VARIANTS,
    FineImage,
    check_files,
    class_folders,
    data_dicts_path,
    overlaps,
    read_data_dicts,
)
from mdir.data.image_files import open_image, open_through
from mdir.paths import resolve_path
from mdir.registry import register

SetName = Literal["car", "cub", "folder"]
Split = Literal["train", "test"]


class FineGrainedFiles:
    """The images of one set.

    Args:
        set, image_dir, cropped, reencoded: as of the dataset ``fine_grained``.

    """

    def __init__(self, set: str, image_dir: str, cropped: bool, reencoded: bool):
        self.set, self.cropped, self.reencoded = set, cropped, reencoded
        self.variant = VARIANTS[cropped]
        self.root = Path(resolve_path(image_dir))

    @property
    def index(self) -> Path:
        """The file (of one's own images: the folder) that tells which images there are."""
        if self.reencoded:
            return data_dicts_path(self.root, self.variant)
        return self.root / LAYOUTS[self.set].index

    def has_images(self) -> bool:
        """Whether the set itself is there, not only what was prepared of it."""
        own = self.set == "folder" and not (self.index / OWN_INDEX).exists()
        return self.index.exists() and not (own and not class_folders(self.root))

    def _advice(self):
        if self.reencoded:
            return "The step prepare_fine_grained writes it (reencoded: true)."
        if self.set == "folder":
            return OWN_IMAGES
        known = [f.by_hand for f in known_folders("fine_grained") if f.to.split("/")[0] == self.set]
        if data_dicts_path(self.root, self.variant).exists():
            known.append("What the published code prepared there is read with reencoded: true.")
        return " ".join(known)

    def read(self) -> list[FineImage]:
        """All images in the order of the index; whether their files are there is not asked.

        Raises:
            DataError, UserError: the index is not there (the message says what to put where) or
                does not fit.
        """
        if not self.index.exists():
            raise DataError(f"'{self.index}' is not available. {self._advice()}")
        if self.reencoded:
            images = read_data_dicts(self.root, self.variant)
        else:
            images = LAYOUTS[self.set].read(self.root, self.cropped)
        if not images:
            raise DataError(f"{self.index}: names no image")
        return images

    def classes(self, split: str) -> dict[str, list[FineImage]]:
        """Images of a split by class, classes and images in the order of the index.

        Raises:
            DataError, UserError: as :meth:`read`, a file that is not there, or no image at all.
        """
        images = [image for image in self.read() if image.split == split]
        if not images:
            raise DataError(f"{self.index}: {split} has no pictures")
        check_files(self.root, images)
        classes = {}
        for image in images:
            classes.setdefault(image.category, []).append(image)
        return classes


@register("dataset", "fine_grained")
class FineGrainedImages(Dataset):
    """Images of CARS196, CUB-200-2011 or of one's own, each of a class.

    An item is ``(image, about)``: what ``transform`` makes of the opened image, and a dict of
    ``index`` (in this dataset) and ``identity``, the place of its class among the names of the
    split's classes sorted as texts (``1``, ``10``, ``2``), as published. Images of a class follow
    each other, classes and their images in the order of the index.

    Attributes:
        files: paths of the images.
        names: the same, from the folder that holds ``image_dir`` (``car/car_ims/000001.jpg``), for
            files that are to be read on other machines.
        identities: a number per image. classes: the name of each.

    Args:
        transform: pipeline over one PIL image.
        set: ``car``, ``cub`` or ``folder``, images of one's own: see
            :func:`mdir.data.datasets.fine_grained_layouts.read_folder`.
        image_dir: the set's folder, with ``cars_annos.mat`` or ``images.txt`` in it, relative to
            the root.
        split: of cars and birds, ``train`` has the first half of the classes, ``test`` the others.
        cropped: to the boxes of the index.
        reencoded: false: the original files. true: the smaller JPEG files of the published code
            and their ``uncropped_data_dicts.pth`` or ``cropped_data_dicts.pth``; paths of another
            machine in it stand for the files of the same names in ``uncropped`` or ``cropped``.

    Raises:
        DataError, UserError: the set is not there or not as it must be.
    """

    takes_decoded_cache = True

    def __init__(
        self,
        transform,
        inputs=(),
        *,
        set: SetName,
        image_dir: str,
        split: Split = "train",
        cropped: bool = False,
        reencoded: bool = False,
    ):
        found = FineGrainedFiles(set, image_dir, cropped, reencoded)
        classes = found.classes(split)
        images = [image for members in classes.values() for image in members]
        self.transform, self.are_own = transform, set == "folder"
        self.classes = sorted(classes)
        self.files = [found.root / image.file for image in images]
        used_files(self.files)
        self.names = [str(Path(found.root.name, image.file)) for image in images]
        self._boxes = [image.box for image in images]
        places = {name: at for at, name in enumerate(self.classes)}
        self._identities = [places[image.category] for image in images]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.view(index), self.about(index)

    def view(self, index: int):
        """The image alone."""
        reading = str(self.files[index]), self._boxes[index], self.are_own
        return self.transform(open_through(self.transform, _open_part, *reading))

    def about(self, index: int) -> dict[str, int]:
        """Index and class of an image."""
        return {"index": index, "identity": self.identities[index]}

    @property
    def identities(self) -> list[int]:
        """The class of each item, for samplers."""
        return self._identities


def _open_part(path, box, upright):
    image = open_image(path, upright=upright)
    if box is not None and not overlaps(box, *image.size):
        raise DataError(f"{path}: the box {box} lies outside the image, {image.size} pixels")
    return image if box is None else image.crop(box)
