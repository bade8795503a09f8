"""What a score gives back.

A score (kind ``score``, those that other packages register included) is called with the network
alone, ``score(network) -> ScoreResult``, in eval mode and without gradients; ``network.device``
says where. Its attribute ``decisive`` is the ``KEY:NAME`` of the number that tells which network is
best; None: none does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from mdir.scores.samples import Sample, interval


@dataclass
class ScoreResult:
    """Numbers of one evaluation, and what a report shows beside them.

    Attributes:
        averages: the score's numbers by name, larger is better.
        per_query: name -> one number per query (NaN where a query has no positives).
        timings: name -> seconds.
        images: label -> image ``[3, H, W]`` in 0..1.
        rankings: a dict per query: ``name``, ``path``, ``box`` (x1, y1, x2, y2 or None), ``ap``
            (None without positives) and ``found``, the best database images in order, each with
            ``name``, ``path`` and ``right`` (True, False, or None for junk, which does not count).
        protocol: the conditions under which the numbers hold, plain values by name.
        kept: what processors take of it (``mdir.learning.events.processor``); None: nothing.
        details: gives what else is to be kept with the rankings, plain values by name; called only
            where they are written, as it may take its time.
        files: gives texts of files beside the rankings, by the ending of their names; called
            likewise.
        samples: average -> the values of queries that it is the mean of, in the order of the
            rankings; averages that have one get an interval.
    """

    averages: dict[str, float] = field(default_factory=dict)
    per_query: dict[str, list[float]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    images: dict[str, Tensor] = field(default_factory=dict)
    rankings: list[dict] = field(default_factory=list)
    protocol: dict = field(default_factory=dict)
    kept: Any = None
    details: Callable[[], dict] = dict
    files: Callable[[], dict[str, str]] = dict
    samples: dict[str, Sample] = field(default_factory=dict)

    @cached_property
    def intervals(self) -> dict[str, list[float] | str]:
        """95 % intervals over queries by average; in words why there is none."""
        return {name: interval(sample) for name, sample in self.samples.items()}
