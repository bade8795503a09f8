"""What OSSCo's published code leaves of a round's translators: losses, pictures and networks."""

import csv
import io
from pathlib import Path

import torch
from PIL import Image

from cirtorch.utils.files import atomic_write
from mdir.artifacts import write_bytes
from mdir.networks.files import write_tensors

COLUMNS = ("iter", "train_fg_loss", "train_dfs_loss", "train_dgs_loss", "iteration")


class RunningLosses:
    """Means of the losses fg, df and dg since the round's start, a row every ``interval`` steps.

    A row is as :data:`COLUMNS`: its number, the means, and the steps so far (a column of ours).
    """

    def __init__(self, interval: int, device="cpu"):
        self.interval, self.steps, self.rows = interval, 0, []
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, losses: dict) -> None:
        """Take the losses of a step, scalar tensors by name."""
        self.sums += torch.stack([losses[name].double() for name in ("fg", "df", "dg")])
        self.steps += 1
        if self.steps % self.interval == 0:
            means = (self.sums / self.steps).tolist()
            self.rows.append([len(self.rows) + 1, *means, self.steps])

    def state_dict(self) -> dict:
        """Sums, count and rows."""
        return {"sums": self.sums, "steps": self.steps, "rows": self.rows}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`."""
        self.sums = state["sums"].to(self.sums.device)
        self.steps, self.rows = state["steps"], [list(row) for row in state["rows"]]


def write_round(folder: Path, rows: list, dataset, styles: list[int], gans, pictures=None) -> None:
    """Write ``results.csv``, the style images, their networks and restyled pictures.

    Every file appears whole or not at all; a second call replaces them by equal ones.

    Args:
        folder: of the round.
        rows: of :class:`RunningLosses`.
        dataset: the two-domain dataset of the styles.
        styles: their indices, in the order of the networks.
        gans: an iterable of :class:`mdir.methods.contrastive.style_gans.StyleGAN`.
        pictures: a two-domain dataset whose images are restyled, to be looked at; None: none.
    """
    for leftover in folder.rglob(".*.tmp"):  # of a call that was killed
        leftover.unlink()
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_bytes(folder / "results.csv", text.getvalue().encode())
    translators = {}
    for style, gan in zip(styles, gans, strict=True):
        file, domain = Path(dataset.files[style]), _domain(dataset, style)
        name = f"{domain}_{file.name.partition('.')[0]}"
        write_bytes(folder / f"{domain}_{file.name}", file.read_bytes())
        for part, network in gan.named_children():
            write_tensors(folder / f"{name}_{part}.pth", network.state_dict())
        translators[name] = gan.F
    if pictures is not None:
        _write_pictures(folder, translators, pictures)


def _write_pictures(folder, translators, dataset):
    """Each picture by each translator; too many to be told to the journal one by one."""
    for index, file in enumerate(map(Path, dataset.files)):
        image = dataset.view(index)[None]
        for name, translator in translators.items():
            place = folder / name / f"{_domain(dataset, index)}_{file.name}"
            with atomic_write(place) as output:
                picture = _picture(translator, image)
                picture.save(output, Image.registered_extensions()[file.suffix.lower()])


@torch.no_grad()
def _picture(translator, image):
    """PIL image of a translation (1, 3, H, W), 8-bit, rounded as torchvision's."""
    restyled = translator(image.to(next(translator.parameters()).device))[0]
    pixels = ((restyled + 1) / 2 * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _domain(dataset, index):
    return dataset.domains[dataset.domain_of[index]]
