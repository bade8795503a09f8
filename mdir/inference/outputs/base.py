"""What becomes of a network's answers in the step ``infer``."""

from mdir import distributed


class Output:
    """Takes the answers of a network image by image.

    One is registered under kind "output" as a class with the parameters of ``output.inference``.
    The step calls ``prepare`` once, ``store`` for every image in any order, then ``join`` and
    ``result``.
    """

    def prepare(self, columns: list, section: dict):
        """Look at the input before anything is computed.

        Args:
            columns: lists of names, and of boxes and labels where asked for.
            section: the data section, network defaults included.

        Returns:
            columns for the dataset and the position of each of its rows in the whole.
        """
        return columns, list(range(len(columns[0])))

    def store(self, index: int, image, answer) -> None:
        """Take one answer; both are None for an image that cannot be read.

        Args:
            index: position in the whole input.
            image: the network's input for this image, ``[1, C, H, W]`` or a list of those.
            answer: what the network gave for this image alone.
        """
        raise TypeError(f"{type(self).__name__} does not take answers")

    def split(self, answer, count: int) -> list:
        """The answers of ``count`` images, ``[B, ...]`` or ``[D, B]`` as the network gives them."""
        raise TypeError(f"{type(self).__name__} does not take answers")

    def join(self) -> None:
        """Wait for other processes that store a part, and take over what they have collected."""
        distributed.barrier()

    def result(self) -> tuple:
        """Outputs of the step, after everything is stored."""
        raise TypeError(f"{type(self).__name__} has no result")
