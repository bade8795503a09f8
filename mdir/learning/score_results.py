"""A score as a scenario names it, and where its results go: events and rankings."""

import json
from collections.abc import Callable
from pathlib import Path

from cirtorch.utils.files import atomic_write
from mdir import registry
from mdir.artifacts import produced, write_bytes
from mdir.inference.cost import Cost
from mdir.metric_names import NO_BATCH
from mdir.report.cost import cost_path, cost_text


def make_score(section: dict, preprocessing: dict):
    """A score of a checked section; transforms and mean_std it lacks are the network's."""
    fields, _ = registry.schema(registry.lookup("score", section.get("type")))
    defaults = {key: value for key, value in preprocessing.items() if key in fields}
    return registry.make("score", {**defaults, **section})


def register_score(events, epoch: int, key: Callable[[str], str], result) -> None:
    """Register a score's averages, values by query, times, images and protocol.

    Args:
        key: the key of events by their kind.
    """
    if result.averages:
        events.register(epoch, None, None, key("score_avg"), result.averages, "scalar/score")
    sizes = {len(values) for values in result.per_query.values()}
    for query in range(max(sizes, default=0)):
        values = {name: values[query] for name, values in result.per_query.items()}
        events.register(epoch, query, max(sizes), key("score"), values, "scalar/score")
    if result.timings:
        kind = "dataset" if result.averages else "output"
        events.register(epoch, None, None, key(kind), result.timings, "scalar/time")
    for label, image in result.images.items():
        blob = {"image0.rgb": {"dtype": "image:rgb", "data": image}}
        events.register(epoch, NO_BATCH, 1, key(f"data/{label}"), blob, "blob")
    if result.protocol:
        blob = {"protocol": {"dtype": "text", "data": json.dumps(result.protocol, indent=1)}}
        events.register(epoch, NO_BATCH, 1, key("protocol"), blob, "blob")


def tell_cost(cost: Cost, name: str) -> None:
    """Print a line about what the descriptors of an evaluation cost, if it made any."""
    if told := cost.told():
        print(f">> {name}: {cost_text(told)}", flush=True)


def write_cost(rankings: Path, cost: Cost) -> None:
    """Write what descriptors cost to where :func:`cost_path` says; nothing of an earlier one stays.

    It is no output of a step: no two runs agree in it.
    """
    path = cost_path(rankings)
    path.unlink(missing_ok=True)
    if told := cost.told():
        with atomic_write(path, "w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)


def write_rankings(path: Path, result) -> None:
    """Write what was found for each query, under which protocol, and details, as JSON.

    With the values of queries behind the averages (``samples``) and their ``intervals``. Files of
    the score's own lie beside it.
    """
    content = {"protocol": result.protocol, "queries": result.rankings, **result.details()}
    if result.samples:
        stored = {name: sample.stored() for name, sample in result.samples.items()}
        content |= {"intervals": result.intervals, "samples": stored}
    with atomic_write(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
    produced(path)
    for ending, text in result.files().items():
        write_bytes(path.with_name(path.stem + ending), text.encode("utf-8", "surrogateescape"))
