"""Pictures whose file ends early: shown as far as they go, as published, and told."""

from PIL import Image

from cirtorch.datasets.file_ends import ends_early
from cirtorch.datasets.told import Told

found: list[str] = []
"""What this process met, with its path; who looks for it empties the list before."""

_tell = Told("is cut short and read as far as it goes")


def tell_if_cut_short(image: Image.Image, path) -> None:
    """Warn of an image, opened but not yet read, whose file ends early; each file once."""
    early = ends_early(image)
    if early is None:
        found.append(f"{path}: does not tell, being {image.format}, whether it is cut short")
    if early:
        found.append(f"{path}: is cut short")
        _tell(path)
