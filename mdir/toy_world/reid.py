"""Pedestrians and vehicles of the toy world in the layouts of the re-identification data sets."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mdir.data.datasets.reid_layouts import NAMED_SETS
from mdir.toy_world.canvas import Canvas
from mdir.toy_world.layouts import Layout
from mdir.toy_world.persons import FACINGS, Person
from mdir.toy_world.persons import WIDTH as NARROW
from mdir.toy_world.places import generator
from mdir.toy_world.solids import WIDTH as WIDE
from mdir.toy_world.surveillance import Camera
from mdir.toy_world.vehicles import Vehicle
from mdir.toy_world.world import write_layout

MANIFEST = "toy_reid.json"
VERSION = 2  # counts changes of what is written
LOOKS = {
    **dict.fromkeys(("market1501", "msmt17", "veri", "vehicleid"), "street"),
    **dict.fromkeys(("personx", "vehiclex"), "render"),
}
VEHICLES = ("veri", "vehicleid", "vehiclex")
MOST_CAMERAS = 6
_PASSERS_BY = 900  # numbers of persons from here on belong to no identity of a set
_HOURS = (("morning", 0.82), ("noon", 1.08), ("afternoon", 0.95))
_YAWS = (25, 50, 155, 130, 330, 210)  # of vehicles, by camera


@dataclass(frozen=True)
class ReidSizes:
    """How much is drawn of every set.

    ``height`` of pedestrians in pixels (a vehicle's image is as wide), numbers of identities that
    train and that test, of cameras, and of images that a camera takes of each.
    """

    height: int = 128
    identities: int = 24
    test_identities: int = 16
    cameras: int = 4
    images: int = 4


@dataclass(frozen=True)
class Sighting:
    """An image to be taken: who (None: nobody), where, and which of that camera."""

    who: Person | Vehicle | None
    camera: Camera
    height: int
    shot: int
    hour: float = 1.0

    def take(self) -> np.ndarray:
        """The image: uint8 array [height, width, 3], RGB."""
        rng = generator(self.who, self.camera, self.shot)
        tall = self.height * 3 // 4 if self.camera.kind in VEHICLES else self.height
        size = round(tall * (WIDE if self.camera.kind in VEHICLES else NARROW)), tall
        if self.who is None:
            drawn = Canvas(size[0] / tall, 2 * tall)
        elif isinstance(self.who, Vehicle):
            yaw = _YAWS[self.camera.number] + rng.uniform(-18, 18)
            drawn = self.who.draw(yaw, rng.uniform(6, 14), 2 * tall)
        else:
            drawn = self.who.draw(rng.choice(FACINGS), rng.uniform(-1, 1), 2 * tall)
        return self.camera.take(drawn, size, (self.who, self.shot), self.hour)


class _Set:
    """One set of the toy world: its sightings, and their names by the set's own rule."""

    def __init__(self, name, seed, sizes):
        self.name, self.seed, self.sizes = name, seed, sizes
        self.kind = Vehicle if name in VEHICLES else Person
        # Before cameras that differ much an untrained network finds these, not the identities.
        self.cameras = [Camera(seed, name, at, LOOKS[name], True) for at in range(sizes.cameras)]

    def shots(self, numbers):
        """``(number, camera, image)`` of all identities of those numbers, by all cameras."""
        sizes = self.sizes
        return ((number, camera, image) for number in numbers for camera in range(sizes.cameras)
                for image in range(sizes.images))  # fmt: skip

    def sighting(self, number, camera, image, hour=1.0):
        """The sighting of an identity, of nobody for None."""
        who = None if number is None else self.kind(self.seed, self.name, number)
        return Sighting(who, self.cameras[camera], self.sizes.height, image, hour)

    @property
    def trained(self):
        """Numbers of the identities that train."""
        return range(self.sizes.identities)

    @property
    def tested(self):
        """Numbers of the identities that test."""
        return range(self.sizes.identities, self.sizes.identities + self.sizes.test_identities)


def write_toy_reid(
    directory: str | os.PathLike, sets, seed: int = 0, sizes: ReidSizes | None = None
):
    """Draw small re-identification sets below ``data`` of a folder, each as the real one lies.

    The first image that a camera takes of a test identity is a query, the others are the gallery,
    which in ``market1501`` also shows strangers and junk.

    Args:
        sets: names out of ``LOOKS``; ``personx`` and ``vehiclex`` have the look of a game.

    Returns, Raises:
        as :func:`mdir.toy_world.world.write_toy_world`; the manifest is ``toy_reid.json``.
    """
    sizes, layout = sizes or ReidSizes(), Layout()
    for name in sets:
        _LAID_OUT.get(name, _named)(layout, f"data/{name}", _Set(name, seed, sizes))
    about = {"version": VERSION, "seed": seed, "sets": [*sets], "sizes": asdict(sizes)}
    return write_layout(Path(directory) / MANIFEST, layout, about)


def _named(layout, folder, drawn):
    rules = NAMED_SETS[drawn.name]

    def add(split, identity, camera, image, number):
        tail = {"veri": f"_{image:08d}_0", "vehiclex": f"_{image}"}.get(
            drawn.name, f"s1_{image:06d}_01"
        )
        digits = 3 if drawn.name in VEHICLES else 1
        name = f"{identity:04d}" if identity >= 0 else str(identity)
        name += f"_c{rules.cameras[camera]:0{digits}d}{tail}.jpg"
        place = f"{folder}/{rules.folder}/{rules.folders[split]}"
        layout.shots[f"{place}/{name}"] = drawn.sighting(number, camera, image)

    for number, camera, image in drawn.shots(drawn.trained):
        add("train", number + 1, camera, image, number)
    if "query" not in rules.folders:
        return
    for number, camera, image in drawn.shots(drawn.tested):
        add("gallery" if image else "query", number + 1, camera, image, number)
    if drawn.name == "market1501":
        for camera in range(drawn.sizes.cameras):
            for image in range(drawn.sizes.images):
                stranger = _PASSERS_BY + camera * drawn.sizes.images + image
                add("gallery", 0, camera, image, stranger)
                add("gallery", -1, camera, image, None)


def _msmt17(layout, folder, drawn):
    """Lists in which training and test both count their identities from 0."""
    lists = {"train": [], "val": [], "query": [], "gallery": []}
    for part, numbers in (("train", drawn.trained), ("test", drawn.tested)):
        for number, camera, image in drawn.shots(numbers):
            identity, (hour, light) = number - numbers[0], _HOURS[image % len(_HOURS)]
            name = f"{identity:04d}_{image:03d}_{camera + 1:02d}_0113{hour}_0001_{image}.jpg"
            file = f"{identity:04d}/{name}"
            shot = drawn.sighting(number, camera, image, light)
            layout.shots[f"{folder}/MSMT17_V1/{part}/{file}"] = shot
            last = image == drawn.sizes.images - 1
            split = ("val" if last else "train") if part == "train" else (
                "gallery" if image else "query")  # fmt: skip
            lists[split].append(f"{file} {identity}\n")
    for split, lines in lists.items():
        layout.files[f"{folder}/MSMT17_V1/list_{split}.txt"] = "".join(lines).encode


def _vehicleid(layout, folder, drawn):
    """Lists of names and identities; ``test_size`` is the number of identities that test."""
    lists = {"train_list": drawn.trained, f"test_list_{len(drawn.tested)}": drawn.tested}
    for name, numbers in lists.items():
        lines = []
        for at, (number, camera, image) in enumerate(drawn.shots(numbers)):
            file = f"{numbers[0] + 1:04d}{at:03d}"
            shot = drawn.sighting(number, camera, image)
            layout.shots[f"{folder}/VehicleID/image/{file}.jpg"] = shot
            lines.append(f"{file} {number + 1}\n")
        place = f"{folder}/VehicleID/train_test_split/{name}.txt"
        layout.files[place] = "".join(lines).encode


_LAID_OUT = {"msmt17": _msmt17, "vehicleid": _vehicleid}
