"""A buffer of past translations for a discriminator to look back on.

Shrivastava et al.: Learning from Simulated and Unsupervised Images through Adversarial Training,
CVPR 2017, in the form of CycleGAN.
"""

import torch

from mdir.distributed import WHOLE


class ImagePool:
    """Returns, by chance, images of earlier steps in place of new ones.

    While it fills, each image is kept and returned. Then, with probability one half, an image of
    the pool is returned and the new one takes its place.

    Args:
        size: images kept; 0 or less: no pool, the images come back as they are.
        generator: draws with ``uniform`` and ``randint``: a ``random.Random`` or the module
            ``random``, which the training loop seeds at the start of each epoch.
    """

    def __init__(self, size: int, generator):
        self.size, self.generator = size, generator
        self.images: list[torch.Tensor] = []

    def query(self, images: torch.Tensor, part=WHOLE) -> torch.Tensor:
        """Exchange a batch (B, ...), image by image in order; the result has no graph.

        The processes that divide a batch hold equal pools, which all of its images pass.
        """
        if self.size <= 0:
            return images.detach()
        return part.cut(self._query(part.join(images.detach())))

    def _query(self, images):
        if self.images and self.images[0].device != images.device:  # they come from a checkpoint
            self.images = [image.to(images.device) for image in self.images]
        return torch.stack([self._exchange(image) for image in images])

    def _exchange(self, image):
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if self.generator.uniform(0, 1) > 0.5:
            index = self.generator.randint(0, self.size - 1)
            earlier = self.images[index]
            self.images[index] = image.clone()
            return earlier
        return image

    def state_dict(self) -> dict:
        """The images; the generator is its owner's."""
        return {"images": list(self.images)}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`; ValueError where it holds anything but images."""
        if not all(torch.is_tensor(image) for image in state["images"]):
            raise ValueError("images of a pool are tensors")
        self.images = list(state["images"])
