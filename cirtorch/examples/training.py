"""The training loop of the published program: tuples one by one, gradients summed over a batch."""

import math
import os
import time

import numpy as np
import torch
from torch.utils.data import DataLoader

from cirtorch.datasets.datahelpers import collate_tuples
from cirtorch.layers.loss import ContrastiveLoss, TripletLoss
from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_state, load_weights, save_weights

LOSSES = {"contrastive": ContrastiveLoss, "triplet": TripletLoss}
_DECAY = math.exp(-0.01)
_GEMMP_SPEED = 100


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
        dataset.create_epoch_tuples(self.net)
        self.net.train()
        loader = self._loader(dataset, shuffle=True)
        losses, start = [], time.time()
        self.optimizer.zero_grad()
        for i, (tuples, targets) in enumerate(loader):
            for images, target in zip(tuples, targets, strict=True):
                loss = self.criterion(self._embed(images), target.to(self.device))
                losses.append(loss.item())
                loss.backward()
            if (i + 1) % self.args.update_every == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()
            self._print("Train", i, len(loader), losses, start)
        self.epoch += 1
        return sum(losses) / max(len(losses), 1)

    def validate(self, dataset):
        """Average loss of a tuple of the validation set."""
        dataset.create_epoch_tuples(self.net)
        self.net.eval()
        loader = self._loader(dataset, shuffle=False)
        losses, start = [], time.time()
        with torch.no_grad():
            for i, (tuples, targets) in enumerate(loader):
                for images, target in zip(tuples, targets, strict=True):
                    loss = self.criterion(self._embed(images), target.to(self.device))
                    losses.append(loss.item())
                self._print("Val", i, len(loader), losses, start)
        return sum(losses) / max(len(losses), 1)

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

    def _embed(self, images):
        """Descriptors ``[D, N]``; images of one size go through the network together."""
        sizes = {}
        for position, image in enumerate(images):
            sizes.setdefault(image.shape, []).append(position)
        columns = [
            self.net(torch.cat([images[i] for i in positions]).to(self.device))
            for positions in sizes.values()
        ]
        order = torch.tensor([i for positions in sizes.values() for i in positions])
        return torch.cat(columns, dim=1)[:, order.argsort().to(self.device)]

    def _print(self, stage, i, count, losses, start):
        if (i + 1) % self.args.print_freq == 0 or i == 0 or i + 1 == count:
            print(
                f">> {stage}: [{self.epoch + (stage == 'Train')}][{i + 1}/{count}]\t"
                f"Time {(time.time() - start) / (i + 1):.3f}\t"
                f"Loss {losses[-1]:.4f} ({sum(losses) / len(losses):.4f})"
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
        names = [f"model_epoch{self.epoch}.pth.tar"] + ["model_best.pth.tar"] * is_best
        for name in names:
            save_weights(checkpoint, os.path.join(directory, name))

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
