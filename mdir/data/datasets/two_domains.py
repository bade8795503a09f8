"""Two domains of images aligned one to one (leftthomas/DaCo, leftthomas/OSSCo)."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from torch.utils.data import Dataset

from cirtorch.datasets.imagefiles import list_images
from cirtorch.utils.errors import DataError
from mdir.artifacts import used
from mdir.data.datasets.pairing import pair_up
from mdir.data.image_files import open_image, open_through
from mdir.data.image_lists import check_readable, listed, subfolders
from mdir.paths import resolve_path
from mdir.registry import Check, register

SOURCES = ("original", "translation")

Layout = Literal["domain/split", "split/domain"]


def split_views(text: str) -> list[str]:
    """``"original,original,translation"`` -> its parts; raises ValueError for another word."""
    views = [part.strip() for part in text.split(",")]
    for view in views:
        if view not in SOURCES:
            raise ValueError(f"unknown view {view!r}. Allowed: {', '.join(SOURCES)}")
    return views


def check_domains(domains: list[str]) -> None:
    """ValueError unless it is two different names."""
    if len(domains) != 2 or domains[0] == domains[1]:
        raise ValueError(f"expected the names of two domains, got {domains}")


Domains = Annotated[list[str], Check(check_domains)]


class DomainFiles:
    """The images of one split of two domains, paired.

    Attributes:
        domains: the two names, A first.
        places: the folder of each, relative to ``root``.
        files: the files of each; the i-th of both show the same instance where ``paired``.

    Args:
        image_dir: folder of the domains, relative to CIRTORCH_ROOT.
        layout: ``domain/split`` (DaCo) or ``split/domain`` (OSSCo) below it.
        split: ``train`` or ``val``.
        domains: the two folder names, A first; None: the two that are there, sorted.
        paired: see :func:`mdir.data.datasets.pairing.pair_up`.

    Raises:
        DataError: folders are missing, or files without a counterpart; listing them.
    """

    def __init__(self, image_dir: str, layout: str, split: str, domains, paired: bool = True):
        self.root = Path(resolve_path(image_dir))
        parent = self.root / split if layout == "split/domain" else self.root
        found = _find_domains(parent)
        self.domains = domains or found
        if not set(self.domains) <= set(found) or len(self.domains) != 2:
            wanted = f"the folders {', '.join(domains)}" if domains else "two domains"
            raise DataError(f"{parent}: expected {wanted}, got {', '.join(found) or 'none'}; "
                            "'domains' names the two folders, A first")  # fmt: skip
        self.places = [
            Path(split, domain) if layout == "split/domain" else Path(domain, split)
            for domain in self.domains
        ]
        for place in self.places:
            used(self.root / place)
        first, second = (_images_of(self.root / place) for place in self.places)
        self.files = [first, pair_up(first, second, self.domains) if paired else second]


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
        paired: the names of both domains' files say which belong together.

    Raises:
        DataError: listing the files that are missing, unpaired or unreadable.
    """

    takes_decoded_cache = True

    def __init__(
        self,
        transform,
        inputs=(),
        *,
        image_dir: str,
        layout: Layout = "domain/split",
        split: str = "train",
        domains: Domains | None = None,
        views: Annotated[str, Check(split_views)] = "original,original",
        translation_dir: str | None = None,
        paired: bool = True,
    ):
        self.transform, self.views = transform, split_views(views)
        found = DomainFiles(image_dir, layout, split, domains, paired)
        root, self.domains, files = found.root, found.domains, found.files
        self.name = root.parent.name if root.name == "original" else root.name
        self.files = [*files[0], *files[1]]
        self.labels = [*range(len(files[0])), *range(len(files[1]))]
        self.domain_of = [0] * len(files[0]) + [1] * len(files[1])
        self.num_classes = len(files[1])
        self.translations = None
        if "translation" in self.views:
            if translation_dir is None:
                raise DataError("views ask for translations, but translation_dir is not given")
            folder = Path(resolve_path(translation_dir))
            self.translations = _translations(folder, found.places, files)
        check_readable([*self.files, *(self.translations or [])])

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        sources = {"original": self.files[index]}
        if self.translations is not None:
            sources["translation"] = self.translations[index]
        # Each file is decoded once, however many views are made of it.
        images = {kind: self._open(sources[kind]) for kind in set(self.views)}
        views = [self.transform(images[kind].copy()) for kind in self.views]
        return views, self.about(index)

    def view(self, index: int):
        """One view of an original."""
        return self.transform(self._open(self.files[index]))

    def _open(self, file):
        return open_through(self.transform, open_image, str(file))

    @property
    def identities(self) -> list[int]:
        """The instance that each item shows, for samplers."""
        return self.labels

    @property
    def cameras(self) -> list[int]:
        """The domain of each item, for samplers."""
        return self.domain_of

    def about(self, index: int) -> dict[str, int]:
        """Index, label and domain of an image."""
        return {"index": index, "label": self.labels[index], "domain": self.domain_of[index]}


def _find_domains(folder):
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return [path.name for path in subfolders(folder)]


def _images_of(folder):
    """Image files of a folder, one a stem: by their stems images find their translations."""
    files = [folder / name for name in list_images(folder)]
    twice = [stem for stem, count in Counter(path.stem for path in files).items() if count > 1]
    if twice:
        raise DataError(f"{folder}: several files of one name:{listed(twice)}")
    return files


def _translations(folder, places, files):
    found, missing = [], []
    for place, originals in zip(places, files, strict=True):
        used(folder / place)
        by_stem = {path.stem: path for path in _images_of(folder / place)}
        for original in originals:
            path = by_stem.get(original.stem)
            found.append(path)
            if path is None:
                missing.append(str(folder / place / original.stem))
    if missing:
        raise DataError(f"{len(missing)} translations are missing:{listed(missing)}")
    return found
