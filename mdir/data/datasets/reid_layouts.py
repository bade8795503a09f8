"""Folders of the re-identification data sets: which identity and which camera an image shows.

Layouts, patterns and numbers are those of SpCL (yxgeee/SpCL) and, for DukeMTMC-reID and the MSMT17
packed like Market-1501, of Cluster Contrast (alibaba/cluster-contrast-reid).
"""

import os
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cirtorch.datasets.imagefiles import list_images, read_image_list
from cirtorch.utils.errors import DataError
from mdir.data.image_lists import listed

SPLITS = ("train", "query", "gallery")
JUNK = -1  # images of nobody: neither right nor wrong
MARKET_FOLDERS = dict(
    zip(SPLITS, ("bounding_box_train", "query", "bounding_box_test"), strict=True)
)
VEHICLEID_TRAIN, VEHICLEID_TEST = 13164, (800, 1600, 2400)


class ReidImage(NamedTuple):
    """One image: its file below the data set's folder, who it shows, and which camera took it."""

    file: str
    identity: int
    camera: int


class SetLayout:
    """How one data set lies in its folder.

    Attributes:
        folder: in which it lies, below the one that it was unpacked in.
        splits: that it has.
        numbered_anew: the test's identities have nothing to do with the training's of one number.
    """

    folder: str
    splits: tuple[str, ...] = SPLITS
    numbered_anew: bool = False

    def has_cameras(self, root: Path) -> bool:
        """Whether the set says which camera took an image."""
        return True

    def read(self, root: Path, split: str) -> list[ReidImage]:
        """Images of a split, in the order of its lists.

        Raises:
            DataError, UserError: what does not fit, with its file and its rule.
        """
        raise TypeError(f"{type(self).__name__} reads nothing")

    def left_out(self, root: Path, split: str) -> list[str]:
        """Names of images beside those of a split that are none of the set, for their suffix."""
        return []


@dataclass(frozen=True)
class NamedImages(SetLayout):
    """Images in a folder per split, whose names begin with identity and camera.

    Attributes:
        pattern: of the name, two groups.
        cameras: numbers of the cameras in names, which count from 0 in this order; None: any, as
            they are.
        identities: numbers that there are; None: any.
        junk: images of identity -1 are left out.
        folders: of the splits that there are.
        suffixes: of the files of the set; None: those of all image formats.
    """

    folder: str
    pattern: str
    cameras: Sequence[int] | None = None
    identities: range | None = None
    junk: bool = True
    folders: dict[str, str] = field(default_factory=lambda: MARKET_FOLDERS)
    suffixes: tuple[str, ...] | None = (".jpg",)
    numbered_anew: bool = False

    @property
    def splits(self):
        return tuple(self.folders)

    def read(self, root, split):
        if split not in self.folders:
            raise DataError(f"{root / self.folder}: this data set has no test part, {split} is "
                            "empty; it can only be a source of training")  # fmt: skip
        place = Path(self.folder, self.folders[split])
        found, faults = [], []
        for name in self._names(root, split, of_set=True):
            try:
                image = self.parse(name)
            except ValueError as fault:
                faults.append(f"{name}: {fault}")
                continue
            if not (self.junk and image.identity == JUNK):
                found.append(image._replace(file=str(place / name)))
        if faults:
            raise DataError(f"{root / place}: {len(faults)} names do not fit:{listed(faults)}")
        return found

    def left_out(self, root, split):
        return self._names(root, split, of_set=False)

    def _names(self, root, split, of_set):
        names = list_images(root / self.folder / self.folders[split], may_be_empty=True)
        return [n for n in names if (self.suffixes is None or n.endswith(self.suffixes)) == of_set]

    def parse(self, name: str) -> ReidImage:
        """Identity and camera out of a file's name; ValueError says which rule it breaks."""
        match = re.search(self.pattern, name)
        try:
            identity, camera = map(int, match.groups() if match else ())
        except ValueError:  # no match, or a group of signs alone
            raise ValueError(f"no identity and camera in it by {self.pattern}") from None
        if self.junk and identity == JUNK:
            return ReidImage(name, identity, 0)
        if self.identities is not None and identity not in self.identities:
            low, high = self.identities[0], self.identities[-1]
            raise ValueError(f"identity {identity} is not one of {low} to {high}")
        if self.cameras is None:
            return ReidImage(name, identity, camera)
        if camera not in self.cameras:
            raise ValueError(f"camera {camera} is not one of {', '.join(map(str, self.cameras))}")
        return ReidImage(name, identity, self.cameras.index(camera))


class MSMT17(SetLayout):
    """Lists of images, in the order of the lists; or, without lists, a copy like Market-1501.

    Training and validation share their identities and both train. Cameras of lists stay as they
    are, 1 to 15.
    """

    folder = "MSMT17_V1"
    numbered_anew = True
    lists = {
        "train": (("list_train.txt", "train"), ("list_val.txt", "train")),
        "query": (("list_query.txt", "test"),),
        "gallery": (("list_gallery.txt", "test"),),
    }
    packed = NamedImages("MSMT17_V1", r"([-\d]+)_c(\d+)", range(1, 16), numbered_anew=True)

    def read(self, root, split):
        if self._is_packed(root, split):
            return self.packed.read(root, split)
        base = root / self.folder
        lists = self.lists[split]
        return [image for name, folder in lists for image in self._listed(base, name, folder)]

    def left_out(self, root, split):
        return self.packed.left_out(root, split) if self._is_packed(root, split) else []

    def _is_packed(self, root, split):
        base = root / self.folder
        first, _ = self.lists[split][0]
        return not (base / first).exists() and (base / MARKET_FOLDERS[split]).is_dir()

    def _listed(self, base, name, folder):
        for line in read_image_list(base / name):
            file = line.split(" ")[0]
            match = re.search(r"([-\d]+)_([-\d]+)_([-\d]+)", os.path.basename(file))
            if match is None:
                raise DataError(f"{base / name}: {line!r} is not a path such as "
                                "0001/0001_003_15_0113noon_0100_2.jpg and a number")  # fmt: skip
            yield ReidImage(os.path.join(self.folder, folder, file), int(match[1]), int(match[3]))


@dataclass(frozen=True)
class VehicleID(SetLayout):
    """Lists of images and identities; one image of each test identity, drawn, is the gallery.

    There are no cameras: queries get camera 0, the gallery 1, so that no match is left out.

    Attributes:
        test_size: identities of the test.
        seed: decides the gallery as Python's global generator does, seeded so.
        complete: the lists must have as many identities as the published ones.
    """

    test_size: int = VEHICLEID_TEST[0]
    seed: int = 1
    complete: bool = True
    folder = "VehicleID"

    def has_cameras(self, root):
        return False

    def read(self, root, split):
        lists = root / self.folder / "train_test_split"
        if split == "train":
            groups = self._groups(lists / "train_list.txt", VEHICLEID_TRAIN)
            return [ReidImage(file, pid, 0) for pid, files in groups.items() for file in files]
        if self.complete and self.test_size not in VEHICLEID_TEST:
            known = ", ".join(map(str, VEHICLEID_TEST))
            raise DataError(f"VehicleID: test_size {self.test_size} is not one of {known}")
        groups = self._groups(lists / f"test_list_{self.test_size}.txt", self.test_size)
        rng, parts = random.Random(self.seed), {"query": [], "gallery": []}
        for pid, files in groups.items():
            chosen = rng.choice(range(len(files)))
            parts["gallery"].append(ReidImage(files[chosen], pid, 1))
            rest = [file for at, file in enumerate(files) if at != chosen]
            parts["query"] += [ReidImage(file, pid, 0) for file in rest]
        return parts[split]

    def _groups(self, path, expected):
        groups = defaultdict(list)
        for number, line in enumerate(read_image_list(path), 1):
            cells = line.split()
            if len(cells) != 2 or not cells[1].isdigit():
                raise DataError(f"{path}:{number}: {line!r} is not a name and an identity")
            groups[int(cells[1])].append(os.path.join(self.folder, "image", f"{cells[0]}.jpg"))
        if self.complete and len(groups) != expected:
            raise DataError(f"{path}: has {len(groups)} identities instead of {expected}; "
                            "complete: false takes a part of the set")  # fmt: skip
        return groups


_IMAGES = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
_SIGNED = r"([-\d]+)_c([-\d]+)"
NAMED_SETS = {
    "market1501": NamedImages("Market-1501-v15.09.15", r"([-\d]+)_c(\d)", range(1, 7), range(1502)),
    "dukemtmcreid": NamedImages("DukeMTMC-reID", r"([-\d]+)_c(\d)", range(1, 9)),
    "personx": NamedImages("PersonX", _SIGNED, (3, 4, 8, 10, 11, 12), junk=False),
    "veri": NamedImages("VeRi", _SIGNED, range(1, 21), range(777), folders=_IMAGES),
    "vehiclex": NamedImages(
        "AIC20_ReID_Simulation",
        _SIGNED,
        range(6, 37),
        range(1, 1363),
        folders={"train": "image_train"},
    ),
}
