"""Running a network over a list of images, for any output."""

import time
from typing import Annotated, NotRequired, TypedDict

import torch

from cirtorch.networks.extraction import naming
from mdir import distributed, registry
from mdir.artifacts import used_files
from mdir.caches import without_caches
from mdir.data.labelled import LabelledImage, tensor_of
from mdir.data.loading import make_dataset
from mdir.data.sections import check_data_section, merge_defaults
from mdir.errors import UserError
from mdir.inference.batches import load_same_size
from mdir.inference.descriptors import image_name
from mdir.inference.fingerprint import network_fingerprint
from mdir.inference.outputs.naming import input_paths
from mdir.inference.outputs.writer import Writer
from mdir.registry import Holds, Section
from mdir.resources import Resources

Writing = TypedDict("Writing", {"async": bool}, total=False)
Writing.__doc__ = """What ``inference`` holds besides the output's own.

    Args:
        async: write while computing.
"""


class OutputOptions(TypedDict):
    """What to do with a network's outputs.

    Args:
        inference: output section (``name: rgb`` or ``embedding``).
    """

    inference: Annotated[dict, Section("output", beside=Writing)]
    debug: NotRequired[bool]


class InputSections(TypedDict):
    """The data of the step.

    Args:
        test: how images are read; ``loader.batch_size`` images of one size together.
    """

    test: Annotated[dict, Holds(Section("data"))]


class ForwardOptions(TypedDict, total=False):
    """Another call than the network's own: the name of its method, and parameters."""

    method: str | None
    params: dict | None


def check_inference(params: dict):
    """Problems of the data section of a step's images."""
    test = params["data"].get("test") if isinstance(params.get("data"), dict) else None
    if isinstance(test, dict):
        yield from check_data_section(test, ("data", "test"))


def run_inference(network, output: dict, data: dict, columns, forward: dict | None = None):
    """Feed images to a network and collect its outputs.

    Processes that work together divide the images; what they collect is brought together.

    Args:
        network: in the stage whose wrappers it goes through.
        output: ``{inference: output section, debug}``.
        data: ``{test: data section}``; ``loader.batch_size`` images of one size at a time.
        columns: names of images, and boxes or labels where the output has them.
        forward: ``{method, params}``: which method of the network to call, and with what.

    Returns:
        metadata, and what the output gives.
    """
    started, resources = time.time(), Resources()
    options = dict(output["inference"])
    threaded = options.pop("async", False)
    section = merge_defaults(data["test"], network.preprocessing)
    network.require_normalization(section.get("mean_std"))
    sink = registry.make("output", options)
    # the first decides: another may already find images that were written a moment ago
    columns = list(columns) or [[]]
    tell_inputs(columns[0], section)
    asked = {}
    if registry.takes(sink.prepare, "made_by"):
        through = {key: value for key, value in without_caches(section).items() if key != "loader"}
        asked["made_by"] = network_fingerprint(network, {"data": through, "forward": forward})
    columns, positions = distributed.from_first(sink.prepare(columns, section, **asked))
    if not positions:
        return {"status": "skipped"}, *sink.result()
    own = distributed.own_part(positions)
    if own:
        dataset = make_dataset(section, inputs=[distributed.own_part(column) for column in columns])
        _collect_all(_method(network, forward), dataset, section, sink, own, threaded)
    sink.gather()
    seconds = time.time() - started
    stats = {"total_time": int(seconds), "avg_time": seconds / len(positions)}
    return {"stats": stats, "resource_usage": resources.usage()}, *sink.result()


@torch.no_grad()
def _collect_all(forward, dataset, section, sink, positions, threaded):
    loader = section.get("loader") or {}
    batches = load_same_size(dataset, loader, loader.get("batch_size") or 1, "infer")
    with Writer(threaded) as writer:
        for indices, batch in batches:
            rows = [positions[index] for index in indices]
            if isinstance(batch, dict):
                writer.submit(sink.collect, rows[0], None, None)
            else:
                with naming(image_name(dataset, indices[0], batch), batch):
                    outputs = sink.per_image(forward(batch), len(rows))
                images = _split_images(batch, len(rows))
                for row, image, item in zip(rows, images, outputs, strict=True):
                    writer.submit(sink.collect, row, image, item)


def _split_images(images, count):
    if isinstance(images, (torch.Tensor, LabelledImage)):
        return tensor_of(images).split(1) if count > 1 else [tensor_of(images)]
    return [[tensor_of(image) for image in images]]


def _method(network, forward):
    if not forward:
        return network
    name, params = forward.get("method") or "forward", forward.get("params") or {}
    method = getattr(network, name, None)
    if not callable(method):
        raise UserError(f"forward.method: a {network.type} has no method {name!r}")
    return lambda images: method(images, **params)


def tell_inputs(items, section: dict) -> None:
    """Tell the images of a data section, by their names or lists of names."""
    used_files(path for paths in input_paths(items, section) for path in paths)
