"""Step: whether two domains of images pair up, before hours are spent on them."""

from mdir.data.datasets.two_domains import DomainFiles, Domains, Layout
from mdir.data.image_lists import check_readable
from mdir.stages.step import step


@step
def check_pairs(
    _inputs,
    *,
    image_dir: str,
    layout: Layout = "domain/split",
    domains: Domains | None = None,
    splits: list[str] = ("train", "val"),
):
    """Refuse images without a counterpart, and damaged ones.

    Args:
        image_dir, layout, domains: as of the dataset ``TwoDomains``.
        splits: to be looked at.

    Returns:
        Metadata: ``pairs`` {split: number}.
    """
    pairs = {}
    for split in splits:
        found = DomainFiles(image_dir, layout, split, domains)
        check_readable([path for files in found.files for path in files])
        pairs[split] = len(found.files[0])
    return {"pairs": pairs}
