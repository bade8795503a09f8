"""Translations to look at (published project: gandtr)."""

import os
import time
from collections import Counter
from typing import Annotated

from mdir.registry import Section, register
from mdir.scores.result import ScoreResult
from mdir.scores.translations import ImageSource, choose_generator, to_unit_range, translate


@register("score", "visual")
class VisualScore:
    """Translates every image of a folder and shows the results; there is no number.

    A translation bears the name of its image, with the suffix where two differ by that alone; the
    image itself, as the network takes it, stands before it as ``NAME/input``.

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
        shown, labels = {}, labels_of(self.source.names)
        for names, images in self.source.images(generator):
            translations = to_unit_range(translate(generator, images, names), mean_std).cpu()
            originals = to_unit_range(images, mean_std).cpu()
            for name, original, translation in zip(names, originals, translations, strict=True):
                label = labels[name]
                shown[f"{label}/input"], shown[label] = original, translation
        spent = time.time() - begin
        return ScoreResult(images=shown, timings={"visual": spent, "total_s": spent})


def labels_of(names: list[str]) -> dict[str, str]:
    """Names without their suffix, or with it where that leaves another's."""
    stems = [os.path.splitext(name)[0] for name in names]
    taken = Counter([*names, *stems])
    return {n: s if taken[s] == 1 else n for n, s in zip(names, stems, strict=True)}
