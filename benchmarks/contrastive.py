"""Memory bank, queue and pair losses against the published way, as ratios of one run.

    python -m benchmarks.contrastive [NAME ...] [--images 6000] [--dimensions 128] [--steps 20]

The twins gather (B, negatives + 1, D) rows of the bank, copy the whole queue in every step, and
take a full matrix of exponentials for each pair of views. Losses are compared first; steps
alternate, so that a busy machine slows both sides down alike.
"""

import sys
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks import running
from benchmarks.measuring import Work, compare, flops_of
from benchmarks.running import Case
from mdir.losses.moco import MoCoLoss
from mdir.losses.npid import NPIDLoss
from mdir.losses.simclr import DaCoLoss

TEMPERATURE, NEGATIVES, BATCH = 0.1, 4096, 64


class SlowNPID:
    """Gathers every compared row of the bank."""

    def __init__(self, bank):
        self.bank, self.z = bank.clone(), None

    def __call__(self, proj, positives, index):
        rows = self.bank.index_select(0, index.flatten()).view(*index.shape, -1)
        estimates = (torch.bmm(rows, proj[:, :, None])[..., 0] / TEMPERATURE).exp()
        if self.z is None:
            self.z = estimates.detach().mean().item() * len(self.bank)
        chances, noise = estimates / self.z, NEGATIVES / len(self.bank)
        kept = (chances[:, 0] / (chances[:, 0] + noise)).log().sum()
        refused = (noise / (chances[:, 1:] + noise)).log().sum()
        return -(kept + refused) / len(proj)


class SlowMoCo:
    """Joins queue and keys and cuts the rest off, in every step."""

    def __init__(self, queue):
        self.queue = queue.clone()

    def __call__(self, query, key):
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ self.queue.T], 1)
        loss = F.cross_entropy(logits / TEMPERATURE, torch.zeros(len(query), dtype=torch.long))
        self.queue = torch.cat([self.queue, key.detach()])[-len(self.queue) :].clone()
        return loss


def slow_daco(*views):
    """Four published SimCLR losses."""

    def pair(p, q):
        rows = torch.cat([p, q])
        exponentials = (rows @ rows.T / TEMPERATURE).exp()
        mask = ~torch.eye(len(rows), dtype=torch.bool)
        denominators = exponentials.masked_select(mask).view(len(rows), -1).sum(1)
        positive = ((p * q).sum(1) / TEMPERATURE).exp().repeat(2)
        return -(positive / denominators).log().mean()

    o1, o2, g1, g2 = views
    return pair(o1, o2) + pair(g1, g2) + 0.8 * (pair(o1, g1) + pair(o1, g2))


def unit(*shape):
    """Random unit rows."""
    return F.normalize(torch.randn(*shape), dim=-1)


def contests(images, dimensions):
    """Name -> (our step, the twin's step, bytes of what they are given).

    Steps are functions of nothing that return the loss's value.
    """
    npid = NPIDLoss(temperature=TEMPERATURE, negs=NEGATIVES)
    npid.bank = unit(images, dimensions)
    slow_npid = SlowNPID(npid.bank)
    positives = torch.arange(BATCH)
    index, proj = npid.draw(positives), unit(BATCH, dimensions).requires_grad_()
    moco = MoCoLoss(temperature=TEMPERATURE, negs=NEGATIVES)
    moco.set_queue(unit(NEGATIVES, dimensions))
    slow_moco, key = SlowMoCo(moco.queue), unit(BATCH, dimensions)

    def our_moco():
        loss = learn(moco(proj, key))
        moco.enqueue(key)
        return loss

    views = [unit(BATCH, dimensions).requires_grad_() for _ in range(4)]
    daco = DaCoLoss(temperature=TEMPERATURE)
    return {
        "npid": (
            lambda: learn(npid(proj, positives, index)),
            lambda: learn(slow_npid(proj, positives, index)),
            npid.bank.nbytes + index.nbytes,
        ),
        "moco": (our_moco, lambda: learn(slow_moco(proj, key)), moco.queue.nbytes),
        "daco": (
            lambda: learn(daco(*views)),
            lambda: learn(slow_daco(*views)),
            sum(view.nbytes for view in views),
        ),
    }


def learn(loss):
    """Gradients, then the loss as a number."""
    loss.backward()
    return loss.item()


def step(bench, name, images=6000, dimensions=128, steps=20):
    """A loss with its gradient beside the published one."""
    images = max(BATCH, int(images * bench.scale))
    torch.manual_seed(0)
    ours, plain, nbytes = contests(images, dimensions)[name]
    work = Work(flops_of(ours), nbytes)
    plain()  # as many steps as ours
    words = f"{images} images, {NEGATIVES} negatives, {dimensions} dimensions, batch {BATCH}"
    return compare(bench, words, plain, ours, lambda a, b: abs(a - b), work, steps)


def cases(**options):
    """One for each loss; options as of :func:`step`."""
    names = ("npid", "moco", "daco")
    return [Case(f"contrastive.{name}", partial(step, **options), None, (name,)) for name in names]


def main(arguments=None):
    """Run the losses that are named; returns the results."""
    parser = running.command_line("benchmarks.contrastive", __doc__, "npid, moco, daco")
    parser.add_argument("--images", type=int, default=6000, help="rows of the memory bank")
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(arguments)
    chosen = {name: getattr(options, name) for name in ("images", "dimensions", "steps")}
    return running.main(parser, options, cases(**chosen), "contrastive")


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
