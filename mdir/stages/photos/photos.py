"""Step: make one's own photographs usable by the pipeline."""

from pathlib import Path

from mdir.artifacts import produced, used, used_files
from mdir.errors import UserError
from mdir.paths import resolve_path
from mdir.photos.index import read_photos
from mdir.photos.lists import write_lists
from mdir.registry import Problem
from mdir.stages.step import step

_ONE = "one night photograph alone can be looked up: its score tells of that photograph, no more"
_NO_OTHERS = (
    "no place has two photographs by day and none by night: others-whiten.pkl is empty, so that a "
    "whitening can be learned from the places that are asked for alone (photos-whiten.pkl)"
)


def _check(params):
    if not params.get("photos", True):
        message = "give the folder of the photographs: TARGET.00_settings.photos=FOLDER"
        yield Problem(("photos",), message)


@step(check=_check)
def photos(_inputs, *, photos: str | None, directory: str, index: str | None = None):
    """List photographs by day and by night and make ground truth and training pairs of them.

    Args:
        photos: folder with an ``index.csv`` (columns path, landmark, condition) or with one
            sub-folder a place; relative to CIRTORCH_ROOT. The images are only read; of
            those that the camera noted as turned, upright copies are used.
        directory: folder for the lists; relative to CIRTORCH_ROOT.
        index: another index than ``index.csv``.

    Returns:
        Metadata: the paths of everything written, ``image_dir`` and counts; ``warning`` where one
        night photograph alone is looked up.
    """
    folder, target = Path(resolve_path(photos)).resolve(), Path(resolve_path(directory)).resolve()
    if target == folder or folder in target.parents:
        raise UserError(f"photos: directory {target} lies among the photographs; choose another")
    source = Path(resolve_path(index)) if index else None
    used(source or (folder / "index.csv" if (folder / "index.csv").exists() else folder))
    found = read_photos(folder, source)
    used_files(folder / photo.name for photo in found)
    metadata = write_lists(found, folder, target)
    if turned := metadata["turned_upright"]:
        print(f"{turned} photographs were taken with the camera turned; upright copies are used")
    if not metadata["whitening_pairs_of_others"]:
        print(_NO_OTHERS)
    if metadata["night_queries"] == 1:
        metadata["warning"] = _ONE
        print(f"warning: {_ONE}", flush=True)
    produced(target)
    return metadata
