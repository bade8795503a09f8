"""Step: evaluate a network."""

from pathlib import Path
from typing import Annotated

from mdir import distributed
from mdir.data.sections import DataSections
from mdir.learning.checks import data_problems, overlay_problems, validation_sections
from mdir.learning.compute import default_device
from mdir.learning.events.events import Events
from mdir.learning.events.progress import Progress
from mdir.learning.seeding import seed_everything
from mdir.learning.validation import Setting, make_validation
from mdir.networks.factory import load_network
from mdir.paths import resolve_path
from mdir.registry import Problem, Section
from mdir.stages.step import step


def _check(params):
    """What the validations say of the data sections."""
    wanted = []
    for path, section in validation_sections(params.get("validation"), ()):
        wanted.append(((*path, "data"), section.get("data")))
        if section.get("criterion") == "default":
            message = "'default' is a training's criterion; name one here"
            yield Problem((*path, "criterion"), message)
    yield from data_problems(wanted, params.get("data"))
    yield from overlay_problems(params.get("validation"), (), params.get("network"))


@step(check=_check)
def validate(
    inputs,
    *,
    network: Annotated[dict, Section("network")],
    validation: Annotated[dict, Section("validation")],
    data: DataSections,
    rankings: str | None = None,
):
    """Run all validations of a network, whatever their frequency.

    Args:
        network: ``{path, runtime}`` of a stored network, or a network section.
        validation: SingleValidation or MultiCriterialValidation.
        data: data sections by name.
        rankings: folder for what was found for each query and the protocol of the numbers,
            ``LABEL.json`` by validation (not in published scenarios); null: not written.

    Returns:
        metadata ``{"eval": {metric: value}}`` with the losses and scores and, of scores that tell
        values of queries, ``intervals`` {metric: [low, high]}: 95 % intervals over the queries, or
        in words why there is none.
    """
    seed_everything(0)
    folder = Path(resolve_path(rankings)) if rankings else None
    with distributed.together():
        loaded = load_network(network, default_device()).eval()
        setting = Setting(loaded, data, stage="validation", inputs=inputs, rankings=folder)
        progress = Progress(None, print_each=100, key_suffix="validation/loss")
        events = Events([progress] if distributed.is_first() else [])
        intervals = {}
        for single in make_validation(validation, setting).members:
            result = single.run(events, 0)
            for name, ends in result.intervals.items() if result is not None else ():
                intervals[single.key(f"score_avg:{name}")] = ends
    events.close_epoch()
    events.close()
    found = {"eval": {name: values[-1] for name, values in events.metrics.metadata().items()}}
    return found | ({"intervals": intervals} if intervals else {})
