r"""Evaluate a network whose whitening was trained inside it.

    python3 -m cirtorch.examples.test_e2e --network rSfM120k-tl-resnet101-gem-w \
        --datasets 'roxford5k,rparis6k' --multiscale '[1, 2**(1/2), 1/2**(1/2)]'
"""

import argparse

from cirtorch.examples import common, evaluation
from cirtorch.networks.pretrained import PRETRAINED


def parse(arguments=None):
    """The published options."""
    parser = argparse.ArgumentParser(
        prog="cirtorch.examples.test_e2e", description="Evaluate an end-to-end retrieval network"
    )
    parser.add_argument(
        "--network",
        "-n",
        required=True,
        metavar="NETWORK",
        help=f"network to evaluate: path, or one of {', '.join(PRETRAINED)}",
    )
    common.add_datasets_argument(parser, "roxford5k,rparis6k")
    common.add_image_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the program; returns ``{dataset: (averages, per query)}``."""
    args = parse(arguments)
    common.choose_gpu(args.gpu_id)
    args.network_path, args.network_offtheshelf = args.network, None
    net = common.open_chosen_network(args)
    evaluation.need_test_sets([name.lower() for name in args.datasets])
    transform = common.network_transform(net)
    return {
        name: evaluation.evaluate_test_set(
            net, name.lower(), args.image_size, transform, args.multiscale
        )
        for name in args.datasets
    }


if __name__ == "__main__":
    common.run(main)
