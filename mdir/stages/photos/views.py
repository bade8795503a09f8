"""Step: views of photographs, to be told apart without labels."""

from pathlib import Path
from typing import Annotated

from PIL import Image

from mdir.artifacts import produced
from mdir.data.image_lists import listed_images
from mdir.data.transforms.parse import check_transforms, parse_transforms
from mdir.errors import UserError
from mdir.paths import resolve_path
from mdir.photos.views import write_views
from mdir.registry import Check
from mdir.registry.ranges import at_least
from mdir.stages.step import step


@step
def views(
    _inputs,
    *,
    names: str,
    image_dir: str,
    directory: str,
    transforms: Annotated[str, Check(check_transforms)] = "random_warp | downscale:160",
    count: Annotated[int, at_least(2)] = 6,
    seed: int = 0,
):
    """Make several views of each photograph, and training pairs of those of one photograph.

    Args:
        names: text file with a name per line, or a folder.
        image_dir: folder (or pattern) of the photographs of a text file.
        directory: folder for the views and ``views.pkl``; relative to CIRTORCH_ROOT.
        transforms: of a PIL image into one.
        count: views of a photograph.
        seed: of what is random in them.

    Returns:
        Metadata: ``training``, the path of ``views.pkl``, and the numbers of ``photographs``,
        ``views`` and ``pairs``.
    """
    pipeline, paths = parse_transforms(transforms, ([0.0], [1.0])), listed_images(names, image_dir)
    target = Path(resolve_path(directory)).resolve()
    if len(paths) < 2:
        raise UserError(f"views: {names} lists one photograph; nothing differs from its views")

    def view(image):
        found = pipeline(image)
        if not isinstance(found, Image.Image):
            raise UserError(f"views: transforms {transforms!r} give no picture; leave out pil2np")
        return found

    database = write_views(paths, target, view, count, seed)
    produced(target)
    return {
        "training": str(target / "views.pkl"),
        "photographs": len(paths),
        "views": len(database["cids"]),
        "pairs": len(database["qidxs"]),
    }
