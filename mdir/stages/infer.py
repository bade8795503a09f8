"""Step: a network's outputs for a list of images, as image files or as descriptors."""

from functools import partial
from typing import Annotated

from mdir import distributed, registry
from mdir.data.image_lists import read_beside
from mdir.errors import UserError, gathered
from mdir.inference.names import name_columns
from mdir.inference.run import (
    ForwardOptions,
    InputSections,
    OutputOptions,
    check_inference,
    run_inference,
)
from mdir.learning.compute import default_device
from mdir.networks.factory import load_network
from mdir.paths import resolve_path
from mdir.registry import Section
from mdir.stages.step import step


@step(check=check_inference)
def infer(
    inputs,
    *,
    network: Annotated[dict, Section("network")],
    output: OutputOptions,
    data: InputSections,
    names: str | list | None = None,
    forward: ForwardOptions | None = None,
):
    """Translate images, or extract their descriptors.

    Args:
        inputs: columns of names (from standard input: one column, a name per line).
        network: which one, see :func:`mdir.networks.factory.load_network`.
        output: see :class:`mdir.inference.run.OutputOptions`.
        data: see :class:`mdir.inference.run.InputSections`. Pictures are turned as their EXIF says
            unless the dataset's ``upright`` is false, as for sets that are read as published.
        names: in place of standard input, a list, a list file or a folder of images.
        forward: see :class:`mdir.inference.run.ForwardOptions`.

    Returns:
        ``stats`` (``total_time`` s, ``avg_time`` s per image) and ``resource_usage``, or ``status:
        skipped`` where nothing is to do; then what the output gives.
    """
    data = {**data, "test": _upright(data["test"])}
    with distributed.together():
        given = partial(_columns, inputs, names, data["test"]["dataset"].get("image_dir"))
        columns, model = gathered([given, partial(load_network, network, default_device())])
        return run_inference(model.eval(), output, data, columns, forward)


def _columns(inputs, names, image_dir):
    if names is not None:
        if not isinstance(names, str):
            return name_columns(names, image_dir)
        read = partial(name_columns, names, image_dir)
        return read_beside(read, resolve_path(names), resolve_path(image_dir or ""))
    if not inputs:
        raise UserError(
            "image names are expected on standard input, one per line, or in the parameter 'names' "
            "(a list, a list file or a folder)"
        )
    return inputs


def _upright(section):
    """A data section that turns pictures, where its dataset can and does not say otherwise."""
    known, _ = registry.schema(registry.lookup("dataset", section["dataset"]["name"]))
    default = {"upright": True} if "upright" in known else {}
    return {**section, "dataset": {**default, **section["dataset"]}}
