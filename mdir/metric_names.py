"""The names of metrics, ``LABEL/STAGE/KIND:NAME``, as in events, journals and published tables.

They stand in files that outlive a version and in the scenarios of users: they are not to change.
"""

import re
from dataclasses import dataclass

NO_BATCH = -2  # the iteration of what a score shows: it belongs to no batch
_KINDS = {
    "loss": "losses",
    "params": "parameters",
    "score": "single scores",
    "score_avg": "scores",
}
_FULL = re.compile(r"(.+?)/(learning|validation)/([^:]*)(?::(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Metric:
    """One metric or, without ``name``, what all metrics of an event share: its key.

    A text of another form (``epoch``, ``LABEL/KIND``) lacks parts, which are None then, so that
    ``str(Metric.parse(text)) == text`` holds for every text.

    Args:
        label: ``train`` or the name of a validation.
        stage: ``learning`` in a training, ``validation`` in the step validate.
        kind: what was measured: ``loss``, ``score_avg``, ``iteration``, ...
        name: of the value, with its :func:`suffix` where it stands for many (``total_avg.4``).
    """

    label: str
    stage: str | None = None
    kind: str | None = None
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Metric":
        """Take a name, or a key, apart."""
        if found := _FULL.fullmatch(text):
            return cls(*found.groups())
        key, colon, name = text.partition(":")
        label, slash, kind = key.partition("/")
        return cls(label, None, kind if slash else None, name if colon else None)

    @property
    def key(self) -> str:
        """``LABEL/STAGE/KIND``."""
        return "/".join(part for part in (self.label, self.stage, self.kind) if part is not None)

    @property
    def is_average_score(self) -> bool:
        """Whether it is what tables show of a score."""
        return self.name is not None and (self.kind or "").rpartition("/")[2] == "score_avg"

    def __str__(self):
        return self.key if self.name is None else f"{self.key}:{self.name}"

    def title(self) -> str:
        """For the head of a table: ``roxford5k mAP medium``, ``train loss total``."""
        kind = self.kind or ""
        if self.is_average_score:
            kind = kind.removesuffix("score_avg").strip("/")
        name = (self.name or "").removesuffix(suffix("score")).removesuffix(suffix("time"))
        name = re.sub(r"^map\b", "mAP", name.replace("_", " "))
        return " ".join(filter(None, (self.label, kind, name))).replace("_", " ")


def heading(key: str) -> str:
    """The key of an event in words: ``Training: losses``, ``Night to day: scores``.

    Args:
        key: what :attr:`Metric.key` gives.
    """
    metric = Metric.parse(key)
    kind = re.sub(r"^data/(?=\d)", "picture/", metric.kind or "").removeprefix("data/")
    *before, last = kind.split("/")
    label = "training" if metric.label == "train" else metric.label
    words = " ".join([*before, _KINDS.get(last, last)]).replace("_", " ")
    text = ": ".join(filter(None, (label.replace("_", " "), words)))
    return text[:1].upper() + text[1:]


def scalar_kind(row: dict) -> str | None:
    """``loss``, ``score`` or ``time``, what a row of events holds numbers of; None for others."""
    family, _, kind = row["dtype"].partition("/")
    return kind if family == "scalar" else None


def suffix(kind: str) -> str:
    """Behind the name of one number for many iterations, their mean or sum; ``.4``: digits."""
    return "_sum.1" if kind == "time" else "_avg.4"
