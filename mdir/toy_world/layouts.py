"""Which images and files the toy world holds: the layouts of the real datasets, in small."""

import hashlib
import pickle
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mdir.data.table_files import table
from mdir.toy_world.places import Place, front, generator
from mdir.toy_world.render import render
from mdir.toy_world.view import View, draw_view, landmark_box

SFM = "data/train/retrieval-SfM-120k"


@dataclass(frozen=True)
class Sizes:
    """How much is drawn: numbers of places and of images of each, long side in pixels."""

    image_size: int = 192
    train_places: int = 24
    val_places: int = 6
    test_places: int = 12
    day_views: int = 8
    night_views: int = 4
    pairs: int = 24
    night_share: float = 1.0  # of the training places, those whose nights are in the tuples


@dataclass(frozen=True)
class Shot:
    """An image to be taken."""

    place: Place
    view: View
    condition: str
    size: tuple
    number: int = 0

    def take(self) -> np.ndarray:
        """The image: uint8 array [height, width, 3], RGB."""
        return render(self.place, self.view, self.condition, self.size, self.number)


@dataclass
class Layout:
    """Everything to be written, by path below the world's folder.

    ``shots`` holds images, ``files`` functions that return bytes, ``links`` targets of symbolic
    links relative to the link's folder.
    """

    shots: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)

    def __iter__(self):
        yield from (*self.shots, *self.files, *self.links)


def make_layout(seed: int, sizes: Sizes) -> Layout:
    """Lay out the whole toy world; nothing is drawn yet."""
    from mdir.toy_world.detectors import NAMES, detector_file  # late: imports torch

    layout = Layout()
    take = partial(_shot, seed, sizes)
    _training(layout, take, sizes)
    for name, classic in (("roxford5k", "oxford5k"), ("rparis6k", "paris6k")):
        _revisited(layout, take, sizes, name, classic)
    _tokyo(layout, take, sizes)
    _city(layout, take, sizes)
    _two_domains(layout, take, sizes)
    layout.files |= {f"weights/{name}.pth": partial(detector_file, name) for name in NAMES}
    return layout


def _shot(seed, sizes, split, place, view, condition="day", number=0) -> Shot:
    """The image of a place from its view of that number; a quarter of the views is upright."""
    rng = generator(seed, split, place, "view", view)
    long, short = sizes.image_size, sizes.image_size * 3 // 4
    size = (short, long) if rng.random() < 0.25 else (long, short)
    return Shot(Place(seed, split, place), draw_view(rng), condition, size, number)


def _training(layout, take, sizes):
    """retrieval-SfM-120k: images by day and some by night, pairs of them, and the two lists.

    The night images that ``night_share`` keeps from the tuples are in the list of the night alone.
    """
    databases, lists = {}, {"day": [], "night": []}
    for split, places in (("train", sizes.train_places), ("val", sizes.val_places)):
        cids, clusters, pairs = [], [], []
        for place in range(places):
            first = len(cids)
            nights = sizes.night_views if place < round(sizes.night_share * places) else 0
            for view in range(sizes.day_views + sizes.night_views):
                condition = "day" if view < sizes.day_views else "night"
                shot = take(split, place, view, condition)
                cid = hashlib.md5(repr(shot).encode()).hexdigest()
                path = f"{cid[-2:]}/{cid[-4:-2]}/{cid[-6:-4]}/{cid}"
                layout.shots[f"{SFM}/ims/{path}"] = shot
                if view < sizes.day_views + nights:
                    cids.append(cid)
                    clusters.append(place)
                if split == "train":
                    lists[condition].append(path)
            pairs += _pairs(first, sizes.day_views, nights)
        queries, positives = map(list, zip(*pairs, strict=True))
        databases[split] = {"cids": cids, "cluster": clusters, "qidxs": queries, "pidxs": positives}
    layout.files[f"{SFM}/retrieval-SfM-120k.pkl"] = partial(pickle.dumps, databases)
    flat = {key: databases["train"][key] for key in ("cids", "qidxs", "pidxs")}
    layout.files[f"{SFM}/retrieval-SfM-120k-whiten.pkl"] = partial(pickle.dumps, flat)
    for condition, names in lists.items():
        layout.files[f"{SFM}/dataset/train_{condition}.txt"] = "".join(
            f"{name}\n" for name in names
        ).encode
    step = max(len(lists["day"]) // 4, 1)
    for number, name in enumerate(lists["day"][::step][:4], 1):
        layout.links[f"data/val/day_night/{number}.jpg"] = (
            f"../../train/retrieval-SfM-120k/ims/{name}"
        )


def _pairs(first, days, nights):
    """Pairs of a place whose images begin at ``first``: every image with three by day."""
    return [
        (first + query, first + (query + step) % days)
        for query in range(days + nights)
        for step in range(1, min(3, days - 1) + 1)
    ]


def _revisited(layout, take, sizes, name, classic):
    """ROxford or RParis and its classic parent: day only, queries with boxes, some other places."""
    places, queries = max(sizes.test_places // 2, 1), 2
    imlist, qimlist, gnd = [], [], []
    for place in range(places):
        shots = [take(name, place, view) for view in range(sizes.day_views + queries)]
        names = [
            f"{shots[0].place.kind.__name__}_{place:02d}_{view:06d}" for view in range(len(shots))
        ]
        _add_images(layout, f"data/test/{classic}/jpg", names, shots)
        start = len(imlist)
        imlist += names[queries:]
        for query in range(queries):
            gnd.append(_by_difficulty(shots[query], shots[queries:], start))
            qimlist.append(names[query])
    others = [f"other_{place:06d}" for place in range(2 * places)]
    shots = [take(f"{name}-other", place, 0) for place in range(len(others))]
    _add_images(layout, f"data/test/{classic}/jpg", others, shots)
    truth = partial(_boxed, gnd, imlist + others, qimlist)
    layout.files[f"data/test/{name}/gnd_{name}.pkl"] = truth
    layout.files[f"data/test/{classic}/gnd_{classic}.pkl"] = partial(
        _boxed, gnd, imlist + others, qimlist, True
    )
    layout.links[f"data/test/{name}/jpg"] = f"../{classic}/jpg"


def _by_difficulty(query, shots, start):
    """Split the images of a query's place by how far their viewpoint is from the query's."""
    distance = [abs(shot.view.yaw - query.view.yaw) for shot in shots]
    order = [start + int(i) for i in np.argsort(distance, kind="stable")]
    easy = max(len(order) // 2, 1)
    return {"query": query, "easy": order[:easy], "hard": order[easy:-1], "junk": order[easy:][-1:]}


def _boxed(gnd, imlist, qimlist, classic=False):
    """The pickled ground truth, with the query's box; classic: the queries are in the list too."""
    entries = []
    for number, entry in enumerate(gnd):
        query = entry["query"]
        truth = {
            "bbx": [float(v) for v in landmark_box(query.view, front(query.place), query.size)]
        }
        if classic:
            itself = len(imlist) + number
            truth |= {"ok": [*entry["easy"], *entry["hard"], itself], "junk": entry["junk"]}
        else:
            truth |= {key: entry[key] for key in ("easy", "hard", "junk")}
        entries.append(truth)
    names = imlist + qimlist if classic else imlist
    return pickle.dumps({"imlist": names, "qimlist": qimlist, "gnd": entries})


def _tokyo(layout, take, sizes):
    """247tokyo1k: places from two viewpoints by day, sunset and night, all of them queries."""
    names, shots = [], []
    for place in range(sizes.test_places):
        for view in range(2):
            for condition in ("day", "sunset", "night"):
                shots.append(take("tokyo", place, view, condition))
                names.append(f"{len(names) + 1:05d}")
    _add_images(layout, "data/test/247tokyo1k/jpg", names, shots)
    gnd = []
    for query in range(len(names)):
        place = query - query % 6
        ok = [other for other in range(place, place + 6) if other != query]
        gnd.append({"bbx": None, "ok": ok, "junk": [query]})
    truth = {"imlist": names, "qimlist": names, "gnd": gnd}
    layout.files["data/test/247tokyo1k/gnd_247tokyo1k.pkl"] = partial(pickle.dumps, truth)


def _city(layout, take, sizes):
    """City: day images as database, one table of night queries and one of day queries.

    Its ``index.csv`` makes of the folder one of photographs, see :mod:`mdir.photos.index`.
    """
    folder = "data/test/city"
    database, queries, photos = [], {"night": [], "day": []}, ["path,landmark,condition"]
    for place in range(sizes.test_places):
        names = [f"place{place:02d}_day{view:02d}" for view in range(sizes.day_views)]
        shots = [take("city", place, view) for view in range(sizes.day_views)]
        _add_images(layout, f"{folder}/jpg", names, shots)
        database += names
        photos += [f"jpg/{name}.jpg,place{place:02d},day" for name in names]
        for condition, rows in queries.items():
            for view in range(sizes.day_views, sizes.day_views + 3):
                name = f"query_{condition}_place{place:02d}_{view:02d}"
                _add_images(layout, f"{folder}/jpg", [name], [take("city", place, view, condition)])
                rows.append((name, names))
                photos.append(f"jpg/{name}.jpg,place{place:02d},{condition}")
    others = [f"other{place:02d}_day" for place in range(2 * sizes.test_places)]
    shots = [take("city-other", place, 0) for place in range(len(others))]
    _add_images(layout, f"{folder}/jpg", others, shots)
    listed = [[name] for name in database + others]
    layout.files[f"{folder}/db.tsv"] = partial(table, ["identifier"], listed)
    photos += [f"jpg/{name}.jpg,,day" for name in others]
    layout.files[f"{folder}/index.csv"] = ("\n".join(photos) + "\n").encode
    for condition, rows in queries.items():
        cells = [[name, None, ok, []] for name, ok in rows]
        path = f"{folder}/{condition}_to_day.tsv"
        layout.files[path] = partial(table, ["query", "bbx", "ok", "junk"], cells)


def _two_domains(layout, take, sizes):
    """The aligned domains of DaCo (tokyo: day, night) and OSSCo (cityscapes: clear, fog)."""
    for split, places in (
        ("train", range(sizes.pairs)),
        ("val", range(sizes.pairs, sizes.pairs * 3 // 2)),
    ):
        for place in places:
            stem = f"{place + 1:05d}"
            for domain, translated in (("day", "night"), ("night", "day")):
                path = f"{domain}/{split}/{domain}_{stem}.png"
                layout.shots[f"data/tokyo/original/{path}"] = take("aligned", place, 0, domain)
                layout.shots[f"data/tokyo/generated/{path}"] = take(
                    "aligned", place, 0, translated, 1
                )
            for domain, condition in (("clear", "day"), ("fog", "fog")):
                path = f"data/cityscapes/{split}/{domain}/{stem}.png"
                layout.shots[path] = take("aligned", place, 0, condition, 2)


def _add_images(layout, folder, names, shots):
    layout.shots.update(
        {f"{folder}/{name}.jpg": shot for name, shot in zip(names, shots, strict=True)}
    )
