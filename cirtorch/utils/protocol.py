"""What a score was measured with: said beside every score, so that numbers can be compared."""

from dataclasses import asdict, dataclass

from cirtorch.utils.evaluate import split_protocols
from cirtorch.utils.general import sha256_hash

_JUNK_RULES = {
    "": "junk images are left out of the ranking",
    "revisited": "easy: hard and junk images are left out; medium: junk; hard: easy and junk",
}


@dataclass(frozen=True)
class Protocol:
    """The conditions of an evaluation.

    ``image_size``: longest side in pixels, None for the original. ``scales``: factors of the
    multi-scale descriptor. ``whitening``: its name or file, None without. ``version``: first eight
    hex digits of the ground-truth file's SHA-256, None where it did not come from a file.
    """

    dataset: str
    images: int
    queries: int
    image_size: int | None
    scales: tuple[float, ...]
    whitening: str | None
    junk_rule: str
    version: str | None

    def as_dict(self) -> dict:
        """Plain values, for journals."""
        return asdict(self) | {"scales": list(self.scales)}

    def __str__(self):
        scales = ", ".join(f"{scale:.4g}" for scale in self.scales)
        size, truth = self.image_size or "original", self.version or "given"
        return (
            f"{self.images} images, {self.queries} queries, ground truth {truth}, "
            f"image size {size}, scales [{scales}], "
            f"whitening {self.whitening or 'none'}; {self.junk_rule}"
        )


def make_protocol(cfg, image_size, scales=(1,), whitening=None) -> Protocol:
    """The protocol of an evaluation on the data set ``cfg`` of ``configdataset``."""
    revisited = "" not in split_protocols(cfg["dataset"], cfg["gnd"])
    return Protocol(
        dataset=cfg["dataset"],
        images=len(cfg["imlist"]),
        queries=len(cfg["qimlist"]),
        image_size=image_size,
        scales=tuple(float(scale) for scale in scales),
        whitening=whitening,
        junk_rule=_JUNK_RULES["revisited" if revisited else ""],
        version=sha256_hash(cfg["gnd_fname"]) if cfg.get("gnd_fname") else None,
    )
