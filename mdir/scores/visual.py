"""Translations to look at (published project: gandtr)."""

import os
import time
from typing import Annotated

from mdir.registry import Section, register
from mdir.scores.result import ScoreResult
from mdir.scores.translations import ImageSource, choose_generator, to_unit_range, translate


@register("score", "visual")
class VisualScore:
    """Translates every image of a folder and shows the results; there is no number.

    A translation bears the name of its image; the image itself, as the network takes it, stands
    before it as ``NAME/input``.

    Args:
        data: data section (``InferImageList``); every image file of ``image_dir`` is taken.
        net_name: the member that translates; null: ``generator_X``, else ``generator``.
    """

    decisive = None

    def __init__(self, *, data: Annotated[dict, Section("data")], net_name: str | None = None):
        self.source, self.net_name = ImageSource(data), net_name

    def __call__(self, network) -> ScoreResult:
        begin = time.time()
        generator = choose_generator(network, self.net_name).eval()
        mean_std = self.source.section(generator)["mean_std"]
        shown = {}
        for names, images in self.source.images(generator):
            translations = to_unit_range(translate(generator, images, names), mean_std).cpu()
            originals = to_unit_range(images, mean_std).cpu()
            for name, original, translation in zip(names, originals, translations, strict=True):
                label = os.path.splitext(name)[0]
                shown[f"{label}/input"], shown[label] = original, translation
        spent = time.time() - begin
        return ScoreResult(images=shown, timings={"visual": spent, "total_s": spent})
