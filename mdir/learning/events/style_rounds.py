"""What OSSCo's published code leaves of a round's translators: losses, images and networks."""

from pathlib import Path
from typing import Annotated

import torch
from PIL import Image

from cirtorch.utils.files import atomic_write
from mdir.artifacts import write_bytes
from mdir.data.loading import make_dataset
from mdir.data.table_files import csv_text
from mdir.learning.events.processor import Processor
from mdir.methods.contrastive.ossco import TranslatedRound
from mdir.networks.files import write_tensors
from mdir.paths import resolve_path
from mdir.registry import Section, register

COLUMNS = ("iter", "train_fg_loss", "train_dfs_loss", "train_dgs_loss", "iteration")


@register("processor", "style_rounds")
class StyleRounds(Processor):
    """``round-R`` with the losses, the style images, their networks, and images in every style.

    Every file appears whole or not at all; a round that comes again replaces them by equal ones.

    Args:
        directory: of the rounds.
        pictures: a two-domain dataset whose images are restyled, to be looked at; null: none.
    """

    def __init__(
        self, folder, *, directory: str, pictures: Annotated[dict, Section("dataset")] | None = None
    ):
        self.directory, self.pictures = Path(resolve_path(directory)), pictures

    def result(self, result):
        if isinstance(result, TranslatedRound):
            self._write(self.directory / f"round-{result.number}", result)

    def _write(self, folder, done):
        for leftover in folder.rglob(".*.tmp"):  # of a call that was killed
            leftover.unlink()
        write_bytes(folder / "results.csv", csv_text([COLUMNS, *done.rows]).encode())
        translators = {}
        for style, gan in zip(done.styles, done.gans, strict=True):
            file, domain = Path(done.dataset.files[style]), _domain(done.dataset, style)
            name = f"{domain}_{file.name.partition('.')[0]}"
            write_bytes(folder / f"{domain}_{file.name}", file.read_bytes())
            for part, network in gan.named_children():
                write_tensors(folder / f"{name}_{part}.pth", network.state_dict())
            translators[name] = gan.F
        if self.pictures is not None:
            images = make_dataset({"dataset": self.pictures}, done.preprocessing)
            _write_images(folder, translators, images)


def _write_images(folder, translators, dataset):
    """Each image by each translator; too many to be told to the journal one by one."""
    for index, file in enumerate(map(Path, dataset.files)):
        image = dataset.view(index)[None]
        for name, translator in translators.items():
            place = folder / name / f"{_domain(dataset, index)}_{file.name}"
            with atomic_write(place) as output:
                kind = Image.registered_extensions()[file.suffix.lower()]
                _restyled(translator, image).save(output, kind)


@torch.no_grad()
def _restyled(translator, image):
    """PIL image of a translation (1, 3, H, W), 8-bit, rounded as torchvision's."""
    restyled = translator(image.to(next(translator.parameters()).device))[0]
    pixels = ((restyled + 1) / 2 * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _domain(dataset, index):
    return dataset.domains[dataset.domain_of[index]]
