"""Step: a network for use elsewhere, as ONNX and as safetensors with JSON."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import torch

from mdir.artifacts import write_bytes
from mdir.errors import UserError
from mdir.networks.architectures.resnet_generator import ResnetGenerator
from mdir.networks.factory import load_network
from mdir.networks.portable import write_network
from mdir.paths import resolve_path
from mdir.registry import Section
from mdir.registry.ranges import at_least
from mdir.stages.step import step

OPSET = 18
Size = tuple[Annotated[int, at_least(1)], Annotated[int, at_least(1)]]
_EXAMPLE_SIDE = 64


@step
def export(
    inputs,
    *,
    network: Annotated[dict, Section("network")],
    target: str,
    formats: list[Literal["onnx", "safetensors"]] = ("onnx", "safetensors"),
    member: str | None = None,
    image_size: Size | None = None,
):
    """Write the bare model of a network: from normalized images to its output.

    Args:
        network: which one, see :func:`mdir.networks.factory.load_network`.
        target: path of the files without suffix, relative to the root.
        formats: ``onnx`` (opset 18; the batch is free, and height and width where ``image_size``
            does not say them) and ``safetensors``. A JSON file beside them tells how images are
            prepared.
        member: which network of a set or sequence.
        image_size: ``[height, width]`` of all images that the ONNX model takes; null: any.

    Returns:
        ``files``: what was written.
    """
    model = load_network(network, "cpu").eval()
    model = model[member] if member else model
    if model.members:
        raise UserError(
            f"export: the network has members {', '.join(model.names())}; choose one by 'member'"
        )
    target = Path(resolve_path(target))
    notes = _notes(model)
    if "onnx" in formats:
        _write_onnx(model, target.with_name(target.name + ".onnx"), image_size)
        notes["input"]["image_size"] = image_size
    plain = target.with_name(target.name + ".safetensors")
    if "safetensors" in formats:
        write_network(model.state_dict(), plain, notes)
    else:
        write_bytes(plain.with_suffix(".json"), json.dumps(notes, indent=1).encode())
    suffixes = [".json", *(f".{name}" for name in formats)]
    return {"files": [f"{target}{suffix}" for suffix in suffixes]}


def _notes(model):
    """What a user of the files has to know about input and output."""
    data = model.preprocessing
    return {
        "input": {
            "name": "images",
            "axes": ["batch", "channels", "height", "width"],
            "transforms": data.get("transforms"),
            "mean_std": data.get("mean_std"),
        },
        "output": {"name": "output", "axes": _output_axes(model), **_sizes(model)},
        "in_channels": model.meta.get("in_channels"),
        "out_channels": model.meta.get("out_channels"),
    }


def _sizes(model):
    """A bare generator leaves to its caller what our wrappers and steps do: cutting back."""
    if not isinstance(model.model, ResnetGenerator):
        return {}
    return {"sizes": "height and width rounded up to multiples of 4; cut back to the image's"}


def _output_axes(model):
    output = model.forward_batch(_example(model))
    return (
        ["dimensions", "batch"] if output.dim() == 2 else ["batch", "channels", "height", "width"]
    )


def _example(model, sides=(_EXAMPLE_SIDE, _EXAMPLE_SIDE)):
    channels = model.meta.get("in_channels") or 3
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, *sides, generator=generator)


@torch.no_grad()
def _write_onnx(network, path, image_size):
    if image_size is None and getattr(network.model, "depends_on_size", False):
        raise UserError(
            "export: the model does something else for each size of images, which ONNX cannot "
            "hold; say image_size: [height, width], or leave 'onnx' out of formats"
        )
    _need_onnx()
    free = torch.export.Dim.DYNAMIC
    example = _example(network, image_size) if image_size else _example(network)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        torch.onnx.export(
            network.model,
            (example,),
            made,
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["output"],
            dynamic_shapes=({0: free} if image_size else {0: free, 2: free, 3: free},),
            external_data=False,
            verbose=False,
        )
        write_bytes(path, made.read_bytes())


def _need_onnx():
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"export to ONNX needs the package {error.name!r}: pip install 'mdir[onnx]', or leave "
            "'onnx' out of formats"
        ) from None
