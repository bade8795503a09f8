"""Images from lists (published project: cnnimageretrieval)."""

import os

from torch.utils.data import Dataset

from cirtorch.datasets.datahelpers import default_loader, pixel_box, shrink_part
from cirtorch.utils.errors import DataError


class EmptyDatasetError(DataError, RuntimeError):
    """A data set without images."""


class ImagesFromList(Dataset):
    """Images of files; item: PIL image, cut, shrunk and transformed.

    Args:
        root: folder before every name.
        images: names.
        imsize: longest side in pixels, None: original. A cut-out is shrunk by the factor that its
            full image would be.
        bbxs: None, or per image a box ``(x1, y1, x2, y2)`` in pixels, or None for no cutting.
        transform: applied to the PIL image; None for none.
        loader: path -> PIL image.
    """

    def __init__(self, root, images, imsize=None, bbxs=None, transform=None, loader=default_loader):
        if len(images) == 0:
            raise EmptyDatasetError("Dataset contains 0 images!")
        self.root = root
        self.images = images
        self.imsize = imsize
        self.images_fn = [os.path.join(root, name) for name in images]
        self.bbxs = bbxs
        self.transform = transform
        self.loader = loader

    def __getitem__(self, index):
        path = self.images_fn[index]
        full = self.loader(path)
        box = None if self.bbxs is None else pixel_box(self.bbxs[index], path)
        img = shrink_part(full if box is None else full.crop(box), full, self.imsize)
        return img if self.transform is None else self.transform(img)

    def __len__(self):
        return len(self.images_fn)

    def __repr__(self):
        return (
            f"Dataset {type(self).__name__}\n"
            f"    Number of images: {len(self)}\n"
            f"    Root Location: {self.root}\n"
            f"    Transforms (if any): {_indented(self.transform)}\n"
        )


class ImagesFromDataList(Dataset):
    """Images that are in memory; item: ``[1, C, H, W]`` where the transform makes a tensor.

    ``images``: anything the transform takes; without a transform, tensors ``[C, H, W]``.
    """

    def __init__(self, images, transform=None):
        if len(images) == 0:
            raise EmptyDatasetError("Dataset contains 0 images!")
        self.images = images
        self.transform = transform

    def __getitem__(self, index):
        img = self.images[index]
        if self.transform is not None:
            img = self.transform(img)
        return img.unsqueeze(0) if len(img.size()) else img

    def __len__(self):
        return len(self.images)

    def __repr__(self):
        return (
            f"Dataset {type(self).__name__}\n"
            f"    Number of images: {len(self.images)}\n"
            f"    Transforms (if any): {_indented(self.transform)}\n"
        )


def _indented(transform):
    return repr(transform).replace("\n", "\n" + " " * 25)
