"""Which images fine-grained sets have, their classes and splits, as their indexes tell.

Layouts, splits and orders are those of ProxyAnchor and UnifiedProxy (leftthomas).
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cirtorch.datasets.imagefiles import list_images
from cirtorch.utils.errors import DataError
from mdir.artifacts import used
from mdir.data.image_lists import listed, subfolders
from mdir.data.index_files import read_index
from mdir.errors import UserError

SPLITS = ("train", "test")
VARIANTS = ("uncropped", "cropped")
OWN_INDEX, OWN_COLUMNS = "index.csv", ("path", "class", "split")
OWN_IMAGES = (
    f"Images of one's own are listed in {OWN_INDEX} ({','.join(OWN_COLUMNS)}), or lie in a "
    "sub-folder for each class, in train and test or all side by side."
)
FIRST_TEST_CLASS = {"car": 99, "cub": 101}


class FineImage(NamedTuple):
    """One image.

    Attributes:
        file: below the set's folder. category: name of the class. split: ``train`` or ``test``.
        box: of the object, x1, y1, x2, y2 in pixels, ends exclusive; None: the whole image.
        where: the place in the index that speaks of it.
    """

    file: str
    category: str
    split: str
    box: tuple[int, int, int, int] | None
    where: str


class SetLayout(NamedTuple):
    """How a set lies in its folder.

    Attributes:
        index: the file or folder, below it, that tells the images.
        read: ``(root, boxes) -> images`` in the order of the index; ``boxes``: with them.
    """

    index: str
    read: Callable[[Path, bool], list[FineImage]]


def read_cars(root: Path, boxes: bool) -> list[FineImage]:
    """CARS196: ``cars_annos.mat``, its records by position: path, box, class, and a flag.

    Classes below 99 train. The box is taken as it is, though it counts from 1.

    Raises:
        DataError: a file of another layout, or records that do not fit.
    """
    path, images, faults = root / "cars_annos.mat", [], []
    for number, record in enumerate(_annotations(path), 1):
        where = f"{path}: record {number}"
        try:
            file, *box, label = [_single(record[at]) for at in range(6)]
            if not isinstance(file, str):
                raise ValueError(f"its first field, {file!r}, is not the path of an image")
            split = _split("car", label)
            box = _box(box) if boxes else None
            images.append(FineImage(file, str(int(label)), split, box, where))
        except (ValueError, OverflowError) as fault:
            faults.append(f"{where}: {fault}")
    _refuse(faults, path)
    return images


def _annotations(path):
    expected = (
        "expected cars_annos.mat of CARS196, with 'annotations': records of path, x1, y1, x2, y2, "
        "class and test flag"
    )
    from scipy.io import loadmat  # late: it takes its time

    used(path)
    try:
        content = loadmat(path, variable_names=["annotations"])
    except Exception as error:  # damaged files make the reader stumble in many ways
        raise DataError(f"{path}: cannot be read ({error}); {expected}") from error
    if "annotations" not in content:
        raise DataError(f"{path}: has no 'annotations'; {expected}")
    records = content["annotations"].ravel()
    names = records.dtype.names or ()
    if len(names) < 6:
        raise DataError(f"{path}: its records have the fields {', '.join(names)}; {expected}")
    return records


def _single(field):
    values = np.asarray(field)
    if values.size != 1:
        raise ValueError(f"a field holds {values.size} values instead of one")
    return values.item()


def read_birds(root: Path, boxes: bool) -> list[FineImage]:
    """CUB-200-2011: ``images.txt``, ``image_class_labels.txt``, ``bounding_boxes.txt``.

    Classes below 101 train; a class is named as the file of labels writes it. The order is that of
    ``images.txt``. Coordinates and sizes of boxes are truncated.

    Raises:
        DataError: files that are absent, or lines that do not fit.
    """
    files = _lines(root / "images.txt", 2)
    labels = _lines(root / "image_class_labels.txt", 2)
    places = _lines(root / "bounding_boxes.txt", 5) if boxes else {}
    images, faults = [], []
    for number, (where, file) in files.items():
        at = where
        try:
            at, label = labels[number]
            split, box = _split("cub", label), None
            if boxes:
                at, text = places[number]
                box = _corners(text)
            images.append(FineImage(f"images/{file}", label, split, box, where))
        except KeyError:
            faults.append(f"{where}: image {number} is not in the other files of the index")
        except (ValueError, OverflowError) as fault:
            faults.append(f"{at}: {fault}")
    for number in labels.keys() - files.keys():
        faults.append(f"{labels[number][0]}: image {number} is not in images.txt")
    _refuse(faults, root)
    return images


def _corners(text):
    x, y, width, height = (int(float(value)) for value in text.split())
    return _box((x, y, x + width, y + height))


def _lines(path, cells):
    """``{first cell: (file:line, the rest)}`` of a text file, in the order of its lines."""
    used(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8 ({error})") from error
    found, faults = {}, []
    for number, line in enumerate(lines, 1):
        parts, where = line.split(maxsplit=1), f"{path}:{number}"
        if not parts:
            continue
        if len(line.split()) < cells:
            faults.append(f"{where}: {line!r} has fewer than {cells} parts")
        elif parts[0] in found:
            faults.append(f"{where}: image {parts[0]} comes twice, first at {found[parts[0]][0]}")
        else:
            found[parts[0]] = (where, parts[1].strip())
    _refuse(faults, path)
    return found


def _split(set, label):
    try:
        number = int(label)
    except ValueError:
        number = 0
    if number < 1 or number != float(label):
        raise ValueError(f"class {label!r} is not a whole number from 1")
    return SPLITS[number >= FIRST_TEST_CLASS[set]]


def _box(corners):
    x1, y1, x2, y2 = map(int, corners)
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"the box {x1}, {y1}, {x2}, {y2} (x1, y1, x2, y2) is empty")
    return x1, y1, x2, y2


def read_folder(root: Path, boxes: bool) -> list[FineImage]:
    """One's own images: ``index.csv`` (``path,class,split``), or a sub-folder for each class.

    Where there are the sub-folders ``train`` and ``test``, or nothing but one of them, classes are
    sub-folders of theirs; otherwise the first half of the classes, sorted as texts, train, and the
    others test.

    Raises:
        DataError, UserError: rows that do not fit, no folder of a class, one without images; or
            boxes are asked for, which there are none of.
    """
    if boxes:
        raise UserError(f"{root}: the set 'folder' has no boxes to crop to; set cropped: false")
    if (root / OWN_INDEX).exists():
        return _read_csv(root)
    used(root)
    classes = class_folders(root)
    splits = [folder for folder in classes if folder.name in SPLITS]
    if not classes:
        raise UserError(f"{root}: holds no classes. {OWN_IMAGES}")
    if len(splits) == len(SPLITS) or splits == classes:
        folders = {split.name: subfolders(split) for split in reversed(splits)}
    else:
        half = len(classes) // 2
        folders = {"train": classes[:half], "test": classes[half:]}
    return [
        FineImage(str((folder / name).relative_to(root)), folder.name, split, None, str(folder))
        for split, found in folders.items()
        for folder in found
        for name in list_images(folder, recursive=True)
    ]


def class_folders(root: Path) -> list[Path]:
    """Sub-folders of one's own set, without those that were written by the step that prepares."""
    return [folder for folder in subfolders(root) if folder.name not in VARIANTS]


def _read_csv(root):
    used(root / OWN_INDEX)
    rows, faults = read_index(root / OWN_INDEX, OWN_COLUMNS), []
    for row, where in rows:
        if not row["class"]:
            faults.append(f"{where}: no class")
        if row["split"] not in SPLITS:
            allowed = ", ".join(SPLITS)
            faults.append(f"{where}: unknown split {row['split']!r}. Allowed: {allowed}")
    _refuse(faults, root / OWN_INDEX)
    return [FineImage(row["path"], row["class"], row["split"], None, at) for row, at in rows]


LAYOUTS = {
    "car": SetLayout("cars_annos.mat", read_cars),
    "cub": SetLayout("images.txt", read_birds),
    "folder": SetLayout("", read_folder),
}


def data_dicts_path(root: Path, variant: str) -> Path:
    """The file in which the published projects keep the images of a variant."""
    return root / f"{variant}_data_dicts.pth"


def read_data_dicts(root: Path, variant: str) -> list[FineImage]:
    """Images of ``VARIANT_data_dicts.pth``: ``{split: {class: [paths]}}``.

    Paths of another machine stand for the files of the same name in ``VARIANT``.

    Raises:
        DataError: the file cannot be read or holds something else.
    """
    from cirtorch.utils.weight_files import load_weights  # late: imports torch

    path = data_dicts_path(root, variant)
    used(path)
    content = load_weights(path)
    try:
        stored = [
            (split, category, file)
            for split in SPLITS
            for category, files in content[split].items()
            for file in files
        ]
        if not all(isinstance(text, str) for row in stored for text in row):
            raise TypeError("not all names are texts")
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: holds no data dicts, {{'train': {{class: [paths]}}, 'test': ...}} ({error!r})"
        ) from error
    images = []
    for split, category, file in stored:
        below = f"{variant}/{base_name(file)}"
        elsewhere = not (root / below).is_file() and os.path.isfile(file)
        where = f"{path}: {split}, class {category}, {file}"
        place = os.path.abspath(file) if elsewhere else below
        images.append(FineImage(place, category, split, None, where))
    return images


def overlaps(box, width: int, height: int) -> bool:
    """Whether a box holds a pixel of an image of that size."""
    x1, y1, x2, y2 = box
    return x1 < width and y1 < height and x2 > 0 and y2 > 0


def base_name(path: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[/\\]", path)[-1]


def check_files(root: Path, images: list[FineImage]) -> None:
    """Raise a :class:`DataError` that lists images which are not there or come twice."""
    faults, places = [], {}
    for image in images:
        first = places.setdefault(image.file, image.where)
        if not (root / image.file).is_file():
            faults.append(f"{image.where}: no such image: {root / image.file}")
        elif first is not image.where:
            faults.append(f"{image.where}: {image.file} is listed twice, first at {first}")
    _refuse(faults, root)


def _refuse(faults, source):
    if faults:
        raise DataError(f"{source}: {len(faults)} rows of the index do not fit:{listed(faults)}")
