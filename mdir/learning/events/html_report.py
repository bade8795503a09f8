"""The page of a run, drawn while it goes on."""

import time

from mdir.learning.events.processor import Processor
from mdir.registry import register


@register("processor", "htmlreport")
class HtmlReport(Processor):
    """``htmlreport/index.html``, drawn from the rows on disk after the first epoch and the last.

    In between it is drawn anew as long as that takes a small share of the time of the run.
    """

    SHARE = 0.05

    def __init__(self, folder):
        self.folder = folder
        self._epoch = self._drawn = -1
        self._ready = 0.0

    def epoch_closed(self, epoch, rows, metrics):
        self._epoch = epoch
        if self.folder is not None and time.time() >= self._ready:
            self._draw()

    def close(self):
        if self.folder is not None and self._epoch != self._drawn:
            self._draw()

    def _draw(self):
        # imported late: drawing needs matplotlib, which training does not
        from mdir.report.training_page import write_training_page

        begin = time.time()
        title = f"Epoch {self._epoch + 1} of {self.folder.resolve().parent.name}"
        write_training_page(self.folder, title)
        self._drawn, end = self._epoch, time.time()
        self._ready = end + (end - begin) / self.SHARE
