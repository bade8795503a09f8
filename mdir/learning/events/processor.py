"""What watches the events of a run while it goes on.

A processor (kind ``processor``) is made from the run's ``epochs`` folder (None in the validate
step) and has ``begin(epochs)``, ``wants(row) -> bool`` (fetch values now, they are to be shown),
``rows(epoch, rows)`` (whose values are numbers by then), ``epoch_closed(epoch, rows, metrics)``,
``result(result)`` and ``close()``. One that collects something over an epoch has ``state_dict()``
and ``load_state_dict(state)`` as well.
"""


class Processor:
    """A processor that does nothing; children say what they need."""

    def begin(self, epochs: int) -> None:
        """The run is to have so many epochs in all."""

    def wants(self, row: dict) -> bool:
        """Whether the values of this row are to be shown right now."""
        return False

    def rows(self, epoch: int, rows: list[dict]) -> None:
        """Take rows of single iterations."""

    def epoch_closed(self, epoch: int, rows: dict[str, dict], metrics: dict[str, float]) -> None:
        """Take the joined rows of a finished epoch."""

    def result(self, result) -> None:
        """Take what the method has finished (:meth:`mdir.methods.base.Method.results`).

        Or what a score keeps (:attr:`mdir.scores.result.ScoreResult.kept`).
        """

    def state_dict(self) -> dict:
        """What a run needs that goes on in the middle of the epoch; rows so far are kept, too."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`; not called if that was empty."""

    def close(self) -> None:
        """The run is over."""
