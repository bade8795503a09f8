"""Step: the images most alike one, out of a stored database of features."""

import difflib
import io
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image, ImageDraw

from cirtorch.datasets.datahelpers import pil_loader
from cirtorch.utils.errors import suggest
from cirtorch.utils.finite import require_finite
from mdir.artifacts import used_files, write_bytes
from mdir.data.datasets.fine_grained_layouts import base_name
from mdir.data.transforms.parse import parse_transforms
from mdir.errors import UserError
from mdir.inference.descriptors import extract_descriptors
from mdir.learning.compute import default_device
from mdir.networks.factory import load_network
from mdir.paths import resolve_path
from mdir.registry import Section
from mdir.registry.ranges import at_least
from mdir.report.galleries import LEGEND, gallery
from mdir.report.page import write_page
from mdir.report.pictures import PictureFolder
from mdir.report.tables import Table
from mdir.stages.fine_grained.data_base import (
    DataBase,
    local_place,
    local_places,
    read_data_base,
)
from mdir.stages.step import step

SIDE, BORDER = 224, 8  # pixels
_SAME = 0.999  # cosine of an image's features on two machines; what is seen otherwise has less
_COLOURS = {True: "green", False: "red", None: "grey"}
_QUERY, _FOUND = "query_img.jpg", re.compile(r"retrieval_img_\d+_-?\d+\.\d{4}\.jpg")


@step
def retrieve(
    _inputs,
    *,
    query_img_name: str,
    data_base: str,
    retrieval_num: Annotated[int, at_least(1)] = 8,
    directory: str = "results",
    data_path: str = "data",
    network: Annotated[dict, Section("network")] | None = None,
):
    """Show the images of a database that are most alike a query, as pictures and as a page.

    ``directory`` receives a folder named like the query (up to the first dot of its name) with
    ``query_img.jpg`` and ``retrieval_img_RANK_SIMILARITY.jpg``, 224 x 224 pixels, with a green
    border where the class is the query's, a red one where it is not, and a grey one where the
    query's is unknown; beside the folder lies a page of the same (``QUERY.html``, ``files``). Of
    an earlier run's, pictures of these names are replaced; no other file is touched.

    Args:
        query_img_name: an image of the database, by the name that it has there or by its place on
            disk, relative to CIRTORCH_ROOT; with ``network``, any image.
        data_base: ``NAME_data_base.pth`` as a training of UnifiedProxy or the score
            ``class_recall`` writes it, in ``directory`` or relative to CIRTORCH_ROOT.
        retrieval_num: how many are shown.
        directory: of the pictures; relative to CIRTORCH_ROOT.
        data_path: folder that holds the folders of the sets (``car``, ``cub``), which names in the
            database begin with; absolute names of another machine are looked for there by their
            ends.
        network: gives the features of a query that is not in the database; a warning, here and on
            the page, says where it gives other ones of a stored image than the database has.

    Returns:
        Metadata: ``folder``, ``page`` (paths), ``query``, ``in_data_base``, and ``found``, a list
        of ``image``, ``similarity``, ``label`` and ``right`` (true, false, or null).
    """
    base = _read(data_base, directory)
    query = _query(query_img_name, base, data_path, network)
    found = [*_nearest(base, query, retrieval_num)]
    places = local_places([one["image"] for one in found], data_path)
    used_files([query.path, *places])
    folder = Path(resolve_path(directory), query.path.name.split(".")[0] or query.path.name)
    pictures = {_QUERY: _picture(query.path, base.upright or query.place is None)}
    for rank, (one, place) in enumerate(zip(found, places, strict=True), 1):
        name = f"retrieval_img_{rank}_{one['similarity']:.4f}.jpg"
        pictures[name] = _picture(place, base.upright, _COLOURS[one["right"]])
    for name, content in pictures.items():
        write_bytes(folder / name, content)
    _remove_others(folder, pictures)
    page = _write_page(folder, query, found, places, base.upright)
    rows = [
        [str(rank), f"{one['similarity']:.4f}", str(one["label"]), one["image"]]
        for rank, one in enumerate(found, 1)
    ]
    print(Table(["rank", "similarity", "class", "image"], rows).as_text(), flush=True)
    return {
        "folder": str(folder),
        "page": str(page),
        "query": str(query.path),
        "in_data_base": query.place is not None,
        "found": found,
    }


@dataclass
class Query:
    """An image, its features ``[D]``, and its place in the database if it has one.

    Attributes:
        doubt: why similarities to it may mislead; empty: they do not.
    """

    path: Path
    features: torch.Tensor
    place: int | None
    doubt: str = ""


def _read(data_base, directory) -> DataBase:
    path = os.path.join(resolve_path(directory), data_base)
    if not os.path.exists(path) and os.path.exists(resolve_path(data_base)):
        path = resolve_path(data_base)
    if not os.path.exists(path):
        near = suggest(data_base, _data_bases(resolve_path(directory)))
        raise UserError(f"retrieve: there is no database {path}.{near}")
    return read_data_base(path)


def _data_bases(folder):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [name for name in names if name.endswith("_data_base.pth")]


def _query(name, base, data_path, network) -> Query:
    place = _place_in(base, name, data_path)
    if place is not None:
        (path,) = local_places([base.images[place]], data_path)
        return Query(path, base.test.features[place], place)
    path = Path(resolve_path(name))
    if network is None:
        raise UserError(
            f"retrieve: {name} is not among the {len(base.images)} images of {base.path}; the "
            f"nearest names there are {', '.join(_near(name, base.images))}. Any other image needs "
            "the network that made the database: network"
        )
    images = [pil_loader(path, upright=True)]
    known = _first_there(base, data_path)
    if known is not None:
        images.append(pil_loader(known[1], upright=base.upright))
    features = _extract(images, network, path)
    if features.shape[1] != base.test.features.shape[1]:
        raise UserError(
            f"retrieve: the network gives {features.shape[1]} features, the database {base.path} "
            f"holds {base.test.features.shape[1]} of each image: it is of another network"
        )
    query = Query(path, features[0], None)
    if known is not None:
        query.doubt = _doubt(base, known[0], features[1])
    return query


def _first_there(base, data_path):
    """Position and file of the first image of a database whose file is there; None without one."""
    places = ((at, local_place(name, data_path)) for at, name in enumerate(base.images))
    return next(((at, place) for at, place in places if place is not None), None)


def _doubt(base, at, features):
    cosine = float(torch.cosine_similarity(features, base.test.features[at], dim=0))
    if cosine >= _SAME:
        return ""
    text = (
        f"The network sees {base.images[at]} otherwise than {base.path} has it: the cosine of both "
        f"features is {cosine:.4f} instead of 1. It is another network, or images were cropped or "
        "sized otherwise for the database; the similarities below may mislead."
    )
    print(f"Warning: retrieve: {text}", file=sys.stderr)
    return text


def _near(name, images):
    whole = difflib.get_close_matches(name, images)
    ends = {base_name(image): image for image in images}
    return whole or [
        ends[end] for end in difflib.get_close_matches(base_name(name), ends, cutoff=0)
    ]


def _place_in(base, name, data_path):
    """Position of the image of that name, or of that file; None without one."""
    if name in base.images:
        return base.images.index(name)
    given = local_place(name, data_path)
    for place, stored in enumerate(base.images):
        if given and base_name(stored) == given.name:
            local = local_place(stored, data_path)
            if local and local.samefile(given):
                return place
    return None


def _extract(images, network, path):
    """Unit rows of the features of images."""
    net = load_network(network, default_device()).eval()
    data = net.preprocessing
    if not data.get("transforms"):
        raise UserError("retrieve: the network does not tell its transforms (runtime.data)")
    transform = parse_transforms(data["transforms"], data.get("mean_std"))
    rows = extract_descriptors(net, [transform(image) for image in images], what="query").T
    require_finite(rows[:1], [path], "query")
    return torch.nn.functional.normalize(rows, dim=1)


def _nearest(base, query, count) -> Iterator[dict]:
    others = len(base.images) - (query.place is not None)
    if count > others:
        raise UserError(
            f"retrieve: retrieval_num {count} is larger than the {others} images that {base.path} "
            "holds beside the query"
        )
    similarities = base.test.features @ query.features
    if query.place is not None:
        similarities[query.place] = -torch.inf
    for at in torch.sort(similarities, descending=True, stable=True).indices[:count].tolist():
        right = (
            None if query.place is None else base.test.labels[at] == base.test.labels[query.place]
        )
        yield {
            "image": base.images[at],
            "similarity": similarities[at].item(),
            "label": base.test.labels[at],
            "right": right,
        }


def _picture(path, upright, colour: str | None = None) -> bytes:
    picture = pil_loader(path, upright=upright).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if colour is not None:
        corners = (0, 0, SIDE - 1, SIDE - 1)
        ImageDraw.Draw(picture).rectangle(corners, outline=colour, width=BORDER)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG")
    return buffer.getvalue()


def _remove_others(folder, pictures):
    for path in folder.iterdir():
        if _FOUND.fullmatch(path.name) and path.name not in pictures:
            path.unlink()


def _write_page(folder, query, found, places, upright):
    answers = [
        {
            "name": f"{one['similarity']:.4f}, class {one['label']}",
            "path": str(place),
            "upright": upright,
            "right": one["right"],
        }
        for one, place in zip(found, places, strict=True)
    ]
    asked = {
        "name": query.path.name,
        "path": str(query.path),
        "upright": upright or query.place is None,
        "ap": None,
        "found": answers,
    }
    copies = PictureFolder(folder.parent)
    section = gallery("Most alike", {"queries": [asked]}, copies, 1, len(found))
    known = LEGEND if query.place is not None else "The query's class is not known."
    section.text = " ".join(filter(None, (known, query.doubt)))
    page = folder.parent / f"{folder.name}.html"
    write_page(page, f"Retrieval: {query.path.name}", [section])
    return page
