"""Step: the images of one extraction looked up among those of another."""

import os
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from cirtorch.search.catalogue import FILE
from cirtorch.search.exact import NotFinite
from cirtorch.search.index import open_index
from cirtorch.search.payload import parse_filter
from cirtorch.search.shards import Shards, row_blocks
from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.artifacts import used, write_bytes
from mdir.errors import UserError
from mdir.learning.compute import default_device
from mdir.learning.score_results import write_rankings
from mdir.paths import path_join, resolve_path
from mdir.registry import Problem
from mdir.registry.ranges import at_least
from mdir.report.run_files import pair_list, run_file
from mdir.report.tables import Table
from mdir.scores.reranking import Found, Reranking, RerankSection, check_rerank
from mdir.scores.result import ScoreResult
from mdir.stages.extract import extracted
from mdir.stages.step import step

_QUERIES_AT_ONCE = 1024


def _check(params):
    yield from check_rerank(params)
    where = params.get("where")
    if where is not None and not registry.holds_unresolved(where):
        try:
            parse_filter(where)
        except DataError as error:
            yield Problem(("where",), str(error))


@step(check=_check)
def search(
    _inputs,
    *,
    database: str,
    queries: str,
    directory: str,
    count: Annotated[int, at_least(1)] = 10,
    engine: Literal["exact", "faiss"] = "exact",
    rerank: RerankSection | None = None,
    where: dict | None = None,
):
    """Find the images of a database whose descriptors are most alike those of each query.

    ``directory`` receives ``rankings.json``, which the step ``report`` shows under ``galleries``,
    and ``found.csv``: the columns ``query``, ``place`` (from 1), ``image`` and ``score`` (inner
    product). Of equal scores the image that comes first in the database is found first; an image
    that is both query and in the database finds itself, and does not count as its own neighbour in
    a re-ranking. Re-ranked, both files name it (a column ``re-ranking``); scores are then those of
    the expanded descriptors, and those of reordered images do not fall. Database augmentation
    holds all descriptors of the database in memory, nothing else does. For others' tools,
    ``run.txt`` is the same as a TREC run, whose scores are made to fall, and ``pairs.txt`` has
    ``query image`` a line for structure from motion, with names below ``pairs_dir`` of the
    metadata.

    Args:
        database, queries: folders that the step ``extract`` filled, by the same network with the
            same wrappers, or as ``database`` one of the step ``index``; relative to CIRTORCH_ROOT.
        directory: of these files; relative to CIRTORCH_ROOT.
        count: images found for each query.
        engine: ``exact`` (CPU, GPU) or ``faiss`` (CPU). Both find the same: FAISS proposes, and
            what it proposes is scored again exactly. An index has its own.
        rerank: re-rankings by name; null: none. Not in an index.
        where: filter by what an index knows of its images, such as ``{condition: {not: night}}``,
            ``{place: [a, b]}`` or ``{date: {from: 2015-06-01, to: 2015-06-30}}``.

    Returns:
        Metadata: ``rankings``, ``table``, ``run`` and ``pairs`` (paths), ``pairs_dir`` (the folder
        that names in ``pairs`` are relative to), ``queries``, ``images`` (of the database) and
        ``dimensions``.
    """
    folders = {"row": resolve_path(database), "query": resolve_path(queries)}
    reranking = Reranking(rerank or {})
    if os.path.exists(os.path.join(folders["row"], FILE)):
        if rerank or engine != "exact":
            raise UserError(
                f"search: {folders['row']} is an index, which has an engine of its own; re-ranking "
                "takes a folder of the step extract"
            )
        size, images, asked, found = _search_index(folders, count, where)
    elif where is not None:
        raise UserError(f"search: where needs an index; {folders['row']} holds no {FILE}")
    else:
        images, asked, found = _search(folders, count, engine, reranking)
        size = len(images.names)
    folder = Path(resolve_path(directory))
    rankings, table = folder / "rankings.json", folder / "found.csv"
    run, pairs = folder / "run.txt", folder / "pairs.txt"
    write_rankings(rankings, _result(images, asked, found.indices, reranking, folders))
    shared, paths = _below_one_folder(asked, images)
    texts = {
        table: _table(images, asked, found, reranking),
        run: run_file(asked.names, images.names, found.indices, found.scores),
        pairs: pair_list(*paths, found.indices),
    }
    for path, text in texts.items():
        write_bytes(path, text.encode("utf-8", "surrogateescape"))
    return {
        "rankings": str(rankings),
        "table": str(table),
        "run": str(run),
        "pairs": str(pairs),
        "pairs_dir": shared,
        "queries": len(asked.names),
        "images": size,
        "dimensions": asked.rows.shape[1],
    }


def _search(folders, count, engine, reranking):
    """The images of the shards, the queries, and what these find."""
    images, asked = (_open(folder) for folder in folders.values())
    _check_comparable(images, asked, folders)
    _check_count(count, len(images.names), folders["row"])
    try:
        found = reranking.search(
            asked.rows, images.rows, count, _own_rows(images, asked), engine, default_device()
        )
    except NotFinite as error:
        names = {"row": images.names, "query": asked.names}[error.what]
        raise _without_numbers(names[error.number], folders[error.what]) from error
    return images, asked, found


def _search_index(folders, count, where):
    """The number of images of an index, those that were found, the queries, and what they find."""
    folder = folders["row"]
    used(folder)
    asked = _open(folders["query"])
    with closing(open_index(folder, default_device())) as index:
        return _found_in(index, asked, folders, count, where)


def _found_in(index, asked, folders, count, where):
    folder = folders["row"]
    index.require(asked.network, asked.preprocessing, asked.rows.shape[1])
    index.require_images()
    _check_count(count, len(index), folder)
    parts = []
    for start, block in row_blocks(asked.rows, _QUERIES_AT_ONCE):
        try:
            parts.append(index.search(block.numpy(), count, where))
        except NotFinite as error:
            name = asked.names[start + error.number]
            raise _without_numbers(name, folders["query"]) from error
    ids, scores = map(np.concatenate, zip(*parts, strict=True))
    if not ids.shape[1]:
        raise UserError(f"search: none of the {len(index)} images of {folder} meets {where}")
    if ids.shape[1] < count:
        print(
            f"Warning: search: {ids.shape[1]} images of {folder} meet the filter, fewer than the "
            f"count of {count}",
            file=sys.stderr,
        )
    shown, places = np.unique(ids, return_inverse=True)
    names = [told["path"] for told in index.payload(shown)]
    upright = index.about.preprocessing.get("upright") is True
    images = Shards(None, names, os.sep, asked.network, upright)
    return len(index), images, asked, Found(scores, places.reshape(ids.shape), None, None)


def _check_count(count, images, folder):
    if count > images:
        raise UserError(
            f"search: count {count} is larger than the database of {images} images in {folder}"
        )


def _without_numbers(name, folder):
    return UserError(
        f"search: the descriptor of {name} in {folder} holds NaN or infinity: the network gives no "
        "numbers for it"
    )


def _open(folder) -> Shards:
    shards = extracted(folder, "search")
    name, times = Counter(shards.names).most_common(1)[0]
    if times > 1:
        raise UserError(
            f"search: {folder} holds {times} descriptors named {name!r}; its list of images must "
            "name each image once"
        )
    return shards


def _check_comparable(images, asked, folders):
    if images.network != asked.network:
        raise UserError(
            f"search: the descriptors in {folders['row']} ({images.rows.shape[1]} dimensions) and "
            f"in {folders['query']} ({asked.rows.shape[1]} dimensions) are of different networks "
            "or of one with different wrappers; extract both with the same network section"
        )


def _own_rows(images, asked):
    """Where each query stands in the database, -1: nowhere."""
    places = {path_join(images.images, name): place for place, name in enumerate(images.names)}
    return np.array([places.get(path_join(asked.images, name), -1) for name in asked.names])


def _result(images, asked, found, reranking, folders):
    shown, queries = _Shown(images), _Shown(asked)
    protocol = {
        "images": len(images.names),
        "similarity": "inner product of descriptors, ties to the lower index",
        "cost": f"not measured, descriptors were read from {folders['row']}",
    }
    if reranking.parts:
        protocol["re-ranking"] = str(reranking)
    return ScoreResult(
        rankings=[
            {
                **queries[query],
                "box": None,
                "ap": None,
                "found": [{**shown[image], "right": None} for image in row],
            }
            for query, row in enumerate(found.tolist())
        ],
        protocol=protocol,
    )


class _Shown:
    """Name and path of an image by number; absolute names lose the folder that all share."""

    def __init__(self, shards):
        self.shards, self.shared = shards, ""
        if all(map(os.path.isabs, shards.names)):
            self.shared = os.path.join(os.path.commonpath(map(os.path.dirname, shards.names)), "")

    def __getitem__(self, number):
        name = self.shards.names[number]
        path = path_join(self.shards.images, name)
        named = {"name": name.removeprefix(self.shared), "path": path}
        return named | ({"upright": True} if self.shards.upright else {})


def _below_one_folder(*parts):
    """The deepest folder that holds all images, and their names below it for each of the shards."""
    paths = [
        [os.path.abspath(path_join(part.images, name)) for name in part.names] for part in parts
    ]
    shared = os.path.commonpath([os.path.dirname(path) for part in paths for path in part])
    return shared, [[os.path.relpath(path, shared) for path in part] for part in paths]


def _table(images, asked, found, reranking):
    heads, told = ["query", "place", "image", "score"], []
    if reranking.parts:
        heads, told = [*heads, "re-ranking"], [str(reranking)]
    rows = [
        [asked.names[query], str(place), images.names[image], str(score), *told]
        for query, row in enumerate(found.indices.tolist())
        for place, (image, score) in enumerate(zip(row, found.scores[query], strict=True), 1)
    ]
    return Table(heads, rows).as_csv()
