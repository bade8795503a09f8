"""Step: whether a fine-grained set is whole, and its files as the published code prepares them."""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from cirtorch.datasets.orientation import upright_size
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import atomic_write
from cirtorch.utils.progress import progress
from cirtorch.utils.weight_files import save_weights
from mdir.artifacts import changed_input, made_before, produced, used_files
from mdir.data.datasets.fine_grained import FineGrainedFiles, SetName
from mdir.data.datasets.fine_grained_layouts import (
    SPLITS,
    FineImage,
    base_name,
    check_files,
    data_dicts_path,
    overlaps,
    read_data_dicts,
)
from mdir.data.image_files import open_image
from mdir.data.image_lists import check_readable, listed
from mdir.errors import UserError
from mdir.report.tables import Table
from mdir.stages.step import step

_THREADS = 8


@step
def prepare_fine_grained(
    _inputs,
    *,
    set: SetName,
    image_dir: str,
    cropped: bool = False,
    reencoded: bool = False,
):
    """Refuse an index that does not fit and damaged images; print how much there is of what.

    With ``reencoded`` it then writes what the published code prepares: every image, cropped or
    not, as a JPEG file of quality 75 in ``uncropped`` or ``cropped`` of the set's folder, and
    ``uncropped_data_dicts.pth`` or ``cropped_data_dicts.pth``, whose paths begin with the name of
    that folder (``car/uncropped/000001.jpg``). Files that are there already stay, those of the
    published code too; without the original set they are checked alone.

    Args:
        set, image_dir, cropped, reencoded: as of the dataset ``fine_grained``.

    Returns:
        Metadata: for each split ``classes`` and ``images`` (numbers); ``warnings``.
    """
    given = FineGrainedFiles(set, image_dir, cropped, reencoded)
    original = FineGrainedFiles(set, image_dir, cropped, False)
    alone = reencoded and given.index.exists() and not original.has_images()
    found = given if alone else original
    images = found.read()
    check_files(found.root, images)
    files = [found.root / image.file for image in images]
    used_files(files)
    check_readable(files)
    warnings = [*_box_warnings(found.root, images), *_warnings(images)]
    if reencoded and not alone:
        _write_variant(found, images)
    metadata = {split: _numbers(images, split) for split in SPLITS}
    rows = [[split, *map(str, numbers.values())] for split, numbers in metadata.items()]
    print(Table(["split", "classes", "images"], rows).as_text(), flush=True)
    for warning in warnings:
        print(f"Warning: {found.root}: {warning}", file=sys.stderr)
    return {**metadata, "warnings": warnings}


def _numbers(images, split):
    categories = [image.category for image in images if image.split == split]
    return {"classes": len({*categories}), "images": len(categories)}


def _warnings(images) -> Iterator[str]:
    splits = {split: [one for one in images if one.split == split] for split in SPLITS}
    effects = {
        "train": "a class is learnt from one image",
        "test": "there is nothing to be found for them, they are misses at every rank",
    }
    for split, members in splits.items():
        counts = Counter(image.category for image in members)
        lonely = [image for image in members if counts[image.category] == 1]
        if lonely:
            yield (
                f"{len(lonely)} images of {split} are alone in their class, first that of class "
                f"{lonely[0].category} ({lonely[0].where}): {effects[split]}"
            )
        if not members:
            yield f"{split} has no images"
    both = sorted({*_categories(splits["train"])} & {*_categories(splits["test"])})
    if both:
        yield (
            f"{len(both)} classes are in train and in test, '{both[0]}' first: scores will be "
            "better than on classes never seen"
        )


def _categories(images):
    return (image.category for image in images)


def _box_warnings(root, images) -> Iterator[str]:
    """Warn of boxes that reach beyond their image; those without a pixel of it are an error."""
    faults, partly = [], []
    for image in images:
        if image.box is None:
            continue
        (x1, y1, x2, y2), (width, height) = image.box, _size(root / image.file)
        text = f"{image.where}: the box {image.box} and an image of {width} x {height} pixels"
        if not overlaps(image.box, width, height):
            faults.append(text)
        elif x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            partly.append(text)
    if faults:
        raise DataError(f"{root}: {len(faults)} boxes lie outside their image:{listed(faults)}")
    if partly:
        yield f"{len(partly)} boxes reach outside their image, where it is black; {partly[0]} first"


def _size(path, upright=False):
    try:
        with Image.open(path) as image:
            return upright_size(image) if upright else image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def _write_variant(found: FineGrainedFiles, images: list[FineImage]):
    _check_names(found.root, images)
    folder, dicts = found.root / found.variant, data_dicts_path(found.root, found.variant)
    write_dicts = _must_write(dicts, found, images)
    anew = changed_input() is not None and made_before(folder)
    with ThreadPoolExecutor(_THREADS) as pool:
        written = pool.map(lambda image: _reencode(found, image, folder, anew), images)
        for _ in progress(written, len(images), found.variant):
            pass
    produced(folder)
    if write_dicts:
        content = {split: {} for split in SPLITS}
        for image in images:
            path = f"{found.root.name}/{found.variant}/{base_name(image.file)}"
            content[image.split].setdefault(image.category, []).append(path)
        save_weights(content, dicts)
    produced(dicts)


def _check_names(root, images):
    """All variants lie in one folder, and the suffix is the format, as published."""
    Image.init()
    faults, first = [], {}
    for image in images:
        name = base_name(image.file)
        if Path(name).suffix.lower() not in Image.registered_extensions():
            faults.append(f"{image.where}: {name} has no suffix of an image format")
        elif first.setdefault(name, image) is not image:
            faults.append(f"{image.where}: {name} is also that of {first[name].file}")
    if faults:
        raise UserError(
            f"{root}: {len(faults)} names do not fit the published layout, one folder for all "
            f"images:{listed(faults)}"
        )


def _must_write(dicts, found, images):
    if not dicts.exists():
        return True
    stored = _in_groups(read_data_dicts(found.root, found.variant))
    if stored == _in_groups(images):
        return False
    if made_before(dicts):
        return True
    raise DataError(
        f"{dicts}: tells other images or classes than {found.index}; move it and the folder "
        f"{found.variant} elsewhere to have both written anew, or remove {found.index.name} to use "
        "them as they are"
    )


def _in_groups(images):
    groups = {}
    for image in images:
        groups.setdefault((image.split, image.category), []).append(base_name(image.file))
    return groups


def _reencode(found, image, folder, anew):
    target, source = folder / base_name(image.file), found.root / image.file
    is_own = found.set == "folder"
    if target.exists() and not anew:
        box = image.box
        wanted = (box[2] - box[0], box[3] - box[1]) if box else _size(source, is_own)
        if _size(target) != wanted:
            raise DataError(
                f"{target}: is {_size(target)} pixels large, {source} gives {wanted}; move "
                f"{folder} elsewhere to have it written anew"
            )
        return
    picture = open_image(str(source), upright=is_own)
    picture = picture if image.box is None else picture.crop(image.box)
    with atomic_write(target) as file:
        picture.save(file, format=Image.registered_extensions()[target.suffix.lower()])
