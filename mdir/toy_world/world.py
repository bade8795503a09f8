"""The toy world: a small city drawn from a seed and written in the layouts of the real datasets."""

import hashlib
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from cirtorch.utils.files import atomic_write, replace_link
from mdir.errors import UserError
from mdir.origin import usable_cores
from mdir.toy_world.layouts import Layout, Sizes, make_layout

MANIFEST = "toy_world.json"
VERSION = 4  # counts changes of what is written: another version is another world


def write_toy_world(
    directory: str | os.PathLike, seed: int = 0, sizes: Sizes | None = None
) -> dict:
    """Draw the toy world below a folder; a world that is complete there is left as it is.

    The folder then holds ``data/train``, ``data/val``, ``data/test`` and the two-domain sets,
    ``weights`` of edge detectors, and a manifest ``toy_world.json`` with the digest of every
    file. Only files that an earlier call wrote and nobody changed since are ever replaced.

    Returns:
        The manifest: ``seed``, ``sizes``, ``pictures`` (a count), ``files`` {path: digest} and
        ``complete``.

    Raises:
        UserError: where a file would land there is one that the toy world did not write.
    """
    sizes = sizes or Sizes()
    about = {"version": VERSION, "seed": seed, "sizes": asdict(sizes)}
    return write_layout(Path(directory) / MANIFEST, make_layout(seed, sizes), about)


def write_layout(manifest: Path, layout: Layout, about: dict) -> dict:
    """Write pictures and files beside a manifest; what is complete there is left as it is.

    Args:
        about: what decides the contents: the version of the drawing, seed, sizes.

    Returns, Raises:
        as :func:`write_toy_world`.
    """
    directory, known = manifest.parent, _known(manifest)
    wanted = about | {"pictures": len(layout.shots)}
    _refuse_foreign_files(directory, layout, known)
    same = all(known.get(key) == value for key, value in wanted.items())
    if (
        same
        and known["complete"]
        and all(_digest(directory / path) == known["files"].get(path, "") for path in layout)
    ):
        return known
    _remove_leftovers(directory, layout, known)
    _write_manifest(manifest, wanted | {"complete": False, "files": dict.fromkeys(layout)})
    with ThreadPoolExecutor(usable_cores()) as threads:
        digests = threads.map(lambda path: _write(directory / path, layout, path), layout)
        files = dict(zip(layout, digests, strict=True))
    found = wanted | {"complete": True, "files": files}
    _write_manifest(manifest, found)
    return found


def _write(path: Path, layout: Layout, name: str) -> str:
    if name in layout.links:
        replace_link(layout.links[name], path)
        return _digest(path)
    content = (
        encode(layout.shots[name].take(), path.suffix)
        if name in layout.shots
        else layout.files[name]()
    )
    with atomic_write(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def encode(image, suffix: str) -> bytes:
    """An image as PNG (suffix ``.png``) or as JPEG (anything else)."""
    buffer = io.BytesIO()
    options = {"format": "PNG"} if suffix == ".png" else {"format": "JPEG", "quality": 92}
    Image.fromarray(image).save(buffer, **options)
    return buffer.getvalue()


def _known(path: Path) -> dict:
    if not path.exists():
        return {"files": {}, "complete": True}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(
            f"{path}: not a readable manifest of a toy world ({error}). "
            "Remove it or choose another directory"
        ) from error


def _refuse_foreign_files(directory, layout, known):
    for path in layout:
        if not os.path.lexists(directory / path):
            continue
        if path not in known["files"]:
            raise UserError(
                f"{directory / path}: is there already and was not written by the toy world, "
                "which overwrites nothing. Choose another directory or move the file away"
            )
        digest = known["files"][path]
        if digest is not None and _digest(directory / path) != digest:
            raise UserError(
                f"{directory / path}: was changed since the toy world wrote it, and would "
                "be overwritten. Move it away or remove it"
            )


def _remove_leftovers(directory, layout, known):
    """Remove unchanged files of an earlier world that this one does not have."""
    for path in set(known["files"]) - set(layout):
        target, digest = directory / path, known["files"][path]
        if os.path.lexists(target) and digest in (None, _digest(target)):
            os.unlink(target)


def _digest(path: Path) -> str | None:
    if path.is_symlink():
        return "link:" + os.readlink(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _write_manifest(path, manifest):
    with atomic_write(path, "w") as file:
        json.dump(manifest, file, indent=1)
