r"""Fine-tune a retrieval network on mined tuples.

    python3 -m cirtorch.examples.train EXPORT_DIR --training-dataset retrieval-SfM-120k \
        --arch resnet101 --pool gem --loss contrastive --loss-margin 0.85 --optimizer adam \
        --lr 5e-7 --neg-num 5 --query-size 2000 --pool-size 22000 --batch-size 5 --image-size 362
"""

import argparse
import os

import numpy as np
import torch
import torchvision.transforms as T

from cirtorch.datasets.traindataset import NAMES, TuplesDataset
from cirtorch.examples import common, evaluation, training
from cirtorch.examples.training import AverageMeter, save_checkpoint, train, validate
from cirtorch.networks.imageretrievalnet import (
    OUTPUT_DIM,
    POOLING,
    extract_vectors,
    init_network,
    set_batchnorm_eval,
)
from cirtorch.utils.download import download_train
from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_data_root

__all__ = [
    "AverageMeter",
    "main",
    "parse",
    "save_checkpoint",
    "set_batchnorm_eval",
    "test",
    "train",
    "validate",
]

_OPTIONS = [
    # flags, default, type, choices, help
    (("--training-dataset", "-d"), "retrieval-SfM-120k", str, None, "training set"),
    (("--test-datasets", "-td"), "roxford5k,rparis6k", common.test_sets, None, "test sets"),
    (("--test-whiten",), "", str, None, "training set of the whitening used in tests"),
    (("--test-freq",), 1, int, None, "epochs between two tests"),
    (("--arch", "-a"), "resnet101", str, sorted(OUTPUT_DIM), "architecture"),
    (("--pool", "-p"), "gem", str, sorted(POOLING), "pooling"),
    (("--loss", "-l"), "contrastive", str, sorted(training.LOSSES), "training loss"),
    (("--loss-margin", "-lm"), 0.7, float, None, "margin of the loss"),
    (("--image-size",), 1024, common.pixels, None, "longest side of a training image in pixels"),
    (("--neg-num", "-nn"), 5, int, None, "negatives a tuple"),
    (("--query-size", "-qs"), 2000, int, None, "queries an epoch"),
    (("--pool-size", "-ps"), 20000, int, None, "images searched for hard negatives"),
    (("--workers", "-j"), 8, int, None, "processes that load images"),
    (("--epochs",), 100, int, None, "epochs in total"),
    (("--batch-size", "-b"), 5, int, None, "tuples a batch"),
    (("--update-every", "-u"), 1, int, None, "batches between two updates of the weights"),
    (("--optimizer", "-o"), "adam", str, ["sgd", "adam"], "optimizer"),
    (("--lr", "--learning-rate"), 1e-6, float, None, "learning rate"),
    (("--momentum",), 0.9, float, None, "momentum of sgd"),
    (("--weight-decay", "--wd"), 1e-6, float, None, "weight decay"),
    (("--print-freq",), 10, int, None, "batches between two lines"),
    (("--resume",), "", str, None, "name of a checkpoint in the export folder to go on from"),
]
_SWITCHES = [
    (("--local-whitening", "-lw"), "local_whitening", True, "learn a local whitening layer"),
    (("--regional", "-r"), "regional", True, "regional pooling of a fixed grid"),
    (("--whitening", "-w"), "whitening", True, "learn a whitening layer after pooling"),
    (("--not-pretrained",), "pretrained", False, "start from random weights"),
    (("--no-val",), "val", False, "do not validate"),
]


def parse(arguments=None):
    """The published options."""
    parser = argparse.ArgumentParser(
        prog="cirtorch.examples.train", description="Train a network for image retrieval"
    )
    parser.add_argument("directory", metavar="EXPORT_DIR", help="folder of trained networks")
    for flags, default, kind, choices, text in _OPTIONS:
        words = f"{text} (default: {default})" if default != "" else text
        parser.add_argument(*flags, default=default, type=kind, choices=choices, help=words)
    for flags, name, value, text in _SWITCHES:
        parser.add_argument(
            *flags, dest=name, action="store_const", const=value, default=not value, help=text
        )
    common.add_gpu_argument(parser)
    args = parser.parse_args(arguments)
    if not args.training_dataset.startswith(NAMES):
        parser.error(
            f"--training-dataset {args.training_dataset}: retrieval-SfM... or gl... expected"
        )
    try:
        evaluation.check_training_set(args.training_dataset)
        if args.test_whiten:
            evaluation.check_training_set(args.test_whiten, "-whiten")
    except DataError as error:
        parser.error(str(error))
    args.directory = os.path.join(args.directory, experiment_name(args))
    return args


def experiment_name(args):
    """The published name of the folder: it tells the settings."""
    return (
        f"{args.training_dataset}_{args.arch}_{args.pool}"
        + "_lwhiten" * args.local_whitening
        + "_r" * args.regional
        + "_whiten" * args.whitening
        + "_notpretrained" * (not args.pretrained)
        + f"_{args.loss}_m{args.loss_margin:.2f}"
        + f"_{args.optimizer}_lr{args.lr:.1e}_wd{args.weight_decay:.1e}"
        + f"_nnum{args.neg_num}_qsize{args.query_size}_psize{args.pool_size}"
        + f"_bsize{args.batch_size}_uevery{args.update_every}_imsize{args.image_size}"
    )


def main(arguments=None):
    """Run the program; returns the folder of the trained network."""
    args = parse(arguments)
    common.choose_gpu(args.gpu_id)
    print(f">> Creating directory if it does not exist:\n>> '{args.directory}'")
    os.makedirs(args.directory, exist_ok=True)
    torch.manual_seed(0)
    np.random.seed(0)
    database = os.path.join(get_data_root(), "train", args.training_dataset)
    if not os.path.exists(database):
        download_train(get_data_root())
    evaluation.need_test_sets([name.lower() for name in args.test_datasets])
    net = init_network(
        {
            "architecture": args.arch,
            "pooling": args.pool,
            "local_whitening": args.local_whitening,
            "regional": args.regional,
            "whitening": args.whitening,
            "pretrained": args.pretrained,
        }
    )
    session = training.Session(net, args)
    if args.resume:
        session.resume(os.path.join(args.directory, args.resume))
    train_set, val_set = _datasets(args, net)
    test(args.test_datasets, net, args.test_whiten)
    for epoch in range(session.epoch, args.epochs):
        loss = session.train(train_set)
        if args.val:
            loss = session.validate(val_set)
        if (epoch + 1) % args.test_freq == 0:
            test(args.test_datasets, net, args.test_whiten)
        session.save(args.directory, loss)
    return args.directory


def _datasets(args, net):
    def dataset(mode, qsize, poolsize):
        return TuplesDataset(
            args.training_dataset,
            mode,
            imsize=args.image_size,
            nnum=args.neg_num,
            qsize=qsize,
            poolsize=poolsize,
            transform=common.network_transform(net),
        )

    train_set = dataset("train", args.query_size, args.pool_size)
    return train_set, dataset("val", float("inf"), float("inf")) if args.val else None


def test(datasets, net, test_whiten=""):
    """Evaluate on test sets at 1024 pixels and one scale, as published.

    Args:
        datasets: their names. test_whiten: the training set of a whitening, "": none.
    """
    transform: T.Compose = common.network_transform(net)
    print(">> Evaluating network on test datasets...")
    whitening = None
    if test_whiten:

        def extract(images):
            return extract_vectors(net, images, 1024, transform)

        learned = evaluation.whitening_of_network(net, test_whiten, [1], extract)
        whitening = test_whiten, learned
    for name in datasets:
        evaluation.evaluate_test_set(net, name.lower(), 1024, transform, whitening=whitening)


if __name__ == "__main__":
    common.run(main)
