"""The registry ``downloads.yml`` as records."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from cirtorch.downloads.fetch import hash_in_name


@dataclass(frozen=True)
class KnownFile:
    """One file: where it comes from, where it goes (below the data folder or the root), checks."""

    url: str | None
    to: str
    licence: str
    sha256: str | None = None
    size: int | None = None
    preprocessing: str | None = None
    score: str | None = None
    by_hand: str | None = None


@dataclass(frozen=True)
class KnownFolder:
    """A folder of images that comes as archives, or from the user's own hand."""

    archives: tuple[str, ...]
    to: str
    licence: str
    by_hand: str
    images: int | None = None
    named_in: tuple[str, ...] = ()
    flat: bool = False
    gone: bool = False


@dataclass(frozen=True)
class KnownLink:
    """A symbolic link ``link`` -> ``to``, both below the data folder."""

    link: str
    to: str


def known_files(part: str) -> list[KnownFile]:
    """Files of ``"train"``, ``"day_night"`` or ``"test"``."""
    return [_file(entry) for entry in _registry()["files"].get(part, [])]


def known_folders(part: str) -> list[KnownFolder]:
    """Image folders of a part: ``"train"``, ``"test"``; ``"domains"`` and others come by hand."""
    return [_folder(entry) for entry in _registry()["folders"].get(part, [])]


def known_links(part: str) -> list[KnownLink]:
    """Links of ``"train"``, ``"day_night"`` or ``"test"``."""
    return [KnownLink(**entry) for entry in _registry()["links"].get(part, [])]


def known_weights() -> dict[str, list[KnownFile]]:
    """Published weights and whitenings by group; they go below the root."""
    groups = {}
    for group in _registry()["weights"]:
        shared = {key: group[key] for key in ("licence", "preprocessing")}
        files = [_file({**shared, **entry}) for entry in group["files"]]
        groups[group["group"]] = [
            replace(known, to=f"{group['folder']}/{known.to}") for known in files
        ]
    return groups


@functools.cache
def _registry() -> dict:
    text = Path(__file__).with_name("downloads.yml").read_text()
    return yaml.safe_load(text)


def _file(entry):
    url = _address(entry["url"]) if "url" in entry else None
    name = (url or entry["to"]).rsplit("/", 1)[-1]
    return KnownFile(
        **{
            "to": name,
            "sha256": hash_in_name(name),
            **entry,
            "url": url,
            "licence": _registry()["licences"][entry["licence"]],
        }
    )


def _folder(entry):
    return KnownFolder(
        **{
            **entry,
            "archives": tuple(map(_address, entry["archives"])),
            "named_in": tuple(entry.get("named_in", ())),
            "licence": _registry()["licences"][entry["licence"]],
        }
    )


def _address(text: str) -> str:
    base, path = text.split(":", 1)
    return f"{_registry()['bases'][base]}/{path}"
