"""The training loop of every method.

What a killed and resumed run repeats exactly: an epoch begins by seeding all random generators,
a sample's random numbers derive from seed, epoch and index, and a checkpoint is complete when its
last file stands. In the middle of an epoch the state of the generators is kept with all others.
"""

import math
import time

import torch

from mdir.errors import UserError
from mdir.learning.checkpoints.within import Position
from mdir.learning.compute import leaves
from mdir.learning.events.samples import image_blobs
from mdir.learning.seeding import seed_epoch

SAMPLES_EVERY = 5  # epochs


def run_epochs(run) -> None:
    """Train from ``run.start`` to the last epoch.

    Args:
        run: has ``training``, ``validation``, ``events``, ``start`` (epochs done already),
            ``position`` in the next epoch (None: at its beginning), ``step_done(epoch, position)``
            and ``save(epoch, best)``.

    Raises:
        UserError: weights are infinite or NaN after an epoch; it is not saved.
    """
    training, events, decisive = run.training, run.events, run.validation.decisive_criterion
    training.scheduler.apply(run.start)
    events.begin(training.epochs)
    for epoch in range(run.start, training.epochs):
        position = run.position if epoch == run.start else None
        train_epoch(run, epoch, position or begin_epoch(training, events, epoch))
        require_finite(training.optimizer, events, epoch)
        for validation in run.validation.members:
            last = epoch + 1 == training.epochs
            if validation.is_due(epoch, last) and training.method.validates(epoch):
                validation.run(events, epoch)
        training.scheduler.apply(epoch + 1)
        events.close_epoch()
        ties = run.validation.ties_are_best
        run.save(epoch, events.metrics.is_last_best(decisive, ties))


def begin_epoch(training, events, epoch: int) -> Position:
    """Seed all generators and let the method prepare its data."""
    seed, method = seed_epoch(training.seed, epoch), training.method
    training.network.eval()
    begin = time.time()
    told = method.prepare_epoch(training.dataset, epoch) or {}
    events.hand_on(method.results())
    spent = {name: value for name, value in told.items() if name.endswith("_s")}
    mined = {name: value for name, value in told.items() if name not in spent}
    if mined:
        events.register(epoch, None, None, "train/learning/data_mining", mined, "scalar/loss")
    spent["prepare_data"] = time.time() - begin
    events.register(epoch, None, None, "train/learning/prepare_epoch", spent, "scalar/time")
    return Position(seed)


def train_epoch(run, epoch: int, position: Position) -> None:
    """One pass over the training data, or what is left of it."""
    training, events = run.training, run.events
    network, done = training.network, position.iteration
    network.train()

    loader = training.loader(position.seed, epoch, done)
    size = done + len(loader)
    if epoch == done == 0:
        log_weights(network, events, epoch, -1, size)
    begin = time.time()
    for iteration, batch in enumerate(loader, done):
        loaded = time.time()
        losses = training.step(batch)
        stepped = time.time()
        events.register(epoch, iteration, size, "train/learning/loss", losses, "scalar/loss")
        if are_samples_due(epoch, iteration, size):
            log_samples(training, events, epoch, iteration, size)
        if iteration == size - 1:
            log_weights(network, events, epoch, iteration, size)
        spent = {
            "prepare_data": loaded - begin,
            "process_batch": stepped - loaded,
            "take_statistics": time.time() - stepped,
        }
        events.register(epoch, iteration, size, "train/learning/iteration", spent, "scalar/time")
        run.step_done(epoch, Position(position.seed, iteration + 1))
        begin = time.time()
    training.end_epoch()
    events.hand_on(training.method.results())


def require_finite(optimizer, events, epoch: int) -> None:
    """Refuse to go on with trained weights that are infinite or not a number.

    Such losses alone are not a reason: single batches may be left out of the means.

    Raises:
        UserError: tells since when the losses have been so, too.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    sound = [weight.detach().isfinite().all() for weight in weights]
    if torch.stack([one.to(sound[0].device) for one in sound]).all():
        return
    totals = events.values("train/learning/loss", "total")
    raise UserError(
        f"epoch {epoch + 1}: {_what_diverged(totals)}. Nothing of this epoch is kept, earlier "
        "checkpoints stay as they are; a lower learning rate may help"
    )


def _what_diverged(totals):
    finite = [place for place, total in enumerate(totals) if math.isfinite(total)]
    first = finite[-1] + 1 if finite else 0
    if first == len(totals):
        return "weights of the network are no longer finite numbers"
    return f"the loss 'total' is {totals[-1]} since iteration {first + 1} of {len(totals)}"


def are_samples_due(epoch: int, iteration: int, size: int) -> bool:
    """The first iteration of all, and the last one of every fifth epoch."""
    if iteration == size - 1 and (epoch + 1) % SAMPLES_EVERY == 0:
        return True
    return epoch == 0 and iteration == 0


def log_samples(training, events, epoch: int, iteration: int, size: int) -> None:
    """Images of what the last step saw and made."""
    for label, value in training.method.samples().items():
        blobs = image_blobs(value, training.mean_std)
        if blobs:
            events.register(epoch, iteration, size, f"train/data/{label}", blobs, "blob")


def log_weights(network, events, epoch: int, iteration: int, size: int) -> None:
    """Histograms of all parameters of every single network."""
    for name, single in leaves(network).items():
        weights = {key: value for key, value in single.named_parameters() if value.numel()}
        if weights:
            key = f"train/{name}/params"
            events.register(epoch, iteration, size, key, weights, "weight/param")
