"""The training loop of the published program: tuples one by one, gradients summed over a batch."""

import math
import os
import time

import numpy as np
import torch
from torch.utils.data import DataLoader

from cirtorch.datasets.datahelpers import collate_tuples
from cirtorch.layers.loss import ContrastiveLoss, TripletLoss
from cirtorch.networks.extraction import takes_batches
from cirtorch.networks.imageretrievalnet import set_batchnorm_eval
from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_state, load_weights, save_weights

LOSSES = {"contrastive": ContrastiveLoss, "triplet": TripletLoss}
_DECAY = math.exp(-0.01)
_GEMMP_SPEED = 100


class AverageMeter:
    """The latest value, ``sum``, ``count`` and ``avg`` of what :meth:`update` was given."""

    def __init__(self):
        self.reset()

    def reset(self):
        """Begin anew."""
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val, n=1):
        """Take a value that stands for ``n``."""
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count


def train(train_loader, model, criterion, optimizer, epoch, update_every=1, print_freq=10):
    """One epoch over tuples that are mined first; returns the average loss of a tuple.

    Args:
        train_loader: batches ``(tuples, targets)`` of a :class:`TuplesDataset`.
        epoch: from 0, to be printed.
        update_every: batches between two steps of the optimizer.
        print_freq: batches between two lines.
    """
    train_loader.dataset.create_epoch_tuples(model)
    model.train()
    model.apply(set_batchnorm_eval)
    optimizer.zero_grad()

    def after_batch(number):
        if (number + 1) % update_every == 0:
            optimizer.step()
            optimizer.zero_grad()

    stage = f">> Train: [{epoch + 1}]"
    return _go_through(train_loader, model, criterion, stage, print_freq, after_batch)


@torch.no_grad()
def validate(val_loader, model, criterion, epoch, print_freq=10):
    """As :func:`train`, without learning."""
    val_loader.dataset.create_epoch_tuples(model)
    model.eval()
    return _go_through(val_loader, model, criterion, f">> Val: [{epoch + 1}]", print_freq)


def _go_through(loader, model, criterion, stage, print_freq, after_batch=lambda number: None):
    losses, start = AverageMeter(), time.time()
    for i, (tuples, targets) in enumerate(loader):
        for images, target in zip(tuples, targets, strict=True):
            columns = _embed(model, images)
            loss = criterion(columns, target.to(columns.device))
            losses.update(loss.item())
            if loss.requires_grad:
                loss.backward()
        after_batch(i)
        if (i + 1) % print_freq == 0 or i == 0 or i + 1 == len(loader):
            print(
                f"{stage}[{i + 1}/{len(loader)}]\t"
                f"Time {(time.time() - start) / (i + 1):.3f}\t"
                f"Loss {losses.val:.4f} ({losses.avg:.4f})"
            )
    return losses.avg


def _embed(model, images):
    """Descriptors ``[D, N]`` of a tuple; together where size and network allow it."""
    device = next(model.parameters()).device
    if not takes_batches(model):
        return torch.stack([model(image.to(device)).squeeze() for image in images], dim=1)
    sizes = {}
    for position, image in enumerate(images):
        sizes.setdefault(image.shape, []).append(position)
    columns = [
        model(torch.cat([images[i] for i in positions]).to(device)) for positions in sizes.values()
    ]
    order = torch.tensor([i for positions in sizes.values() for i in positions])
    return torch.cat(columns, dim=1)[:, order.argsort().to(device)]


def save_checkpoint(state, is_best, directory):
    """Write ``model_epochN.pth.tar``, N from ``state["epoch"]``, and ``model_best.pth.tar``."""
    names = [f"model_epoch{state['epoch']}.pth.tar"] + ["model_best.pth.tar"] * bool(is_best)
    for name in names:
        save_weights(state, os.path.join(directory, name))


class Session:
    """A network in training: optimizer, epoch, best loss; saved and resumed as one checkpoint."""

    def __init__(self, net, args):
        self.args = args
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net.to(self.device)
        self.criterion = LOSSES[args.loss](margin=args.loss_margin)
        self.optimizer = _optimizer(net, args)
        self.epoch = 0
        self.min_loss = float("inf")

    def train(self, dataset):
        """One epoch; returns the average loss of a tuple."""
        np.random.seed(self.epoch)
        torch.manual_seed(self.epoch)
        for group in self.optimizer.param_groups:
            # as published, the decay comes before the epoch: the first one has it already
            group["lr"] = group["initial_lr"] * _DECAY ** (self.epoch + 1)
        loss = train(
            self._loader(dataset, shuffle=True),
            self.net,
            self.criterion,
            self.optimizer,
            self.epoch,
            self.args.update_every,
            self.args.print_freq,
        )
        self.epoch += 1
        return loss

    def validate(self, dataset):
        """Average loss of a tuple of the validation set, after the epoch just trained."""
        loader = self._loader(dataset, shuffle=False)
        return validate(loader, self.net, self.criterion, self.epoch - 1, self.args.print_freq)

    def _loader(self, dataset, shuffle):
        return DataLoader(
            dataset,
            batch_size=self.args.batch_size,
            shuffle=shuffle,
            num_workers=self.args.workers,
            pin_memory=self.device.type == "cuda",
            drop_last=True,
            collate_fn=collate_tuples,
        )

    def save(self, directory, loss):
        """Write ``model_epochN.pth.tar``, and ``model_best.pth.tar`` where ``loss`` is the best."""
        is_best = loss < self.min_loss
        self.min_loss = min(loss, self.min_loss)
        checkpoint = {
            "epoch": self.epoch,
            "meta": self.net.meta,
            "state_dict": self.net.state_dict(),
            "min_loss": self.min_loss,
            "optimizer": self.optimizer.state_dict(),
        }
        save_checkpoint(checkpoint, is_best, directory)

    def resume(self, path):
        """Go on from a checkpoint of :meth:`save`."""
        print(f">> Loading checkpoint:\n>> '{path}'")
        checkpoint = load_weights(path)
        missing = {"epoch", "state_dict", "min_loss", "optimizer"} - set(checkpoint)
        if missing:
            raise DataError(f"{path}: cannot go on from it, it lacks {', '.join(sorted(missing))}")
        load_state(self.net, checkpoint["state_dict"], path)
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.epoch, self.min_loss = checkpoint["epoch"], checkpoint["min_loss"]


def _optimizer(net, args):
    groups = net.parameter_groups({"lr": args.lr})
    if args.pool == "gemmp" and not args.regional:
        # the program learns exponents of channels faster still
        exponents = net.pool.p
        for group in groups:
            if any(parameter is exponents for parameter in group["params"]):
                group["lr"] = args.lr * _GEMMP_SPEED
    if args.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups, args.lr, momentum=args.momentum, weight_decay=args.weight_decay
        )
    else:
        optimizer = torch.optim.Adam(groups, args.lr, weight_decay=args.weight_decay)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer
