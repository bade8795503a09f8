"""The command ``doctor``: which data and weights are there, sound, or still to be had."""

import argparse
import os
import platform
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cirtorch.downloads.fetch import fault
from cirtorch.downloads.image_folders import count_images, folder_fault
from cirtorch.downloads.known_files import known_files, known_folders, known_links, known_weights
from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_data_root, get_root
from cirtorch.utils.safe_pickle import load_pickle
from mdir.scenario.program import call, program

VERIFIED, PRESENT, ABSENT, DAMAGED = "verified", "present", "absent", "DAMAGED"
PARTS = {
    "train": "Training data",
    "day_night": "Day and night lists",
    "test": "Test data",
    "domains": "Pairs of domains",
    "reid": "Re-identification",
    "fine_grained": "Fine-grained classes",
    "places": "Visual place recognition",
}
REMEDY = {
    "train": "{call} download iccv23/train/hedngan.yml",
    "day_night": "{call} download iccv23/train/hedngan.yml",
    "test": "{call} download iccv23/eval/hedngan.yml",
    "domains": "only needed for the scenarios daco and ossco",
    "reid": "only needed for the scenarios spcl and cluster_contrast",
    "fine_grained": "only needed for the scenarios unified_proxy",
    "places": "only needed for the scenarios place_recognition",
    "weights": "fetched when a scenario asks for them",
    "weights_by_hand": "only needed for networks that begin with them",
}
WIDTH, MARGIN = 100, " " * 12


@dataclass
class Finding:
    """One line of the report; ``advice`` says what to do where something is to be done."""

    state: str
    name: str
    detail: str = ""
    advice: str = ""


@dataclass
class Group:
    """Findings under a heading, and how to get what is absent."""

    title: str
    remedy: str
    findings: list[Finding]


def main(arguments: list[str]) -> int:
    """Print the report; 1 if something that is there is damaged, else 0."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} doctor",
        description="Show which datasets and weights are there, verified, or how to get them.",
    )
    parser.add_argument("--full", action="store_true", help="look at every picture, not a sample")
    options = parser.parse_args(arguments)
    _print_place()
    damaged = 0
    for group in examine(options.full):
        _print_group(group)
        damaged += sum(finding.state == DAMAGED for finding in group.findings)
    print(f"\n{damaged} damaged" if damaged else "\nNothing that is there is damaged.")
    return 1 if damaged else 0


def examine(full: bool = False) -> Iterator[Group]:
    """What there is to say about the data and the weights below the root.

    Args:
        full: look at every image instead of a sample.
    """
    data, root = Path(get_data_root()), Path(get_root())
    for part, title in PARTS.items():
        findings = [_file(known, data) for known in known_files(part)]
        findings += [_folder(known, data, full) for known in known_folders(part)]
        findings += [_link(known, data) for known in known_links(part)]
        yield Group(f"{title}, below {data}", REMEDY[part], findings)
    for title, files in known_weights().items():
        findings = [_file(known, root) for known in files]
        by_hand = not any(known.url for known in files)
        remedy = REMEDY["weights_by_hand" if by_hand else "weights"]
        yield Group(f"{title}, below {root}", remedy, findings)


def _print_group(group):
    print(f"\n{group.title}")
    for finding in group.findings:
        detail = f" ({finding.detail})" if finding.detail else ""
        print(f"  {finding.state:9} {finding.name}{detail}")
        if finding.advice:
            print(
                textwrap.fill(
                    finding.advice,
                    WIDTH,
                    initial_indent=MARGIN,
                    subsequent_indent=MARGIN,
                    break_long_words=False,  # paths and addresses are there to be copied
                    break_on_hyphens=False,
                )
            )
    if any(finding.state == ABSENT for finding in group.findings):
        print(f"  What is absent: {group.remedy.format(call=call())}")


def _print_place():
    root, mirror = get_root(), os.environ.get("CIRTORCH_MIRROR")
    free = shutil.disk_usage(root).free / 1e9 if os.path.isdir(root) else 0
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision", "numpy"))
    print(f"Python {platform.python_version()}, {versions}")
    print(f"CIRTORCH_ROOT   {root} ({free:.1f} GB free)")
    print(f"CIRTORCH_MIRROR {mirror or 'not set: files come from their original hosts'}")


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _file(known, folder) -> Finding:
    path = folder / known.to
    part = path.with_name(path.name + ".part")
    if not path.exists():
        begun = f"{part.stat().st_size / 1e6:.0f} MB received" if part.exists() else ""
        return Finding(ABSENT, known.to, begun, _by_hand(known))
    found = fault(path, known.sha256, known.size) or _unreadable(path, known)
    if found:
        remove = f"Remove {path}; it will be fetched again."
        return Finding(DAMAGED, known.to, found, _by_hand(known) or remove)
    checked = known.sha256 or known.size or (path.suffix == ".pkl" and not known.preprocessing)
    return Finding(VERIFIED if checked else PRESENT, known.to, _size(path))


def _unreadable(path, known) -> str | None:
    """Why a ground truth or database cannot be read; weights are read when they are used."""
    if path.suffix != ".pkl" or known.preprocessing:
        return None
    try:
        load_pickle(path)
    except DataError:
        return "is not a readable pickle"
    return None


def _folder(known, data, full) -> Finding:
    found = folder_fault(known, data, full)
    if found == "is absent":
        return Finding(ABSENT, known.to, "", _by_hand(known))
    if found:
        return Finding(DAMAGED, known.to, found, _by_hand(known))
    listed = any((data / name).is_file() for name in known.named_in)
    count = count_images(data / known.to)
    expected = f" of {known.images:,} published" if known.images else ""
    return Finding(VERIFIED if listed else PRESENT, known.to, f"{count:,} pictures{expected}")


def _by_hand(known) -> str:
    return f"By hand: {known.by_hand}" if known.by_hand else ""


def _link(known, data) -> Finding:
    link, name = data / known.link, f"{known.link} -> {known.to}"
    if link.exists():
        return Finding(PRESENT, name if link.is_symlink() else f"{known.link} (your own)")
    return Finding(ABSENT, name, "the link leads nowhere yet" if link.is_symlink() else "")


def _size(path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
