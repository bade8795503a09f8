"""Sets of database images and queries with their ground truth, checked before anything runs."""

import os
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from cirtorch.datasets.testdataset import configdataset, require_each_once, require_unique
from cirtorch.utils.errors import DataError
from mdir.artifacts import used, used_files
from mdir.data.image_lists import read_beside
from mdir.data.table_files import initialize_file_reader
from mdir.errors import gathered
from mdir.paths import path_join, resolve_path

_LISTS = ("ok", "easy", "hard", "junk")
_SHOWN = 5


@dataclass(frozen=True)
class RetrievalSet:
    """Database and queries.

    ``images``, ``queries``: names; ``image_paths``, ``query_paths``: their files; ``boxes``: what
    of a query image is the query (x1, y1, x2, y2 in pixels, None: all of it); ``gnd``: a dict per
    query with ``ok`` and ``junk``, or ``easy``, ``hard`` and ``junk``: positions in ``images``;
    ``source``: the file that the ground truth came from.
    """

    name: str
    images: list[str]
    image_paths: list[str]
    queries: list[str]
    query_paths: list[str]
    boxes: list
    gnd: list[dict]
    source: str

    @property
    def queries_are_database(self) -> bool:
        """Whether queries and database are the same whole images, extracted once."""
        return self.image_paths == self.query_paths and not any(self.boxes)

    @property
    def own_rows(self) -> np.ndarray:
        """int64 ``[Q]``: where a query that is a whole database image stands there, or -1."""
        places = {path: place for place, path in enumerate(self.image_paths)}
        pairs = zip(self.query_paths, self.boxes, strict=True)
        return np.array([-1 if box else places.get(path, -1) for path, box in pairs])

    def cfg(self) -> dict:
        """The set in the form of :func:`cirtorch.datasets.testdataset.configdataset`."""
        return {
            "dataset": self.name,
            "imlist": self.images,
            "qimlist": self.queries,
            "gnd": self.gnd,
            "gnd_fname": self.source,
        }

    def check(self) -> "RetrievalSet":
        """Return the set if it can be evaluated.

        Raises:
            DataError: a list is empty, the ground truth names images outside the database, or
                images are missing or not images; the message lists the first of them.
        """
        if not self.images or not self.queries:
            raise DataError(
                f"{self.source}: {len(self.images)} database images and {len(self.queries)} "
                "queries; neither may be empty"
            )
        for query, truth in zip(self.queries, self.gnd, strict=True):
            for key, positions in truth.items():
                outside = [p for p in positions if not 0 <= p < len(self.images)]
                if outside:
                    raise DataError(
                        f"{self.source}: {key} of query {query!r} names image {outside[0]}, but "
                        f"the database has {len(self.images)} images"
                    )
        paths = dict.fromkeys(self.image_paths + self.query_paths)
        check_files(self.source, paths)
        used_files(paths)
        return self


def check_files(source, paths) -> None:
    """Raise a :class:`DataError` that counts images that are missing, or begin like none.

    Args:
        source: of the list, for the message.
    """
    missing = [path for path in paths if not os.path.exists(path)]
    _require_none(source, missing, len(paths), "missing")
    unreadable = []
    for path in paths:
        try:
            Image.open(path).close()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            unreadable.append(path)
    _require_none(source, unreadable, len(paths), "not readable as images")


def _require_none(source, bad, count, how):
    if bad:
        more = f", and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise DataError(
            f"{source}: {len(bad)} of {count} images are {how}: {', '.join(bad[:_SHOWN])}{more}"
        )


def load_named_set(name: str, data_root: str) -> RetrievalSet:
    """A published test set: ``<data_root>/test/<name>/gnd_<name>.pkl`` and ``jpg/``.

    Raises:
        DataError: the ground truth is absent or broken, see also :meth:`RetrievalSet.check`.
    """
    cfg = configdataset(name, os.path.join(resolve_path(data_root), "test"))
    used(cfg["gnd_fname"])
    gnd = [
        {key: [int(p) for p in truth[key]] for key in _LISTS if truth.get(key) is not None}
        for truth in cfg["gnd"]
    ]
    return RetrievalSet(
        cfg["dataset"],
        list(cfg["imlist"]),
        [cfg["im_fname"](cfg, i) for i in range(cfg["n"])],
        list(cfg["qimlist"]),
        [cfg["qim_fname"](cfg, i) for i in range(cfg["nq"])],
        [_box(truth.get("bbx")) for truth in cfg["gnd"]],
        gnd,
        cfg["gnd_fname"],
    ).check()


def load_table_set(name: str, queries: str, db: str, imgdir: str) -> RetrievalSet:
    """A test set of two tables.

    Args:
        name: shown with the score.
        queries: table with the columns ``query``, ``bbx``, ``ok`` and ``junk``; the last three are
            JSON lists, ok and junk of identifiers.
        db: table with the column ``identifier``.
        imgdir: folder pattern of all images.

    Raises:
        DataError: as above, or an identifier is not in ``db``, or stands twice in it or in the
            lists of a query.
    """
    source, folder = resolve_path(queries), resolve_path(imgdir)
    wanted = {db: ["identifier"], queries: ["query", "bbx", "ok", "junk"]}
    database, table = gathered(
        partial(read_beside, partial(_columns, table, keys), resolve_path(table), folder)
        for table, keys in wanted.items()
    )
    images = database["identifier"]
    require_unique(resolve_path(db), list(map(os.path.normpath, images)))
    positions = {identifier: position for position, identifier in enumerate(images)}
    gnd = [
        {
            key: [_position(positions, i, f"{source}: {key} of query {query!r}") for i in ids or ()]
            for key, ids in (("ok", ok), ("junk", junk))
        }
        for query, ok, junk in zip(table["query"], table["ok"], table["junk"], strict=True)
    ]
    require_each_once(source, images, table["query"], gnd)
    _tell_own_answers(source, table)
    return RetrievalSet(
        name,
        images,
        [path_join(folder, image) for image in images],
        table["query"],
        [path_join(folder, query) for query in table["query"]],
        [_box(box) for box in table["bbx"]],
        gnd,
        source,
    ).check()


def _tell_own_answers(source, table):
    """A whole image that is its own right answer is found first; a part of one may be."""
    rows = zip(table["query"], table["ok"], table["bbx"], strict=True)
    own = [query for query, ok, box in rows if query in (ok or ()) and not box]
    if own:
        print(
            f"Warning: {source}: {len(own)} of {len(table['query'])} queries stand in their own "
            f"list ok and find themselves, such as {own[0]!r}: the scores are too high",
            file=sys.stderr,
        )


def _columns(path, keys):
    with initialize_file_reader(resolve_path(path), keys=keys) as reader:
        return reader.get()


def _position(positions, identifier, where):
    if identifier not in positions:
        raise DataError(f"{where} names {identifier!r}, which is not in the database")
    return positions[identifier]


def _box(bbx):
    return None if bbx is None or len(bbx) == 0 else [float(value) for value in bbx]
