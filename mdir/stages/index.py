"""Step: an index over the descriptors of extractions, to be searched again and again."""

import json
import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cirtorch.datasets.imagefiles import images_of
from cirtorch.search.catalogue import FILE
from cirtorch.search.index import kind_of, open_index
from cirtorch.search.quantize import quantize
from cirtorch.utils.errors import DataError
from cirtorch.utils.fingerprints import differences
from mdir import registry
from mdir.artifacts import begun, made_before, produced, used
from mdir.data.image_lists import listed
from mdir.errors import UserError
from mdir.paths import path_join, resolve_path
from mdir.photos.payload import exif_payload, read_table
from mdir.registry import Problem
from mdir.registry.ranges import between
from mdir.stages.extract import extracted
from mdir.stages.step import step


def _check(params):
    url, engine = params.get("url"), params.get("engine", "exact")
    if url is None or registry.holds_unresolved([url, engine]):
        return
    if engine != "qdrant":
        yield Problem(("url",), f"is for the engine qdrant, the engine is {engine}")
    found = urlsplit(str(url))
    if found.scheme not in ("http", "https") or not found.hostname:
        yield Problem(("url",), f"expected http://HOST:PORT or https://HOST, got {url!r}")
    if found.username or found.password:
        yield Problem(("url",), "must not hold a key; QDRANT_API_KEY of the environment does")


@step(check=_check)
def index(
    _inputs,
    *,
    database: str | list[str],
    directory: str,
    engine: Literal["exact", "ivfpq", "qdrant"] = "exact",
    url: str | None = None,
    recall: Annotated[float, between(0, 1)] = 0.99,
    code_bytes: Annotated[int, between(1, 256)] = 64,
    payload: str | None = None,
    exif: bool = True,
    without: str | None = None,
):
    """Make an index of extracted descriptors, or bring one up to date.

    What is there already stays: another folder in ``database`` adds its images, and a build that
    was stopped goes on. Descriptors stay in the shards of the step ``extract``.
    :func:`cirtorch.search.index.open_index` opens the index in Python.

    Args:
        database: a folder that the step ``extract`` filled, or several, all by the same network;
            relative to CIRTORCH_ROOT.
        directory: folder of the index; relative to CIRTORCH_ROOT.
        engine: ``exact`` compares each query with all images; ``ivfpq`` with candidates that FAISS
            finds in inverted lists of quantised descriptors, for millions of images; ``qdrant``
            leaves images and search to a Qdrant server.
        url: of the server, for ``qdrant``, its API key in ``QDRANT_API_KEY`` of the environment;
            null: the images lie in ``directory`` and are searched in this process, for tries.
        recall: of ``ivfpq``: how many of the ten best by ``exact`` are to be found, on a sample
            that it has not seen; as much as that needs is looked at.
        code_bytes: of ``ivfpq``: bytes an image in its lists.
        payload: a CSV file with a column ``path`` and any of ``condition``, ``place`` (or
            ``landmark``), ``date``, ``latitude`` and ``longitude``, which searches can filter by.
        exif: date and GPS of images are read from their EXIF where the table does not tell them.
        without: list of images (a path a line) or folder of images to take out, for good.

    Returns:
        Metadata: ``index`` (the folder), ``engine``, ``images``, ``dimensions``, ``added`` and
        ``removed`` (numbers, by this run), ``missing``, the number of images whose files are gone,
        and ``details`` of the engine, the recall that was reached among them; ``warning`` where it
        is less than ``recall``.
    """
    folders = [database] if isinstance(database, str) else database
    sources = {
        folder: extracted(folder, "index") for folder in dict.fromkeys(map(resolve_path, folders))
    }
    if not sources:
        raise UserError("index: database names no folder; give one that the step extract filled")
    place, told = Path(resolve_path(directory)), _Payloads(payload, exif)
    options = _options(sources) | {"engine": engine, "url": url}
    with closing(_begin(place, sources, options)) as found:
        added = _add(found, sources, told)
        removed = _remove(found, without)
        told.report()
        missing = _missing(found)
        if engine == "ivfpq":
            quantize(found, recall, code_bytes, tell=partial(print, flush=True))
        found.finish()
        about = found.about
    produced(place)
    warning = {"warning": about.details["warning"]} if "warning" in about.details else {}
    return warning | {
        "index": str(place),
        "engine": engine,
        "images": about.images,
        "dimensions": about.dimensions,
        "added": added,
        "removed": removed,
        "missing": missing,
        "details": about.details,
    }


def _begin(place, sources, options):
    """The index of the folder, or a new one where this step made what is there of other input."""
    own, found = made_before(place), None
    if (place / FILE).exists():
        found = open_index(place, finished=False)
        if outdated := _outdated(found, sources, options):
            if not own or found.added():
                found.close()
                raise UserError(
                    f"{outdated}. Remove {place} to make the index anew, or choose another "
                    "directory"
                )
            print(f"index: made anew: {outdated}", flush=True)
            found.drop()
            found = None
    begun(place)
    return kind_of(options["engine"]).create(place, **options) if found is None else found


def _options(sources):
    folder, first = next(iter(sources.items()))
    options = {
        "network": first.network,
        "preprocessing": first.preprocessing,
        "dimensions": first.rows.shape[1],
    }
    for other, shards in sources.items():
        if (shards.network, shards.rows.shape[1]) != (first.network, first.rows.shape[1]):
            raise UserError(
                f"index: the descriptors in {folder} and in {other} are of different networks or "
                "of one with different wrappers; extract both with the same network section"
            )
        if shards.preprocessing != first.preprocessing:
            raise UserError(
                f"index: the images of {folder} and of {other} were read in different ways "
                f"({first.preprocessing} and {shards.preprocessing})"
            )
    return options


def _outdated(found, sources, options):
    """Why an index cannot be brought up to date; None where it can."""
    added = found.added()
    more = f"; it holds {added} images that were added to it besides" if added else ""
    try:
        found.require(*(options[key] for key in ("network", "preprocessing", "dimensions")))
    except DataError as error:
        return f"{error}{more}"
    for key in ("engine", "url"):
        if (there := found.catalogue.get(key)) != options[key]:
            return f"{found.folder}: this index has the {key} {there}, not {options[key]}{more}"
    for part in found.catalogue.parts():
        if part.fingerprint is None:
            continue
        if part.source not in sources:
            return f"{found.folder}: this index holds the images of {part.source}{more}"
        if changes := differences(found.path_of(part), json.loads(part.fingerprint)):
            return (
                f"{found.folder}: the descriptors that this index was made of changed "
                f"({changes[0]}){more}"
            )
    return None


def _add(found, sources, told):
    """Add the shards that the index lacks; the number of their images."""
    known, added = {found.path_of(part) for part in found.catalogue.parts()}, 0
    for source, shards in sources.items():
        ends = [0, *shards.rows.ends.tolist()]
        for array, start, end in zip(shards.rows.arrays, ends[:-1], ends[1:], strict=True):
            path = os.path.abspath(array.filename)
            if path in known:
                continue
            names = [path_join(shards.images or source, name) for name in shards.names[start:end]]
            found.add_file(path, source, told.of(map(os.path.abspath, names)))
            added += len(names)
    return added


def _missing(found):
    """Tell of images whose files are gone; how many."""
    missing = [path for _, path in found.paths() if not os.path.exists(path)]
    if missing:
        print(
            f"Warning: index: {len(missing)} of {len(found)} images are not where they were when "
            f"they were described; they are found, but cannot be shown:{listed(missing)}",
            file=sys.stderr,
        )
    return len(missing)


def _remove(found, without):
    if without is None:
        return 0
    source = resolve_path(without)
    used(source)
    folder, names = images_of(source)
    ids = [found.find(os.path.abspath(os.path.join(folder, name))) for name in names]
    return found.remove(number for number in ids if number is not None)


class _Payloads:
    """Payloads of images by a table and EXIF. ``untold``: how many the table does not name."""

    def __init__(self, table, exif):
        self.path = None if table is None else Path(resolve_path(table))
        if self.path is not None:
            used(self.path)
        self.table = {} if self.path is None else read_table(self.path)
        self.exif, self.count, self.untold = exif, 0, 0

    def of(self, paths):
        return [self._one(path) for path in paths]

    def _one(self, path):
        told = self.table.get(path, {})
        self.count += 1
        self.untold += not told
        found = exif_payload(path) if self.exif else {}
        return (
            found
            | {key: value for key, value in told.items() if value is not None}
            | {"path": path}
        )

    def report(self):
        if self.path is not None and self.untold:
            print(
                f"Warning: index: {self.untold} of {self.count} images have no row in {self.path}; "
                "filters by its columns do not find them",
                file=sys.stderr,
            )
