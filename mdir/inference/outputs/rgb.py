"""Translated images as files."""

import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image

from cirtorch.datasets.told import Told
from cirtorch.utils.files import atomic_write
from mdir import distributed
from mdir.artifacts import begun, changed_files, made_before, produced
from mdir.errors import UserError
from mdir.inference.outputs.base import Output
from mdir.inference.outputs.naming import image_names, input_paths
from mdir.inference.outputs.origins import Origins, origins_of
from mdir.inference.outputs.pixels import to_pixels
from mdir.paths import path_join, resolve_path
from mdir.registry import Check, register

_tell = Told("has one colour and its input has more: the generator has learned nothing")


def _check_stretch(value):
    if not isinstance(value, str) and (isinstance(value, bool) or value <= 0):
        raise ValueError(f"expected meanstd, none, auto or a number above 0, got {value!r}")


Stretch = Annotated[Literal["meanstd", "none", "auto"] | float, Check(_check_stretch)]


@register("output", "rgb")
class RgbOutput(Output):
    """Writes each output to an image file named after its input.

    Args:
        image_dir: folder pattern for the images, relative to the root.
        dir_structure: see :func:`mdir.inference.outputs.naming.image_names`.
        append: leave images that are there already, so that a broken run goes on; not those that
            were made from another network or other images.
        stretch_by: see :func:`mdir.inference.outputs.pixels.to_pixels`.

    An image has the size of its input: generators that work on multiples of four pixels round
    the size up, and the surplus at the right and bottom is cut off.
    """

    def __init__(
        self,
        *,
        image_dir: str,
        dir_structure: Literal["flat", "input"] | None = None,
        append: bool = False,
        stretch_by: Stretch = "meanstd",
    ):
        self.image_dir = resolve_path(image_dir)
        self.dir_structure, self.append, self.stretch_by = dir_structure, append, stretch_by
        before, star, _ = self.image_dir.rpartition("*")
        self.record = Origins(os.path.dirname(before) if star else self.image_dir)

    def prepare(self, columns, section, made_by: str = ""):
        if len(columns) != 1:
            raise UserError(f"output rgb takes one column of names, got {len(columns)}")
        items = columns[0]
        folder = resolve_path(section["dataset"].get("image_dir") or "").partition("*")[0]
        self.names = image_names(items, self.dir_structure, folder)
        self.paths = [path_join(self.image_dir, name) for name in self.names]
        self.mean_std = section.get("mean_std")
        if self.mean_std is None and self.stretch_by not in ("none", "auto"):
            raise UserError(
                f"stretch_by {self.stretch_by!r} needs the mean_std of the data section"
            )
        sources = input_paths(items, section)
        _protect(items, self.paths, sources)
        if distributed.is_first():
            self._discard_outdated(sources, made_by)
        done = {path for path in set(self.paths) if self.append and os.path.exists(path)}
        rows = [index for index, path in enumerate(self.paths) if path not in done]
        for row in rows:
            produced(self.paths[row])
        if distributed.is_first():
            self._begin([self.paths[row] for row in rows])
        begun()
        return [[items[index] for index in rows]], rows

    def _discard_outdated(self, sources, made_by):
        """Images made otherwise go now: a run that is stopped must not go on with them."""
        self.origins = origins_of(self.paths, sources, f"{made_by} {self.stretch_by}")
        known = self.record.of(self.paths)
        outdated = {path for path, origin in known.items() if origin != self.origins[path]}
        changed, pairs = changed_files(), zip(self.paths, sources, strict=True)
        own = {path for path, read in pairs if changed.intersection(read)}
        if changed.difference(path for read in sources for path in read):
            own = set(self.paths)  # not only images: whatever they are made with
        outdated.update(filter(made_before, own))
        found = [path for path in outdated if os.path.lexists(path)]
        for path in found:
            Path(path).unlink()
        if found and self.append:
            count = f"{len(found)} of {len(set(self.paths))} images"
            print(f"{count} were made from others, or by another network: made anew", flush=True)

    def _begin(self, paths):
        """Without ``append``, what is there may be somebody else's until it is written over."""
        origins = {path: self.origins[path] if self.append else None for path in paths}
        if origins:
            self.record.keep(origins)

    def collect(self, index, image, output):
        if output is None:
            return
        if isinstance(image, (list, tuple)):
            image = image[0]
        height, width = image_size(image.shape[-2:], output.shape[-2:])
        output = output[:, :height, :width].float().cpu().numpy()
        pixels = to_pixels(output, self.mean_std, self.stretch_by)
        write_image(pixels, self.paths[index])
        if np.ptp(pixels, axis=(0, 1)).max() == 0 and _has_colours(image):
            _tell(self.paths[index])

    def per_image(self, output, count):
        while isinstance(output, (list, tuple)):
            output = output[0]
        return list(output[:count])

    def result(self):
        for path in dict.fromkeys(self.paths):
            produced(path)
        if distributed.is_first() and not self.append:
            self.record.keep({path: self.origins[path] for path in self.paths})
        return (self.names,)


def image_size(given, output) -> tuple[int, int]:
    """Height and width to keep: the input's, where the output's is that rounded up to 4n."""
    rounded = all(-(-side // 4) * 4 == found for side, found in zip(given, output, strict=True))
    return tuple(given) if rounded else tuple(output)


def _has_colours(image):
    return bool((image.amax((-2, -1)) > image.amin((-2, -1))).any())


def write_image(pixels, path: str) -> None:
    """Write ``[H, W, 3]`` or ``[H, W]`` uint8 in the format of the path's suffix.

    Raises:
        UserError: the suffix is not that of an image format.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in Image.registered_extensions():
        raise UserError(f"{path}: {suffix or 'a name without suffix'} is not a picture format")
    with atomic_write(path) as file:
        Image.fromarray(pixels).save(file, Image.registered_extensions()[suffix])


def _protect(items, paths, sources):
    """Refuse to write over an input image, or several different inputs to one file."""
    owners = {}
    for item, path, read in zip(items, paths, sources, strict=True):
        names = (item,) if isinstance(item, str) else tuple(item)
        other = owners.setdefault(path, names)
        if other != names:
            raise UserError(f"{path}: both {other} and {names} would be written there")
        if os.path.realpath(path) in map(os.path.realpath, read):
            raise UserError(f"{path}: is the input picture; choose another image_dir")
