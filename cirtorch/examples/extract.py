r"""Descriptors of a folder or a list of images into one ``.npy`` file.

    python3 -m cirtorch.examples.extract --network-path rSfM120k-tl-resnet101-gem-w \
        --images photos/ --output photos.npy
"""

import argparse
import os

import numpy as np

from cirtorch.datasets.imagefiles import images_of
from cirtorch.examples import common
from cirtorch.networks.imageretrievalnet import extract_vectors
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import atomic_write
from cirtorch.utils.weight_files import load_whitening
from cirtorch.utils.whiten import whitenapply


def parse(arguments=None):
    """The options, named as in the other programs."""
    parser = argparse.ArgumentParser(
        prog="cirtorch.examples.extract", description="Extract image descriptors"
    )
    common.add_network_arguments(parser)
    parser.add_argument(
        "--images",
        "-i",
        required=True,
        metavar="FOLDER|LIST",
        help="folder that is searched for images, or a text file with a path per line",
    )
    parser.add_argument(
        "--output",
        "-out",
        required=True,
        metavar="FILE.npy",
        help="rows of descriptors, float32 [N, D]; the paths go to FILE.txt, a line a row",
    )
    parser.add_argument("--whitening", "-w", metavar="FILE", help="whitening file applied last")
    common.add_image_arguments(parser)
    args = parser.parse_args(arguments)
    if not args.output.endswith(".npy"):
        parser.error(f"--output {args.output}: a name that ends in .npy expected")
    return args


def main(arguments=None):
    """Run the program; returns the path of the written file."""
    args = parse(arguments)
    common.choose_gpu(args.gpu_id)
    whitening = None if args.whitening is None else load_whitening(args.whitening)
    folder, images = images_of(args.images)
    broken = [name for name in images if len(name.splitlines()) > 1]
    if broken:
        raise DataError(
            f"{broken[0]!r}: a line break in a name; the list beside OUTPUT has a line each"
        )
    net = common.open_chosen_network(args)
    if whitening is not None and len(whitening[0]) != net.meta["outputdim"]:
        raise DataError(
            f"{args.whitening}: whitens descriptors of {len(whitening[0])} dimensions, the "
            f"network's have {net.meta['outputdim']}"
        )
    vecs = extract_vectors(
        net,
        [os.path.join(folder, name) for name in images],
        args.image_size,
        common.network_transform(net),
        ms=args.multiscale,
        msp=common.scale_power(net, args.multiscale),
    ).numpy()
    if whitening is not None:
        vecs = whitenapply(vecs, *whitening).astype(np.float32)
    with atomic_write(args.output) as file:
        np.save(file, np.ascontiguousarray(vecs.T))
    text = {"encoding": "utf-8", "errors": "surrogateescape"}
    with atomic_write(args.output[: -len(".npy")] + ".txt", "w", **text) as file:
        file.write("".join(f"{name}\n" for name in images))
    print(f">> {len(images)} descriptors of {vecs.shape[0]} dimensions: {args.output}")
    return args.output


if __name__ == "__main__":
    common.run(main)
