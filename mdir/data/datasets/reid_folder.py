"""One's own images for re-identification: an index, or folders and names like Market-1501's."""

from cirtorch.utils.errors import DataError
from mdir.data.datasets.reid_layouts import JUNK, SPLITS, NamedImages, ReidImage, SetLayout
from mdir.data.image_lists import listed
from mdir.data.index_files import read_index
from mdir.errors import UserError

INDEX = "index.csv"
COLUMNS = ("path", "identity", "split")


class OwnImages(SetLayout):
    """A folder with ``index.csv`` (``path,identity,camera,split``), or with Market-1501's folders.

    Identities and cameras of an index may be numbers or any texts, which are then counted in their
    order; identity -1 is junk. Without cameras, queries get camera 0 and the gallery 1, so that no
    match is left out. Names in folders begin with ``IDENTITY_cCAMERA``.
    """

    folder = ""
    named = NamedImages("", r"([-\d]+)_c(\d+)", suffixes=None)

    def has_cameras(self, root):
        return not (root / INDEX).exists() or any(
            row.get("camera") for row, _ in read_index(root / INDEX, COLUMNS)
        )

    def read(self, root, split):
        if not (root / INDEX).exists():
            if not (root / self.named.folders[split]).is_dir():
                raise DataError(
                    f"{root}: has neither {INDEX} (path,identity,camera,split) nor the folder "
                    f"{self.named.folders[split]}, with pictures named IDENTITY_cCAMERA..."
                )
            return self.named.read(root, split)
        rows = read_index(root / INDEX, COLUMNS)
        faults = [*_faults(root, rows)]
        if faults:
            raise UserError(f"{len(faults)} rows of the index do not fit:{listed(faults)}")
        identities = _numbers([row["identity"] for row, _ in rows])
        cameras = _numbers([row["camera"] for row, _ in rows]) if self.has_cameras(root) else None
        return [
            ReidImage(
                row["path"], identity, cameras[at] if cameras else int(row["split"] == "gallery")
            )
            for at, ((row, _), identity) in enumerate(zip(rows, identities, strict=True))
            if row["split"] == split and identity != JUNK
        ]


def _faults(root, rows):
    with_cameras, places = any(row.get("camera") for row, _ in rows), {}
    for row, where in rows:
        first = places.setdefault(row["path"], where)
        if not (root / row["path"]).is_file():
            yield f"{where}: no such image: {root / row['path']}"
        elif first != where:
            yield f"{where}: {row['path']} is listed twice, first at {first}"
        if not row["identity"]:
            yield f"{where}: no identity (junk is -1)"
        if with_cameras and not row["camera"]:
            yield f"{where}: no camera, though other rows have one"
        if row["split"] not in SPLITS:
            yield f"{where}: unknown split {row['split']!r}. Allowed: {', '.join(SPLITS)}"


def _numbers(texts):
    """Whole numbers as they are; otherwise each text's place among the sorted ones."""
    try:
        return [int(text) for text in texts]
    except ValueError:
        junk = str(JUNK)
        places = {text: at for at, text in enumerate(sorted(set(texts) - {junk}))}
        return [places.get(text, JUNK) for text in texts]
