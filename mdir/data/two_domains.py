"""Two domains of images aligned one to one (leftthomas/DaCo, leftthomas/OSSCo)."""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image
from torch.utils.data import Dataset

from cirtorch.utils.errors import DataError
from mdir.data.image_files import open_image
from mdir.paths import resolve_path
from mdir.registry import Check, register

EXTENSIONS = (".png", ".jpg", ".jpeg")
SOURCES = ("original", "translation")
_SHOWN = 5


def split_views(text: str) -> list[str]:
    """``"original,original,translation"`` -> its parts; raises ValueError for another word."""
    views = [part.strip() for part in text.split(",")]
    for view in views:
        if view not in SOURCES:
            raise ValueError(f"unknown view {view!r}. Allowed: {', '.join(SOURCES)}")
    return views


def images_of(folder: Path) -> list[Path]:
    """Image files of a folder, sorted.

    Raises:
        DataError: no folder, no image in it, or two files of one stem.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not files:
        raise DataError(f"{folder}: no image in it ({', '.join(EXTENSIONS)})")
    twice = [stem for stem, count in Counter(path.stem for path in files).items() if count > 1]
    if twice:
        raise DataError(f"{folder}: several files of one name: {_some(twice)}")
    return files


@register("dataset", "TwoDomains")
class TwoDomains(Dataset):
    """All images of domain A, then all of domain B; the i-th of both show the same instance.

    An item is ``(views, about)``: a list of independently drawn views (what ``transform`` makes of
    the opened image), and a dict of ``index`` (in the dataset), ``label`` (position in its
    domain) and ``domain`` (0 or 1). Only the views asked for are read and made.

    Args:
        transform: pipeline over one PIL image.
        image_dir: the folder of the originals, relative to the root.
        layout: ``domain/split`` (DaCo) or ``split/domain`` (OSSCo) below it.
        split: ``train`` or ``val``.
        domains: the two folder names, A first; null: the two that are there, sorted.
        views: comma-separated, each ``original`` or ``translation``.
        translation_dir: the folder of translated images, laid out as ``image_dir``: for each
            original the file of the same domain folder, split and stem.
        paired: domains have equally many files and, where names hold numbers, the same ones.

    Raises:
        DataError: listing the files that are missing, unpaired or unreadable.
    """

    def __init__(
        self,
        transform,
        inputs=(),
        *,
        image_dir: str,
        layout: Literal["domain/split", "split/domain"] = "domain/split",
        split: str = "train",
        domains: list[str] | None = None,
        views: Annotated[str, Check(split_views)] = "original,original",
        translation_dir: str | None = None,
        paired: bool = True,
    ):
        self.transform, self.views = transform, split_views(views)
        root = Path(resolve_path(image_dir))
        self.name = root.parent.name if root.name == "original" else root.name
        self.domains = domains or _find_domains(root / split if layout == "split/domain" else root)
        if len(self.domains) != 2:
            raise DataError(
                f"{root}: expected two domains, got {', '.join(self.domains) or 'none'}"
            )
        places = [
            Path(split, domain) if layout == "split/domain" else Path(domain, split)
            for domain in self.domains
        ]
        files = [images_of(root / place) for place in places]
        if paired:
            check_pairs(*files)
        self.files = [*files[0], *files[1]]
        self.labels = [*range(len(files[0])), *range(len(files[1]))]
        self.domain_of = [0] * len(files[0]) + [1] * len(files[1])
        self.num_classes = len(files[1])
        self.translations = None
        if "translation" in self.views:
            if translation_dir is None:
                raise DataError("views ask for translations, but translation_dir is not given")
            folder = Path(resolve_path(translation_dir))
            self.translations = _translations(folder, places, files)
        check_readable([*self.files, *(self.translations or [])])

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        sources = {"original": self.files[index]}
        if self.translations is not None:
            sources["translation"] = self.translations[index]
        # Each file is decoded once, however many views are made of it.
        images = {kind: open_image(str(sources[kind])) for kind in set(self.views)}
        views = [self.transform(images[kind].copy()) for kind in self.views]
        return views, self.about(index)

    def view(self, index: int):
        """One view of an original."""
        return self.transform(open_image(str(self.files[index])))

    def about(self, index: int) -> dict[str, int]:
        """Index, label and domain of an image."""
        return {"index": index, "label": self.labels[index], "domain": self.domain_of[index]}


def check_pairs(first: list[Path], second: list[Path]) -> None:
    """Raise a :class:`DataError` unless the i-th files of both domains can be one instance.

    Names are compared by the numbers in them (``day_00017`` and ``night_00017``); a name of one
    domain may end in further numbers (``..._foggy_beta_0.02``).
    """
    if len(first) != len(second):
        missing = _unmatched(first, second)
        raise DataError(
            f"unequal domains: {first[0].parent} has {len(first)} images, {second[0].parent} "
            f"{len(second)}; without a counterpart: {_some(missing)}"
        )
    for a, b in zip(first, second, strict=True):
        numbers = [re.findall(r"\d+", path.stem) for path in (a, b)]
        shorter = min(map(len, numbers))
        if shorter and numbers[0][:shorter] != numbers[1][:shorter]:
            raise DataError(
                f"unpaired images: {a} stands beside {b}; without a counterpart: "
                f"{_some(_unmatched(first, second) or [str(a), str(b)])}"
            )


def check_readable(files: list[Path]) -> None:
    """Raise a :class:`DataError` that lists the files PIL cannot identify."""
    bad = []
    for path in files:
        try:
            with Image.open(path) as image:
                image.verify()
        except (OSError, SyntaxError, ValueError) as error:
            bad.append(f"{path} ({error})")
    if bad:
        raise DataError(f"{len(bad)} unreadable images: {_some(bad)}")


def _find_domains(folder):
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _translations(folder, places, files):
    found, missing = [], []
    for place, originals in zip(places, files, strict=True):
        by_stem = {path.stem: path for path in images_of(folder / place)}
        for original in originals:
            path = by_stem.get(original.stem)
            found.append(path)
            if path is None:
                missing.append(str(folder / place / original.stem))
    if missing:
        raise DataError(f"{len(missing)} translations are missing: {_some(missing)}")
    return found


def _unmatched(first, second):
    def keys(files):
        return {tuple(re.findall(r"\d+", path.stem)): str(path) for path in files}

    a, b = keys(first), keys(second)
    return [*(a[key] for key in a if key not in b), *(b[key] for key in b if key not in a)]


def _some(names):
    rest = len(names) - _SHOWN
    return ", ".join(map(str, names[:_SHOWN])) + (f" and {rest} more" if rest > 0 else "")
