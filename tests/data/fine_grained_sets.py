"""Small sets of cars and birds in the layouts of CARS196 and CUB-200-2011.

Names, sizes and boxes follow the rules of the golden data: images of 40 x 30 pixels, of which the
third is grey.
"""

import numpy as np
import scipy.io
from PIL import ExifTags, Image

SIZE, GREY = (40, 30), 2
CAR_FIELDS = ("path", "x1", "y1", "x2", "y2", "class", "test")


def write_cars(folder, classes, boxes=None):
    """``cars_annos.mat`` and ``car_ims``, an image for each of the classes."""
    records = []
    for at, label in enumerate(classes):
        name = f"car_ims/{at + 1:06d}.jpg"
        box = boxes[at] if boxes else (2 + at, 3, 30, 20 + at % 5)
        records.append((name, *box, int(label), 0))
        write_image(folder / name, at)
    write_annotations(folder, records)


def write_annotations(folder, records, fields=CAR_FIELDS, name="annotations"):
    """``cars_annos.mat`` of those records."""
    array = np.zeros((1, len(records)), dtype=[(field, object) for field in fields])
    for at, record in enumerate(records):
        array[0, at] = record
    scipy.io.savemat(folder / "cars_annos.mat", {name: array})


def write_birds(folder, classes):
    """``images.txt``, ``image_class_labels.txt``, ``bounding_boxes.txt`` and ``images``."""
    names = [f"{label:03d}.Bird/Bird_{at:04d}_{label}.jpg" for at, label in enumerate(classes)]
    for at, name in enumerate(names):
        write_image(folder / "images" / name, at)
    lines = {
        "images": names,
        "image_class_labels": classes,
        "bounding_boxes": [f"{3.7 + at} 2.2 20.9 15.5" for at in range(len(names))],
    }
    for index, rows in lines.items():
        text = "".join(f"{number} {row}\n" for number, row in enumerate(rows, 1))
        (folder / f"{index}.txt").write_text(text)


def write_image(path, at):
    """An image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(at).randint(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if at == GREY else pixels).save(path, quality=95)


def turn(path):
    """Note in an image that its camera was turned by a quarter."""
    with Image.open(path) as image:
        exif = image.getexif()
        exif[ExifTags.Base.Orientation] = 6
        image.save(path, exif=exif)
