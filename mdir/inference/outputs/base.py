"""Outputs: what the step ``infer`` makes of what a network gives."""

from mdir import distributed


class Output:
    """Collects what a network gives, image by image.

    One is registered under kind "output" as a class with the parameters of ``output.inference``.
    The step calls ``prepare`` once, ``collect`` for every image in any order, then ``gather`` and
    ``result``.
    """

    def prepare(self, columns: list, section: dict):
        """Look at the input before anything is computed.

        Args:
            columns: lists of names, and of boxes and labels where asked for.
            section: the data section, network defaults included.

        One that also names ``made_by`` is given a hash of the network and all that it goes through.

        Returns:
            columns for the dataset and the position of each of its rows in the whole.
        """
        return columns, list(range(len(columns[0])))

    def collect(self, index: int, image, output) -> None:
        """Take what belongs to one image; both are None for one that cannot be read.

        Args:
            index: position in the whole input.
            image: the network's input for this image, ``[1, C, H, W]`` or a list of those.
            output: of the network for this image alone.
        """
        raise TypeError(f"{type(self).__name__} does not collect outputs")

    def per_image(self, output, count: int) -> list:
        """The outputs of ``count`` images, given ``[B, ...]`` or ``[D, B]``."""
        raise TypeError(f"{type(self).__name__} does not collect outputs")

    def gather(self) -> None:
        """Wait for other processes, and take over what they have collected."""
        distributed.barrier()

    def result(self) -> tuple:
        """Outputs of the step, after everything is collected."""
        raise TypeError(f"{type(self).__name__} has no result")
