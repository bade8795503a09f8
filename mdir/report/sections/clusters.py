"""The largest clusters of a run that learns from pseudo labels."""

import json
from collections import Counter
from pathlib import Path

from mdir.errors import UserError
from mdir.report.page import PageSection, Picture, Strip
from mdir.report.pictures import PictureFolder, spread


def clusters_section(title: str, path: Path, copies: PictureFolder, strips: int, shown: int):
    """A page's section of ``clusters.json``, which the processor ``clusters`` keeps.

    Where the data set tells identities, a cluster's most frequent one is right and its share the
    purity.

    Args:
        strips: so many clusters, the largest first. shown: pictures of each, from all over it.

    Raises:
        UserError: the file is something else.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        images = [(one["path"], one["label"], one["identity"]) for one in read["images"]]
        upright = read.get("upright", False)
        epoch = read["epoch"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"report: {path} is not a clusters file of a training") from error
    clusters = _clusters(images)
    clustered = sum(map(len, clusters))
    text = f"Epoch {epoch}, {len(images)} images: {len(clusters)} clusters, "
    text += f"{len(images) - clustered} images in none."
    if clusters and _purest(clusters[0]) is not None:
        purity = 100 * sum(map(_hits, clusters)) / clustered
        text += f" Purity of all: {purity:.1f} %; a cluster's most frequent identity is framed "
        text += "green, others red."
    section = PageSection(title, text)
    for number, cluster in enumerate(clusters[:strips], 1):
        section.strips.append(_strip(number, cluster, copies, shown, upright))
    return section


def _clusters(images):
    """Lists of (path, identity) of images that share a label, the longest first."""
    groups = {}
    for path, label, identity in images:
        if label >= 0:
            groups.setdefault(label, []).append((path, identity))
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)


def _purest(cluster):
    """The most frequent identity; None where none is known."""
    return Counter(identity for _, identity in cluster).most_common(1)[0][0]


def _hits(cluster):
    return sum(identity == _purest(cluster) for _, identity in cluster)


def _strip(number, cluster, copies, shown, upright):
    purest = _purest(cluster)
    title = f"{number}. {len(cluster)} images"
    if purest is not None:
        title += f", purity {100 * _hits(cluster) / len(cluster):.1f} %"
    strip = Strip(title, [])
    for place in spread(len(cluster), shown):
        path, identity = cluster[place]
        mark = None if purest is None else "right" if identity == purest else "wrong"
        copy = copies.add(path, upright=upright)
        strip.pictures.append(Picture(copy, Path(path).stem, mark))
    return strip
