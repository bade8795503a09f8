"""What a network sees of database images and of queries, whose sizes may differ.

gmberton/deep-visual-geo-localization-benchmark, ``--resize`` and ``--test_method``.
"""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset
from torchvision.transforms import functional

CROPS = 5


class PlaceViews(Dataset):
    """Some images of a data set, each as one view or several, one behind the other.

    Attributes:
        files: the file of each view.
        strict_images: as of the data set.

    Args:
        images: a data set that has ``view(number)``, an image ``[C, H, W]``, and ``files``.
        numbers: of the images.
        treat: image -> its views, all of them as many as ``count``.
    """

    def __init__(
        self,
        images,
        numbers: Sequence[int],
        treat: Callable[[Tensor], Sequence[Tensor]],
        count: int = 1,
    ):
        self.images, self.numbers, self.treat, self.count = images, numbers, treat, count
        self.strict_images = getattr(images, "strict_images", False)
        self.files = [images.files[number] for number in numbers for _ in range(count)]

    def __len__(self):
        return len(self.numbers) * self.count

    def __getitem__(self, index):
        number, view = divmod(index, self.count)
        return self.treat(self.images.view(self.numbers[number]))[view]


def resize(image: Tensor, size: int | tuple[int, int] | None) -> Tensor:
    """To (height, width), whatever the aspect, or to a short side; bilinear, antialiased."""
    if size is None:
        return image
    return functional.resize(image, [size] if isinstance(size, int) else list(size), antialias=True)


def central_crop(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Scaled (nearest neighbour) to cover (height, width), of which the centre is cut."""
    height, width = image.shape[1:]
    scale = max(size[0] / height, size[1] / width)
    covering = [
        max(int(side * scale), least) for side, least in zip((height, width), size, strict=True)
    ]
    return functional.center_crop(interpolate(image[None], size=covering)[0], list(size))


def five_crops(image: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Squares of the short side of (height, width): four corners and the centre."""
    side = min(size)
    return functional.five_crop(resize(image, side), [side, side])


def query_treatment(method: str, size) -> tuple[Callable[[Tensor], Sequence[Tensor]], int]:
    """How a test method makes views of a query, and how many."""
    if method == "single_query":
        return (lambda image: [resize(image, min(size))]), 1
    if method == "central_crop":
        return (lambda image: [central_crop(image, size)]), 1
    if method == "hard_resize":
        return (lambda image: [resize(image, size)]), 1
    return (lambda image: five_crops(image, size)), CROPS
