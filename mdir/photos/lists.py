"""Lists, ground truth and training pairs made from one's own photographs."""

import itertools
import pickle
from pathlib import Path

from cirtorch.utils.files import atomic_write, replace_link
from mdir.data.table_files import csv_text, table
from mdir.errors import UserError
from mdir.photos.index import Photo
from mdir.photos.upright import upright

EXAMPLES = 4
PAYLOAD = ("path", "place", "condition")


def write_lists(photos: list[Photo], folder: Path, directory: Path) -> dict:
    """Write what the pipeline needs about photographs below ``folder`` into ``directory``.

    * ``photos.csv``: what is known of all photographs (for the step index);
    * ``day.txt``, ``night.txt``: absolute paths, one per line (for RandomDomainsPair);
    * ``db.tsv``, ``night_to_day.tsv``: all day photographs as database, the night photographs of
      known landmarks with a day photograph as queries (for the score cirdatasetap);
    * ``day_to_day.tsv``: day photographs of landmarks with another one as queries, each of them
      junk to itself;
    * ``photos.pkl``: day photographs of known landmarks as database of tuples (for CirTuples;
      only a ``train`` part), ``photos-whiten.pkl``: the same, flat (for the whitening step),
      ``others-whiten.pkl``: without the landmarks that are asked for by night;
    * ``examples/``: links to a few day photographs (for the score visual).

    The photographs themselves are not changed; of those that the camera noted as turned (EXIF),
    upright copies in ``upright/`` are listed.

    Returns:
        ``{name: absolute path}`` of these, ``image_dir`` and the counts.
    """
    known = [[str(folder / p.name), p.landmark or "", p.condition] for p in photos]
    _write(directory / "photos.csv", csv_text([PAYLOAD, *known]).encode())
    photos = upright(photos, folder, directory / "upright")
    turned = sum(Path(photo.name).is_relative_to(directory / "upright") for photo in photos)
    day, night = ([p for p in photos if p.condition == name] for name in ("day", "night"))
    for name, chosen in (("day", day), ("night", night)):
        if not chosen:
            raise UserError(f"{folder}: no {name} photographs; translation needs both conditions")
        _write(directory / f"{name}.txt", "".join(f"{folder / p.name}\n" for p in chosen).encode())
    queries = _queries(day, night)
    _write(directory / "db.tsv", table(["identifier"], [[p.name] for p in day]))
    _write(directory / "night_to_day.tsv", table(["query", "bbx", "ok", "junk"], queries))
    by_day = [row for photo in day for row in _queries_of(photo, day)]
    _write(directory / "day_to_day.tsv", table(["query", "bbx", "ok", "junk"], by_day))
    database = _pairs(folder, day)
    _write(directory / "photos.pkl", pickle.dumps({"train": database}))
    dark = {photo.landmark for photo in night}
    others = _pairs(folder, [photo for photo in day if photo.landmark not in dark])
    for name, pairs in (("photos", database), ("others", others)):
        flat = {key: pairs[key] for key in ("cids", "qidxs", "pidxs")}
        _write(directory / f"{name}-whiten.pkl", pickle.dumps(flat))
    _link_examples(folder, day, directory / "examples")
    files = {
        "day": "day.txt",
        "night": "night.txt",
        "database": "db.tsv",
        "queries": "night_to_day.tsv",
        "training": "photos.pkl",
        "day_queries": "day_to_day.tsv",
        "whitening": "photos-whiten.pkl",
        "whitening_of_others": "others-whiten.pkl",
        "examples": "examples",
        "payload": "photos.csv",
    }
    return {key: str(directory / name) for key, name in files.items()} | {
        "image_dir": str(folder),
        "turned_upright": turned,
        "day_photos": len(day),
        "night_photos": len(night),
        "night_queries": len(queries),
        "training_pairs": len(database["qidxs"]),
        "whitening_pairs_of_others": len(others["qidxs"]),
    }


def _queries(day, night):
    rows = [row for photo in night for row in _queries_of(photo, day)]
    if not rows:
        raise UserError(
            "no night photograph shows a landmark that is photographed by day as well; "
            "night-to-day retrieval has no query"
        )
    return rows


def _queries_of(photo, day):
    """The row of a query, none where no other photograph shows its landmark."""
    if photo.landmark is None:
        return
    ok = [p.name for p in day if p.landmark == photo.landmark and p is not photo]
    if ok:
        yield [photo.name, None, ok, [photo.name] if photo.condition == "day" else []]


def _pairs(folder, day):
    """Every ordered pair of day photographs of a landmark; the cids are absolute paths."""
    known = sorted((p for p in day if p.landmark is not None), key=lambda p: p.landmark)
    landmarks = sorted({p.landmark for p in known})
    pairs = [
        (q, p)
        for q, p in itertools.permutations(range(len(known)), 2)
        if known[q].landmark == known[p].landmark
    ]
    return {
        "cids": [str(folder / p.name) for p in known],
        "cluster": [landmarks.index(p.landmark) for p in known],
        "qidxs": [q for q, _ in pairs],
        "pidxs": [p for _, p in pairs],
    }


def _link_examples(folder, day, examples):
    for number, photo in enumerate(day[:: max(len(day) // EXAMPLES, 1)][:EXAMPLES], 1):
        replace_link(str(folder / photo.name), examples / f"{number}{Path(photo.name).suffix}")


def _write(path, content):
    with atomic_write(path) as file:
        file.write(content)
