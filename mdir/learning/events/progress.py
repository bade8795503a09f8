"""Progress of a run on the terminal."""

import sys
import time
from typing import Literal

from tqdm import tqdm

from cirtorch.utils.progress import on_terminal
from mdir.learning.events.processor import Processor
from mdir.metric_names import Metric
from mdir.registry import register


@register("processor", "progress")
class Progress(Processor):
    """A bar with rate and time left on a terminal, a plain line every so often elsewhere.

    Args:
        print_each: a line for so many iterations; 0, null or false: silent.
        print_each_val: the same for stages whose name begins with "val".
        key_suffix: ``KEY:NAME``; rows whose key ends so are shown, with the value of that name.
    """

    REFRESH_S = 0.2

    def __init__(
        self,
        folder,
        *,
        print_each: int | bool | None = 1,
        print_each_val: int | bool | Literal["as print_each"] | None = "as print_each",
        key_suffix: str = "learning/loss:total",
    ):
        self.print_each = int(print_each or 0)
        same = print_each_val == "as print_each"
        self.print_each_val = self.print_each if same else int(print_each_val or 0)
        suffix = Metric.parse(key_suffix)
        self.key, self.name = suffix.key, suffix.name or "total"
        self.is_terminal = on_terminal()
        self._stage: tuple[int, str] | None = None
        self._sum, self._count = 0.0, 0
        self._first: tuple[float, int] | None = None  # when this process saw its first row, which
        self._bar: tqdm | None = None
        self._shown = 0.0
        self._epochs = 1
        self._previous: dict[tuple[str, int], float] = {}  # of an iteration in the previous epoch

    def begin(self, epochs):
        self._epochs = epochs

    def wants(self, row):
        if not self._concerns(row):
            return False
        if self._is_due(row):
            return True
        return self.is_terminal and time.time() - self._shown > self.REFRESH_S

    def rows(self, epoch, rows):
        for row in filter(self._concerns, rows):
            self._take(epoch, row)

    def result(self, result):
        if self.print_each and (line := getattr(result, "summary", None)):
            print(line, file=sys.stderr, flush=True)

    def state_dict(self):
        return {"stage": self._stage, "mean": (self._sum, self._count)} if self._stage else {}

    def load_state_dict(self, state):
        self._stage, (self._sum, self._count) = tuple(state["stage"]), state["mean"]

    def close(self):
        self._end_stage()

    def _concerns(self, row):
        shown = row["key"].endswith(self.key) and self.name in row["data"]
        return bool(shown and self._each(row))

    def _each(self, row):
        return self.print_each_val if row["key"].lower().startswith("val") else self.print_each

    def _is_due(self, row):
        if row["relative_iteration"] is None:
            return True
        done = row["relative_iteration"] + 1
        return done % self._each(row) == 0 or done == row["epoch_size"]

    def _take(self, epoch, row):
        stage = Metric.parse(row["key"]).label
        if self._stage != (epoch, stage):
            self._end_stage()
            self._stage, self._sum, self._count = (epoch, stage), 0.0, 0
        if self._first is None:
            self._first = row["timestamp"], self._count
            self._start_bar(f"{stage.capitalize()} [{epoch + 1:02d}]", row)
        self._sum += row["data"][self.name]
        self._count += 1
        self._show(epoch, stage, row)

    def _start_bar(self, label, row):
        done = row["relative_iteration"]
        if self.is_terminal and done is not None:
            size = row["epoch_size"]
            self._bar = tqdm(total=size, initial=done, desc=label, leave=True, unit="b")

    def _show(self, epoch, stage, row):
        if self._bar is not None:
            self._shown = time.time()
            mean = self._sum / self._count
            self._bar.set_postfix_str(f"{row['data'][self.name]:.2f} ({mean:.2f})", refresh=False)
            self._bar.update(1)
        elif self._is_due(row):
            print(self._line(epoch, stage, row), file=sys.stderr, flush=True)

    def _line(self, epoch, stage, row):
        value, mean = row["data"][self.name], self._sum / self._count
        head = f"{stage.capitalize()} [{epoch + 1:02d}]"
        if row["relative_iteration"] is None:
            return f"{head}: {value:.2f}"
        now, done, size = row["timestamp"], row["relative_iteration"] + 1, row["epoch_size"]
        begin, before_it = self._first or (now, self._count)
        pace = (now - begin) / max(self._count - before_it - 1, 1)
        times = [f"{pace:.2f} s/b"]
        before = self._previous.get((stage, done))
        if before is not None:
            times.append(f"{round((now - before) / 60)} m/e")
        further = self._epochs - epoch - 1 if stage == "train" else 0
        if done < size or further > 0:
            here = pace * (size - done)
            rest = here + further * (pace * size if before is None else now - before)
            of_run = f", {_duration(rest)} of the run" if further > 0 else ""
            times.append(f"{_duration(here)} left of the epoch{of_run}")
        self._previous[stage, done] = now
        return f"{head}[{done:03d}/{size:03d}]: {value:.2f} ({mean:.2f}), ({', '.join(times)})"

    def _end_stage(self):
        if self._bar is not None:
            self._bar.close()
        self._bar, self._stage, self._first = None, None, None


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
