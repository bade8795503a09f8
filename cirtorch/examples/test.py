r"""Evaluate a retrieval network, with or without learned whitening.

    python3 -m cirtorch.examples.test --network-path retrievalSfM120k-resnet101-gem \
        --datasets 'roxford5k,rparis6k' --whitening 'retrieval-SfM-120k' \
        --multiscale '[1, 1/2**(1/2), 1/2]'
"""

import argparse

from cirtorch.examples import common, evaluation
from cirtorch.networks.imageretrievalnet import extract_vectors
from cirtorch.networks.pretrained import PRETRAINED

__all__ = ["PRETRAINED", "main", "parse"]


def parse(arguments=None):
    """The published options."""
    parser = argparse.ArgumentParser(
        prog="cirtorch.examples.test", description="Evaluate an image retrieval network"
    )
    common.add_network_arguments(parser)
    common.add_datasets_argument(parser, "oxford5k,paris6k")
    parser.add_argument(
        "--whitening",
        "-w",
        metavar="WHITENING",
        help="training set on which whitening is learned (retrieval-SfM-30k, retrieval-SfM-120k)",
    )
    common.add_image_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the program; returns ``{dataset: (averages, per query)}``."""
    args = parse(arguments)
    common.choose_gpu(args.gpu_id)
    net = common.open_chosen_network(args)
    cache = None
    if args.whitening is not None:
        if args.network_path is not None:
            several = "_ms" * (len(args.multiscale) > 1)
            cache = f"{args.network_path}_{args.whitening}_whiten{several}.pth"
        evaluation.check_whitening(net, args.whitening, cache)
    evaluation.need_test_sets([name.lower() for name in args.datasets])
    ms, msp = args.multiscale, common.scale_power(net, args.multiscale)
    transform = common.network_transform(net)
    whitening = None
    if args.whitening is not None:

        def extract(images):
            return extract_vectors(net, images, args.image_size, transform, ms=ms, msp=msp)

        learned = evaluation.whitening_of_network(
            net, args.whitening, ms, extract, cache, args.image_size
        )
        whitening = args.whitening, learned
    return {
        name: evaluation.evaluate_test_set(
            net, name.lower(), args.image_size, transform, ms, msp, whitening
        )
        for name in args.datasets
    }


if __name__ == "__main__":
    common.run(main)
