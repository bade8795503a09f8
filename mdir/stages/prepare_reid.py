"""Step: whether a re-identification data set is whole, before hours are spent on it."""

import sys
from typing import Literal

from mdir.data.datasets.reid import ReidFiles, SetName, TestSize
from mdir.data.image_lists import check_readable
from mdir.errors import UserError
from mdir.stages.step import step

COLUMNS = ("subset", "# ids", "# images", "# cameras")


@step
def prepare_reid(
    _inputs,
    *,
    set: SetName,
    image_dir: str,
    splits: list[Literal["train", "query", "gallery"]] | None = None,
    test_size: TestSize = 800,
    split_seed: int = 1,
    complete: bool = True,
):
    """Refuse names that do not parse and damaged images; print how much there is of what.

    Args:
        set, image_dir, test_size, split_seed, complete: as of the dataset ``reid``.
        splits: to be looked at; null: all that the set has.

    Returns:
        Metadata: for each split ``identities``, ``images`` and ``cameras`` (numbers); ``warnings``;
        with query and gallery, ``queries_without_match``.
    """
    found = ReidFiles(set, image_dir, test_size, split_seed, complete)
    parts = {split: found.read(split) for split in splits or found.layout.splits}
    check_readable([found.root / one.file for images in parts.values() for one in images])
    metadata = {split: _numbers(images) for split, images in parts.items()}
    _print_table(metadata)
    warnings = [*_warnings(found, parts)]
    if "query" in parts and "gallery" in parts:
        lonely = _without_match(parts["query"], parts["gallery"])
        metadata["queries_without_match"] = len(lonely)
        if len(lonely) == len(parts["query"]):
            raise UserError(
                f"{found.root}: no query has a match (same identity, other camera) in the gallery: "
                "nothing can be scored"
            )
        if lonely:
            warnings.append(
                f"{len(lonely)} of {len(parts['query'])} queries are skipped by the scores, for no "
                f"other camera has a match in the gallery; {lonely[0]} first"
            )
    for warning in warnings:
        print(f"Warning: {found.root}: {warning}", file=sys.stderr)
    return {**metadata, "warnings": warnings}


def _numbers(images):
    return {
        "identities": len({image.identity for image in images}),
        "images": len(images),
        "cameras": len({image.camera for image in images}),
    }


def _print_table(metadata):
    rows = [COLUMNS, *((split, *map(str, n.values())) for split, n in metadata.items())]
    for name, *numbers in rows:
        print("  " + " | ".join([f"{name:8}", *(f"{number:>9}" for number in numbers)]))


def _warnings(found, parts):
    if not found.has_cameras:
        yield (
            "tells no cameras: batches are not drawn across cameras, and no match is left out of "
            "the scores for coming from the query's own camera"
        )
    for split in parts:
        if left := found.layout.left_out(found.root, split):
            yield (
                f"{len(left)} pictures of {split} are left out, for those of this set end in .jpg; "
                f"{left[0]} first"
            )
    tested = {
        one.identity: one.file for s, images in parts.items() if s != "train" for one in images
    }
    both = [one for one in parts.get("train", ()) if one.identity in tested]
    if both and not found.layout.numbered_anew:
        yield (
            f"{len({one.identity for one in both})} identities are in train and in the test "
            f"({both[0].file} and {tested[both[0].identity]} first): scores will be better than on "
            "strangers"
        )


def _without_match(queries, gallery):
    cameras = {}
    for one in gallery:
        cameras.setdefault(one.identity, set()).add(one.camera)
    return [one.file for one in queries if not cameras.get(one.identity, set()) - {one.camera}]
