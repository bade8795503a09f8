"""OSSCo (leftthomas/OSSCo): contrast of views and of a view restyled by single-image CycleGANs."""

import random
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from mdir.errors import UserError
from mdir.methods.style_gans import StyleGANs
from mdir.methods.views import ViewsMethod, forward_views
from mdir.registry import register

LOSSES = ("total", "contrastive", "fg", "df", "dg")


@dataclass(frozen=True)
class Phase:
    """Where an epoch lies: which round, translating or contrasting, and since which epoch."""

    round: int
    translates: bool
    first_epoch: int


@register("method", "ossco")
class OSSCo(ViewsMethod):
    """Rounds of two phases each. Criterion: ``ossco``; views: three of the original.

    1. draw ``style_num`` images of both domains as styles; for each train a small CycleGAN between
       it and the other images, ``gan_iter`` iterations
    2. train the encoder for ``total_iter`` iterations: views 1 and 2 against each other, and view 1
       against view 3 restyled by a translator drawn for each sample

    The encoder, its optimizer and its best score live on through the rounds. An epoch of the loop
    is ``interval`` iterations in both phases (``epoch_iterations`` of the training), so a run has
    ``rounds * (gan_iter + total_iter) / interval`` epochs, and one that is killed goes on at the
    epoch it was in, also in the middle of a phase. Nothing is validated in phase 1, which leaves
    the encoder as it is.

    Args:
        rounds, style_num, gan_iter, total_iter: as published.
        interval: iterations of an epoch; divides both counts.
        blocks, filters: size of the translators.
        cycle_weight: of their cycle loss.
        pool_size: of their replay buffers.
    """

    views, criterion_name = 3, "ossco"

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        *,
        rounds: int = 3,
        style_num: int = 8,
        gan_iter: int = 4000,
        total_iter: int = 10000,
        interval: int = 100,
        blocks: int = 9,
        filters: int = 32,
        cycle_weight: float = 10,
        pool_size: int = 50,
    ):
        super().__init__(network, optimizer, criterion)
        self.rounds, self.style_num, self.gan_iter = rounds, style_num, gan_iter
        self.epochs = {True: gan_iter // interval, False: total_iter // interval}
        self.gan_options = {
            "blocks": blocks,
            "filters": filters,
            "cycle_weight": cycle_weight,
            "pool_size": pool_size,
        }
        self.gans, self.styles, self.translates, self._last = None, [], False, None

    def phase(self, epoch: int) -> Phase:
        """The phase of an epoch (from 0)."""
        length = self.epochs[True] + self.epochs[False]
        number, within = divmod(epoch, length)
        translates = within < self.epochs[True]
        first = number * length + (0 if translates else self.epochs[True])
        return Phase(number, translates, first)

    def prepare_epoch(self, dataset, epoch):
        phase = self.phase(epoch)
        self.translates = phase.translates
        if phase.translates and epoch == phase.first_epoch:
            if len(dataset) <= self.style_num:
                raise UserError(f"{self.style_num} styles asked of {len(dataset)} images")
            self._start_round(random.sample(range(len(dataset)), self.style_num))
        return {"round": phase.round}

    def _start_round(self, styles):
        self.styles = sorted(styles, reverse=True)
        self.gans = StyleGANs(
            len(self.styles), self.gan_iter, device=self.device, **self.gan_options
        )

    def epoch_data(self, dataset, section, epoch):
        phase = self.phase(epoch)
        if phase.translates:
            loader = {**(section.get("loader") or {}), "batch_size": 1}
            dataset, section = ContentAndStyles(dataset, self.styles), {**section, "loader": loader}
        return dataset, section, phase.first_epoch

    def validates(self, epoch):
        return not self.phase(epoch).translates

    def step(self, batch):
        if self.translates:
            content, styles = batch
            self._last = content, styles
            return self._named(**_mean(self.gans.step(content, styles)))
        views, about = batch
        losses = super().step(([*views[:2], self.restyle(views[2])], about))
        return self._named(contrastive=losses["total"])

    def loss(self, views, about):
        projections = [projection for _, projection in forward_views(self.network, views)]
        return self.criterion(*projections)

    def restyle(self, views):
        """Each image (B, 3, H, W) in a style drawn for it; the published draw with replacement."""
        return self.gans.restyle(views, torch.randint(len(self.styles), (len(views),)))

    def _named(self, **losses):
        """All names in both phases, as the log wants it; the others are not a number."""
        total = losses.get("contrastive", losses.get("fg"))
        return {name: losses.get(name, float("nan")) for name in LOSSES} | {"total": total}

    @torch.no_grad()
    def samples(self):
        if not self.translates:
            return {}
        content, styles = self._last
        restyled = self.gans.restyle(content, torch.zeros(1, dtype=torch.long))
        return {"content": content, "style": styles[0], "restyled": restyled}

    def state_dict(self):
        if self.gans is None:
            return {}
        return {"styles": self.styles, "gans": self.gans.state_dict()}

    def load_state_dict(self, state):
        if state:
            self._start_round(state["styles"])
            self.gans.load_state_dict(state["gans"])


class ContentAndStyles(Dataset):
    """An item is one content image and a fresh view of every style image.

    Args:
        dataset: a two-domain dataset, whose first view is taken.
        styles: indices of the style images, which are no content.
    """

    def __init__(self, dataset, styles):
        self.dataset, self.styles = dataset, list(styles)
        self.contents = sorted(set(range(len(dataset))) - set(styles))

    def __len__(self):
        return len(self.contents)

    def __getitem__(self, index):
        content = self.dataset.view(self.contents[index])
        return content, [self.dataset.view(style) for style in self.styles]


def _mean(losses):
    """Over the styles, of what the log keeps."""
    return {name: torch.stack([one[name] for one in losses]).mean() for name in LOSSES[2:]}
