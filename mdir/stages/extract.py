"""Step: descriptors of a folder of any size, in shards; a stopped run goes on where it was."""

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from cirtorch.datasets.imagefiles import images_of
from cirtorch.search.shards import INDEX, Shards, map_rows, open_shards, read_json
from cirtorch.utils.files import atomic_write
from mdir import distributed
from mdir.artifacts import begun, changed_input, made_before, produced, used, used_files
from mdir.data.datasets.images import CirImageList
from mdir.data.sections import loader_options
from mdir.data.transforms.parse import check_transforms, parse_transforms
from mdir.errors import UserError, gathered
from mdir.inference.descriptors import extract_together
from mdir.inference.fingerprint import files_fingerprint, network_fingerprint
from mdir.learning.compute import default_device
from mdir.networks.factory import load_network
from mdir.paths import resolve_path
from mdir.registry import Check, Options, Section
from mdir.registry.ranges import at_least
from mdir.stages.step import step

_PLAN = "plan.json"


@step
def extract(
    _inputs,
    *,
    network: Annotated[dict, Section("network")],
    images: str,
    directory: str,
    image_size: Annotated[int, at_least(1)] | None = 1024,
    shard_size: int = 10_000,
    transforms: Annotated[str, Check(check_transforms)] | None = None,
    mean_std: list | tuple | None = None,
    loader: Annotated[dict, Options(loader_options)] | None = None,
    upright: bool = True,
    strict_images: bool = False,
):
    """Describe all images of a folder or a list and write the descriptors to shards.

    A shard holds ``shard_size`` images: ``NAME.npy`` with rows ``[n, D]`` float32 and
    ``NAME.json`` with the names of the rows and of images that could not be read. ``shards.json``
    is written last; the step ``search`` looks up the images of one extraction in another's, and
    :func:`cirtorch.search.shards.open_shards` reads it all in Python. Finished shards of the same
    network, images and settings are not made again.

    Args:
        network: section ``{path, runtime}``; its wrappers do scales and whitening.
        images: folder (searched recursively) or text file with a path per line.
        directory: folder of the shards; relative to CIRTORCH_ROOT.
        image_size: longest side in pixels; null: as the files are.
        shard_size: images in a shard.
        transforms, mean_std: null: those of the network.
        loader: options of the data loader, such as ``num_workers`` and ``batch_size``.
        upright: pictures are turned as their EXIF says; false for sets that are read as published.
        strict_images: a picture that cannot be read, is cut short, or of a format that does not
            tell, is an error.

    Returns:
        Metadata: ``index`` (path of shards.json), ``images``, ``dimensions``, ``shards``,
        ``shards_made`` (by this run) and ``unreadable`` (number of images left out).
    """
    if shard_size < 1:
        raise UserError(f"extract: shard_size {shard_size} is not a positive number")
    source = resolve_path(images)
    with distributed.together():
        load = partial(load_network, network, default_device())
        (folder, names), model = gathered([partial(_images, source), load])
        shards = _Shards(resolve_path(directory), names, shard_size)
        reading = {"image_size": image_size, "upright": upright}
        return _extract(model, folder, shards, reading, strict_images, loader, transforms, mean_std)


def _images(source):
    used(source)
    folder, names = images_of(source)
    used_files(os.path.join(folder, name) for name in names)
    return folder, names


def _extract(model, folder, shards, reading, strict_images, loader, transforms, mean_std):
    transform = image_transform(model, transforms, mean_std)

    def dataset(part):
        options = {**reading, "ignore_errors": not strict_images}
        images = CirImageList(transform, (part,), image_dir=folder, **options)
        images.strict_images = strict_images
        return images

    preprocessing = told_preprocessing(transform, **reading)
    settings = {**preprocessing, "shard_size": shards.size}
    if strict_images:  # shards of pictures that are cut short do not count
        settings["strict_images"] = True
    if distributed.is_first():
        inputs = {**settings, "folder": folder, "names": shards.all_names}
        read = files_fingerprint(os.path.join(folder, name) for name in shards.all_names)
        shards.begin({"origin": network_fingerprint(model, inputs), "images": read})
    for number in distributed.from_first(list(shards.missing())):
        what = f"shard {number + 1} of {len(shards)}"
        found = extract_together(model, dataset(shards.names(number)), loader, what)
        if distributed.is_first():
            shards.write(number, found)
    if not distributed.is_first():
        return {}
    origin = {"images": folder, "network": network_fingerprint(model, {})}
    return shards.finish({**origin, "upright": reading["upright"], "preprocessing": preprocessing})


def extracted(folder: str, step: str) -> Shards:
    """What this step left in a folder, for the step of that name.

    Raises:
        UserError: it does not tell of which network.
    """
    used(folder)
    shards = open_shards(folder)
    if shards.network is None:
        raise UserError(
            f"{step}: {folder} does not tell which network its descriptors are of; perform the "
            "step extract that made it with --force (its shards are kept)"
        )
    return shards


def image_transform(model, transforms: str | None, mean_std):
    """What the step does to the images of a network, which is put into eval mode."""
    model.eval().require_normalization(mean_std)
    data = model.preprocessing
    return parse_transforms(transforms or data.get("transforms"), mean_std or data.get("mean_std"))


def told_preprocessing(transform, image_size: int | None, upright: bool) -> dict:
    """What the step notes of how images were read."""
    return {"transforms": repr(transform), "image_size": image_size, "upright": upright}


@dataclass
class _Shards:
    """The files of an extraction, each written whole or not at all."""

    directory: str
    all_names: list[str]
    size: int
    made: int = 0

    def __len__(self):
        return -(-len(self.all_names) // self.size)

    def names(self, number):
        return self.all_names[number * self.size : (number + 1) * self.size]

    def _file(self, number, extension):
        return f"shard-{number:06d}.{extension}"

    def _path(self, name):
        return os.path.join(self.directory, name)

    def begin(self, plan):
        """Claim the folder for this extraction; it must not hold shards of another one.

        What this step made of other inputs goes, so that a stopped run cannot go on with it.
        """
        if changed_input() is not None and made_before(self.directory):
            self._clear()
        if os.path.exists(self._path(_PLAN)) and any(self._shards()):
            stored = read_json(self._path(_PLAN), "origin")
            if stored != {key: plan[key] for key in stored if key in plan}:
                raise UserError(
                    f"{self.directory}: holds the shards of another network, other images or other "
                    "settings; remove the folder or choose another directory"
                )
        else:
            self._write_json(_PLAN, plan)
        produced(self.directory)
        begun()

    def _clear(self):
        """Remove the files of an extraction and nothing else, last the one that tells of which."""
        for path in [*self._shards(), *map(Path, map(self._path, (INDEX, _PLAN)))]:
            path.unlink(missing_ok=True)

    def _shards(self):
        return Path(self.directory).glob("shard-[0-9]*.*")

    def missing(self):
        """Numbers of the shards that are still to be made (names are written after vectors)."""
        for number in range(len(self)):
            if not all(os.path.exists(self._path(self._file(number, e))) for e in ("npy", "json")):
                yield number

    def write(self, number, batches):
        """Store one shard from ``(indices, columns [D, n])`` in any order."""
        rows = {
            index: row
            for indices, columns in batches
            for index, row in zip(indices, columns.float().cpu().t().numpy(), strict=True)
        }
        names = self.names(number)
        vectors = np.stack([rows[i] for i in sorted(rows)]) if rows else np.zeros((0, 0), "f4")
        with atomic_write(self._path(self._file(number, "npy"))) as file:
            np.save(file, vectors.astype(np.float32))
        content = {
            "names": [names[i] for i in sorted(rows)],
            "unreadable": [name for i, name in enumerate(names) if i not in rows],
        }
        self._write_json(self._file(number, "json"), content)
        self.made += 1

    def finish(self, origin):
        """Write the index with what it tells of its origin; returns the step's metadata."""
        shards, counts, unreadable, dimensions = [], 0, 0, None
        for number in range(len(self)):
            vectors, names = self._file(number, "npy"), self._file(number, "json")
            content = read_json(self._path(names), "names", "unreadable")
            counts += len(content["names"])
            unreadable += len(content["unreadable"])
            if content["names"]:
                shards.append({"vectors": vectors, "names": names})
                dimensions = map_rows(self._path(vectors)).shape[1]
        if not shards:
            raise UserError(f"extract: none of {len(self.all_names)} images could be read")
        self._write_json(INDEX, {**origin, "shards": shards})
        return {
            "index": self._path(INDEX),
            "images": counts,
            "dimensions": dimensions,
            "shards": len(shards),
            "shards_made": self.made,
            "unreadable": unreadable,
        }

    def _write_json(self, name, content):
        with atomic_write(self._path(name), "w") as file:
            json.dump(content, file)
