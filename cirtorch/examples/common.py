"""What the command-line programs share."""

import argparse
import ast
import operator
import os
import sys

import torchvision.transforms as T

from cirtorch.datasets.testdataset import DATASETS
from cirtorch.layers.multiscale import scale_exponent
from cirtorch.networks.pretrained import (
    PRETRAINED,
    off_the_shelf,
    off_the_shelf_settings,
    open_network,
)
from cirtorch.utils.errors import DataError

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def scales(text):
    """``'[1, 1/2**(1/2), 1/2]'`` -> list of positive floats; arithmetic only, nothing is run."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        values = tree.elts if isinstance(tree, (ast.List, ast.Tuple)) else [tree]
        numbers = [_number(value) for value in values]
    except (SyntaxError, TypeError, ArithmeticError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers") from error
    if not numbers or not all(0 < number <= 16 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r}: scales lie between 0 and 16")
    return numbers


def _number(node):
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _number(node.left), _number(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > 16:
            raise TypeError("exponent too large")
        return _OPERATORS[type(node.op)](left, right)
    raise TypeError("not a number")


def pixels(text):
    """``'1024'`` -> 1024; at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number of pixels above 0 expected")
    return number


def names(text):
    """``'a,b'`` -> ``['a', 'b']``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def test_sets(text):
    """As :func:`names`, of known test sets only."""
    unknown = [name for name in names(text) if name.lower() not in DATASETS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown datasets {', '.join(unknown)}; choose from {', '.join(DATASETS)}"
        )
    return names(text)


def _off_the_shelf_name(text):
    try:
        off_the_shelf_settings(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def add_network_arguments(parser):
    """``--network-path`` or ``--network-offtheshelf``; one of them is needed."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--network-path",
        "-npath",
        metavar="NETWORK",
        help=f"trained network: path, or one of {', '.join(PRETRAINED)}",
    )
    group.add_argument(
        "--network-offtheshelf",
        "-noff",
        metavar="NETWORK",
        type=_off_the_shelf_name,
        help="network with ImageNet weights: ARCH-POOL[-reg][-lwhiten][-whiten]",
    )


def add_image_arguments(parser):
    """Size, scales and device, the same in all programs."""
    parser.add_argument(
        "--image-size",
        "-imsize",
        default=1024,
        type=pixels,
        metavar="N",
        help="longest side of an image in pixels (default: 1024)",
    )
    parser.add_argument(
        "--multiscale",
        "-ms",
        default="[1]",
        type=scales,
        metavar="MULTISCALE",
        help="scales of an image, for example '[1, 1/2**(1/2), 1/2]' (default: '[1]')",
    )
    add_gpu_argument(parser)


def add_datasets_argument(parser, default):
    """``--datasets``: test sets, checked."""
    parser.add_argument(
        "--datasets",
        "-d",
        default=default,
        type=test_sets,
        metavar="DATASETS",
        help=f"comma separated test sets out of {', '.join(DATASETS)} (default: {default})",
    )


def add_gpu_argument(parser):
    """``--gpu-id``; without a GPU, or with an empty id, everything runs on the CPU."""
    parser.add_argument(
        "--gpu-id",
        "-g",
        default="0",
        metavar="N",
        help="GPU to use, as in CUDA_VISIBLE_DEVICES; '' for the CPU (default: '0')",
    )


def open_chosen_network(args):
    """The network that the arguments name, printed as the published programs do."""
    if args.network_path is not None:
        print(f">> Loading network:\n>>>> '{args.network_path}'")
        net = open_network(args.network_path)
    else:
        print(f">> Loading off-the-shelf network:\n>>>> '{args.network_offtheshelf}'")
        net = off_the_shelf(args.network_offtheshelf)
    print(">>>> loaded network: ")
    print(net.meta_repr())
    return net.eval()


def network_transform(net):
    """PIL image -> normalized tensor, by the mean and deviation of the network."""
    return T.Compose([T.ToTensor(), T.Normalize(mean=net.meta["mean"], std=net.meta["std"])])


def scale_power(net, ms):
    """As :func:`~cirtorch.layers.multiscale.scale_exponent`, and printed where it is not 1."""
    msp = scale_exponent(net, ms)
    if msp != 1:
        print(f">> Set-up multiscale:\n>>>> ms: {ms}\n>>>> msp: {msp}")
    return msp


def run(main):
    """Run a program and end it with one line where it fails.

    Exit codes: 1 for mistakes of data and files, 130 after an interrupt from the keyboard.
    """
    try:
        main()
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def choose_gpu(gpu_id):
    """Make only the chosen GPU visible; called before anything touches one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu_id
