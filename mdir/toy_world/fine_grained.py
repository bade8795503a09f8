"""Cars and birds of the toy world in the layouts of CARS196 and CUB-200-2011."""

import io
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mdir.data.datasets.fine_grained_layouts import FIRST_TEST_CLASS
from mdir.toy_world.birds import Species
from mdir.toy_world.cars import CarModel
from mdir.toy_world.layouts import Layout
from mdir.toy_world.places import generator
from mdir.toy_world.surveillance import Camera, placed
from mdir.toy_world.world import write_layout

MANIFEST = "toy_fine_grained.json"
VERSION = 1  # counts changes of what is written
MOST_CLASSES = FIRST_TEST_CLASS["car"] - 1  # that train, as the published split has it
_CAMERAS = 48  # places with a light of their own, any of which takes any image
_FIELDS = ("relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test")


@dataclass(frozen=True)
class FineGrainedSizes:
    """How much is drawn of every set.

    Width of an image in pixels (its height is three quarters of that), numbers of classes that
    train (as many test), and of images of each.
    """

    size: int = 96
    classes: int = 16
    images: int = 16


@dataclass(frozen=True)
class Portrait:
    """An image to be taken: of which model or species, and which one."""

    subject: CarModel | Species
    number: int
    size: int

    def take(self) -> np.ndarray:
        """The image: uint8 array [height, width, 3], RGB."""
        cover, paint, rng = self._pose()
        look = "street" if isinstance(self.subject, CarModel) else "nature"
        kind = type(self.subject).__name__
        camera = Camera(self.subject.seed, kind, int(rng.integers(_CAMERAS)), look)
        return camera.expose(cover, paint, self._frame, rng.random(), rng)

    def box(self) -> tuple[int, int, int, int]:
        """What the subject covers of the image: left, top, right, bottom; the ends exclusive."""
        cover, _, _ = self._pose()
        share = cover.shape[1] / self._frame[0]
        spans = [np.flatnonzero((cover > 0.5).any(axis)) / share for axis in (0, 1)]
        (left, right), (top, bottom) = [(int(at[0]), int(at[-1]) + 1) for at in spans]
        return left, top, right, bottom

    @property
    def _frame(self):
        return self.size, self.size * 3 // 4

    def _pose(self):
        rng = generator(self.subject, self.number)
        drawn = self.subject.draw(rng, 2 * self._frame[1])
        flip = rng.random() < 0.5
        return *placed(drawn, rng, (0.72, 1.05), 5, (0.06, 0.06), flip), rng


def write_toy_fine_grained(
    directory: str | os.PathLike, sets, seed: int = 0, sizes: FineGrainedSizes | None = None
):
    """Draw small fine-grained sets below ``data`` of a folder, each as the real one lies.

    Classes that train are numbered from 1, those that test from the first that the published split
    puts there.

    Args:
        sets: ``car``, ``cub`` or both.

    Returns, Raises:
        as :func:`mdir.toy_world.world.write_toy_world`; the manifest is ``toy_fine_grained.json``.
    """
    sizes, layout = sizes or FineGrainedSizes(), Layout()
    for name in sets:
        _LAID_OUT[name](layout, f"data/{name}", list(_portraits(name, seed, sizes)))
    about = {"version": VERSION, "seed": seed, "sets": [*sets], "sizes": asdict(sizes)}
    return write_layout(Path(directory) / MANIFEST, layout, about)


def _portraits(name, seed, sizes):
    """``(class, portrait)`` of all images of a set, in order of their classes."""
    kind = {"car": CarModel, "cub": Species}[name]
    for number in range(2 * sizes.classes):
        tests, place = divmod(number, sizes.classes)
        label = place + (FIRST_TEST_CLASS[name] if tests else 1)
        for image in range(sizes.images):
            yield label, Portrait(kind(seed, number), image, sizes.size)


def _cars(layout, folder, portraits):
    records = []
    for number, (label, portrait) in enumerate(portraits, 1):
        path = f"car_ims/{number:06d}.jpg"
        layout.shots[f"{folder}/{path}"] = portrait
        records.append((path, portrait, label))
    layout.files[f"{folder}/cars_annos.mat"] = partial(_annotations, records)


def _annotations(records) -> bytes:
    """MATLAB file whose records count pixels from 1 and hold the class and the flag of the test."""
    from scipy.io import savemat  # late: it takes its time

    rows = np.zeros((1, len(records)), [(name, object) for name in _FIELDS])
    for at, (path, portrait, label) in enumerate(records):
        left, top, right, bottom = portrait.box()
        rows[0, at] = (path, left + 1, top + 1, right, bottom, label, int(label > MOST_CLASSES))
    names = [""] * max(label for _, _, label in records)
    for _, portrait, label in records:
        names[label - 1] = f"Toy {portrait.subject.kind.capitalize()} {label}"
    buffer = io.BytesIO()
    classes = np.array([names], object)
    savemat(buffer, {"annotations": rows, "class_names": classes}, do_compression=True)
    header = b"MATLAB 5.0 MAT-file of the toy world".ljust(116)  # scipy's tells the time
    return header + buffer.getvalue()[116:]


def _birds(layout, folder, portraits):
    lines = {"images": [], "image_class_labels": [], "bounding_boxes": []}
    for number, (label, portrait) in enumerate(portraits, 1):
        name = f"Toy_{portrait.subject.kind.capitalize()}"
        path = f"{label:03d}.{name}/{name}_{portrait.number + 1:04d}_{number}.jpg"
        layout.shots[f"{folder}/images/{path}"] = portrait
        lines["images"].append(f"{number} {path}\n")
        lines["image_class_labels"].append(f"{number} {label}\n")
        lines["bounding_boxes"].append((number, portrait))
    boxes = lines.pop("bounding_boxes")
    layout.files[f"{folder}/bounding_boxes.txt"] = partial(_boxes, boxes)
    for name, text in lines.items():
        layout.files[f"{folder}/{name}.txt"] = "".join(text).encode


def _boxes(portraits) -> bytes:
    lines = []
    for number, portrait in portraits:
        left, top, right, bottom = map(float, portrait.box())
        lines.append(f"{number} {left} {top} {right - left} {bottom - top}\n")
    return "".join(lines).encode()


_LAID_OUT = {"car": _cars, "cub": _birds}
