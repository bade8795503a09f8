"""What an epoch takes for the identities of its images, for the page of a scenario."""

import json

from mdir.artifacts import write_bytes
from mdir.data.image_files import as_seen
from mdir.learning.events.processor import Processor
from mdir.methods.pseudo_labels import PseudoLabels
from mdir.registry import register


@register("processor", "clusters")
class Clusters(Processor):
    """``clusters.json`` beside the checkpoints: the labels of the newest epoch.

    ``epoch`` counts from 1; ``images`` are dicts of ``path``, ``label`` (negative: left out) and
    ``identity`` as the data set has it, None in one that tells no two apart; ``upright``, where it
    is true, that they were turned as their EXIF says.
    """

    def __init__(self, folder):
        self.folder = folder

    def result(self, result):
        if isinstance(result, PseudoLabels) and self.folder is not None:
            content = {"epoch": result.epoch + 1, "images": _images(result)}
            content |= as_seen(result.dataset)
            write_bytes(self.folder / "clusters.json", json.dumps(content).encode())


def _images(found):
    identities = found.dataset.identities
    if len(set(identities)) < 2:
        identities = [None] * len(identities)
    rows = zip(found.dataset.files, found.labels.tolist(), identities, strict=True)
    return [
        {"path": str(path), "label": label, "identity": identity} for path, label, identity in rows
    ]
