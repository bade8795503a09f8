"""Training and test data in the published layout (published project: cnnimageretrieval-pytorch)."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cirtorch.downloads.archive import unpack
from cirtorch.downloads.fetch import fault, fetch
from cirtorch.downloads.image_folders import folder_fault
from cirtorch.downloads.known_files import KnownFolder, known_files, known_folders, known_links
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import replace_link


def download_train(data_dir: str | os.PathLike) -> None:
    """Images and databases of retrieval-SfM into ``data_dir/train``; what is there stays.

    Where a training set is there with its images, what else cannot be had is a warning.

    Raises:
        DataError: for everything that could not be had, with what to do about it.
    """
    try:
        download_parts(data_dir, "train")
    except DataError as error:
        complete = _complete_training_sets(Path(data_dir).absolute())
        if not complete:
            raise
        print(
            f"Warning: {error}\nGoing on with what is there: {', '.join(complete)}",
            file=sys.stderr,
            flush=True,
        )


def _complete_training_sets(data_dir):
    """Names of the databases in ``train/NAME`` whose images are all in ``train/NAME/ims``."""
    found = []
    for database in sorted(data_dir.glob("train/*/*.pkl")):
        folder = database.parent
        named = (str(database.relative_to(data_dir)),)
        images = KnownFolder((), f"train/{folder.name}/ims", "", "", named_in=named)
        if database.name.startswith(folder.name) and folder_fault(images, data_dir) is None:
            found.append(database.name)
    return found


def download_test(data_dir: str | os.PathLike) -> None:
    """Oxford, Paris (classic and revisited) and Tokyo 24/7 into ``data_dir/test``.

    The Oxford and Paris images were withdrawn by their source: where they cannot be had, a
    warning says what to put where.

    Raises:
        DataError: for everything else that could not be had.
    """
    download_parts(data_dir, "test")


def download_parts(data_dir: str | os.PathLike, *parts: str) -> None:
    """Fetch everything that the registry has under the given parts, several files at a time.

    One failure does not keep the others from being fetched.

    Raises:
        DataError: listing all failures.
    """
    data_dir = Path(data_dir).absolute()
    failures = []
    for part in parts:
        failures += _each(known_files(part), lambda known: _get_file(known, data_dir))
        failures += _each(known_folders(part), lambda known: _get_folder(known, data_dir))
        for known in known_links(part):
            _make_link(data_dir / known.link, data_dir / known.to)
    if failures:
        raise DataError("\n".join(failures))


def _each(items, action) -> list[str]:
    """Messages of the actions that failed."""

    def attempt(item):
        try:
            return action(item)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        return [message for message in pool.map(attempt, items) if message]


def _get_file(known, data_dir):
    fetch(known.url, data_dir / known.to, known.sha256, known.size)


def _get_folder(known, data_dir):
    folder = data_dir / known.to
    if folder_fault(known, data_dir) is None:
        return
    cause = ""
    try:
        _unpack_from_source(known.archives, folder, known.flat)
    except DataError as error:
        cause = f"\n  Cause: {error}"
    found = folder_fault(known, data_dir)
    if found is None:
        return
    message = f"{folder} {found}.{cause}\n  What to do: {known.by_hand}"
    if not known.gone:
        raise DataError(message)
    print(f"Warning: {message}", file=sys.stderr, flush=True)


def _unpack_from_source(urls, folder, flat):
    """Archives land beside the folder, where a person may have put them as well."""
    archives, fetched = [], []
    for url in urls:
        archive = folder.parent / url.rsplit("/", 1)[-1]
        if fault(archive) is not None:
            fetched.append(fetch(url, archive))
        archives.append(archive)
    try:
        unpack(archives, folder, flat)
    except DataError:
        for archive in fetched:
            archive.unlink()
        raise
    for archive in archives:
        archive.unlink()


def _make_link(link: Path, target: Path):
    """A relative link, so that the root may move; what a user has in its place stays."""
    if link.is_dir() and not link.is_symlink() and not any(link.iterdir()):
        link.rmdir()
    if not link.exists():
        replace_link(os.path.relpath(target, link.parent), link)
