"""OSSCo (leftthomas/OSSCo): contrast of views and of a view restyled by single-image CycleGANs."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch.utils.data import Dataset

from mdir.data.streams import Stream
from mdir.errors import UserError
from mdir.methods.contrastive.style_gans import RunningLosses, StyleGANs, Translators
from mdir.methods.contrastive.views import ViewsMethod, forward_views
from mdir.registry import Problem, Section, register, schema
from mdir.registry.ranges import at_least

LOSSES = ("total", "contrastive", "fg", "df", "dg")


@dataclass(frozen=True)
class Phase:
    """Where an epoch lies: which round, translating or contrasting, and since which epoch."""

    round: int
    translates: bool
    first_epoch: int


@dataclass(frozen=True)
class TranslatedRound:
    """A round whose translators are trained.

    Attributes:
        number: of the round, from 1.
        rows: of :class:`RunningLosses`.
        dataset: the two-domain dataset of the styles.
        styles: their indices, in the order of the networks.
        gans: an iterable of :class:`mdir.methods.contrastive.style_gans.StyleGAN`.
        preprocessing: transforms of the encoder's images, as its ``runtime.data``.
    """

    number: int
    rows: list
    dataset: Dataset
    styles: list[int]
    gans: Iterable
    preprocessing: dict | None


def _check_epochs(section):
    """Epochs are whole in both phases, and as many as the rounds take."""
    fields = schema(OSSCo)[0]
    given = {name: section.get(name, field.default) for name, field in fields.items()}
    interval, uneven = given["interval"], False
    for name in ("gan_iter", "total_iter"):
        if given[name] % interval:
            uneven = True
            message = f"expected a multiple of the interval {interval}, got {given[name]}"
            yield Problem((name,), message)
    iterations = given["rounds"] * (given["gan_iter"] + given["total_iter"])
    wanted = iterations // interval
    if not uneven and given["epochs"] not in (None, wanted):
        message = (
            f"{given['rounds']} rounds of {given['gan_iter']} + {given['total_iter']} "
            f"iterations take {wanted} epochs of {interval}, got {given['epochs']}; set the "
            f"training's epochs (00_settings.ossco_epochs in scenarios/ossco) to {wanted}"
        )
        yield Problem(("epochs",), message)


@register("method", "ossco", check=_check_epochs)
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

    At the end of phase 1 the translators are handed on as a :class:`TranslatedRound`; what only
    their training needs is dropped, so that checkpoints of phase 2 hold the generators F alone.

    Args:
        rounds, style_num, gan_iter, total_iter: as published.
        interval: iterations of an epoch; divides both counts.
        epochs: of the training, to be compared with what the rounds take; null: not compared, the
            training may stop in between.
        blocks, filters: size of the translators.
        cycle_weight: of their cycle loss.
        pool_size: of their replay buffers.
        directory, pictures: of the processor ``style_rounds``, which keeps the rounds as files;
            null: no files, or no restyled images among them.
    """

    views, criterion_name, keeps_preparation = 3, "ossco", True

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        data=None,
        *,
        rounds: Annotated[int, at_least(1)] = 3,
        style_num: Annotated[int, at_least(1)] = 8,
        gan_iter: Annotated[int, at_least(1)] = 4000,
        total_iter: Annotated[int, at_least(1)] = 10000,
        interval: Annotated[int, at_least(1)] = 100,
        epochs: int | None = None,
        blocks: Annotated[int, at_least(0)] = 9,
        filters: Annotated[int, at_least(1)] = 32,
        cycle_weight: float = 10,
        pool_size: int = 50,
        directory: str | None = None,
        pictures: Annotated[dict, Section("dataset")] | None = None,
    ):
        super().__init__(network, optimizer, criterion, data)
        self.rounds, self.style_num, self.gan_iter = rounds, style_num, gan_iter
        self.interval = interval
        self.epochs = {True: gan_iter // interval, False: total_iter // interval}
        self.size = {"blocks": blocks, "filters": filters}
        self.gan_options = {**self.size, "cycle_weight": cycle_weight, "pool_size": pool_size}
        if directory:
            self.processors = {"style_rounds": {"directory": directory, "pictures": pictures}}
        self.styles, self.gans, self.log, self.translators = [], None, None, None
        self._last, self._finished = None, None

    @property
    def translates(self) -> bool:
        """Whether the epoch that is prepared is one of phase 1."""
        return self.gans is not None

    def phase(self, epoch: int) -> Phase:
        """The phase of an epoch (from 0)."""
        length = self.epochs[True] + self.epochs[False]
        number, within = divmod(epoch, length)
        translates = within < self.epochs[True]
        first = number * length + (0 if translates else self.epochs[True])
        return Phase(number, translates, first)

    def prepare_epoch(self, dataset, epoch):
        phase = self.phase(epoch)
        self._check_epoch(phase, epoch)
        if epoch == phase.first_epoch and phase.translates:
            self._start_round(self._draw_styles(dataset))
        elif epoch == phase.first_epoch:
            self._end_translation(dataset, phase)
        return {"round": phase.round}

    def _check_epoch(self, phase, epoch):
        """Refuse a training whose epochs are not those of the rounds."""
        length = sum(self.epochs.values())
        if phase.round >= self.rounds:
            raise UserError(f"rounds: {self.rounds} take {self.rounds * length} epochs, "
                            "the training's epochs are more")  # fmt: skip
        expected = epoch % length * self.interval
        if self.gans is not None and self.gans.done != expected:
            raise UserError(
                f"interval: {self.interval} iterations, but the training's epochs have others "
                f"({self.gans.done} done, not {expected}); epoch_iterations must be the interval"
            )

    def _draw_styles(self, dataset):
        if len(dataset) <= self.style_num:
            message = f"style_num: {self.style_num} styles asked of {len(dataset)} images"
            raise UserError(f"{message}, which leaves none to translate")
        return random.sample(range(len(dataset)), self.style_num)

    def _start_round(self, styles):
        self.styles = sorted(styles, reverse=True)
        self.gans = StyleGANs(
            len(self.styles), self.gan_iter, device=self.device, **self.gan_options
        )
        self.translators = self.gans.translators()
        self.log = RunningLosses(self.interval, self.device)

    def _end_translation(self, dataset, phase):
        """Hand the translators on and keep the generators F alone."""
        self._finished = TranslatedRound(
            phase.round + 1,
            self.log.rows,
            dataset,
            self.styles,
            self.gans.gans,
            self.network.preprocessing,
        )
        self.gans = self.log = self._last = None

    def results(self):
        finished, self._finished = self._finished, None
        return finished

    def epoch_data(self, streams, epoch):
        phase, (stream,) = self.phase(epoch), streams
        dataset, section = stream.dataset, stream.section
        if phase.translates:
            loader = {**(section.get("loader") or {}), "batch_size": 1}
            dataset, section = ContentAndStyles(dataset, self.styles), {**section, "loader": loader}
        return [Stream(dataset, section, phase.first_epoch)]

    def validates(self, epoch):
        return not self.phase(epoch).translates

    def step(self, batch):
        if self.translates:
            content, styles = batch
            self._last = content, styles
            losses = _mean(self.gans.step(content, styles))
            self.log.add(losses)
            return self._named(**losses)
        views, about = batch
        losses = super().step(([*views[:2], self.restyle(views[2])], about))
        return self._named(contrastive=losses["total"])

    def loss(self, views, about):
        projections = [projection for _, projection in forward_views(self.network, views)]
        return self.criterion(*projections)

    def restyle(self, views):
        """Each image (B, 3, H, W) in a style drawn for it; the published draw with replacement."""
        return self.translators.restyle(views, torch.randint(len(self.styles), (len(views),)))

    def _named(self, **losses):
        """All names in both phases, as the log wants it; the others are not a number."""
        total = losses.get("contrastive", losses.get("fg"))
        return {name: losses.get(name, float("nan")) for name in LOSSES} | {"total": total}

    @torch.no_grad()
    def samples(self):
        if not self.translates:
            return {}
        content, styles = self._last
        restyled = self.translators.restyle(content, torch.zeros(1, dtype=torch.long))
        return {"content": content, "style": styles[0], "restyled": restyled}

    def state_dict(self):
        if self.gans is not None:
            training = {"gans": self.gans.state_dict(), "log": self.log.state_dict()}
            return {"styles": self.styles, **training}
        if self.translators is not None:
            return {"styles": self.styles, "translators": self.translators.state_dict()}
        return {}

    def load_state_dict(self, state):
        if "gans" in state:
            self._start_round(state["styles"])
            self.gans.load_state_dict(state["gans"])
            self.log.load_state_dict(state["log"])
        elif "translators" in state:
            self.styles = state["styles"]
            self.translators = Translators.untrained(len(self.styles), **self.size)
            self.translators.to(self.device).load_state_dict(state["translators"])


class ContentAndStyles(Dataset):
    """An item is one content image and a fresh view of every style image.

    Args:
        dataset: a two-domain dataset, whose first view is taken.
        styles: indices of the style images, which are not content.
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
