"""Copies of pictures stand on a page as the network saw them, turned or not."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.datasets.datahelpers import pil_loader
from mdir.learning.events.clusters import Clusters
from mdir.methods.pseudo_labels import PseudoLabels
from mdir.report.galleries import gallery, read_rankings
from mdir.report.pictures import PictureFolder
from mdir.stages.report import report
from tests.data.fine_grained_sets import turn
from tests.data.test_turned import TALL, WIDE, paint
from tests.methods.tiny_proxies import write_classes
from tests.report.test_report import events
from tests.scores.test_class_recall import score as class_recall
from tests.stages.fine_grained.test_retrieve import NAMES, NETWORK, base, look  # noqa: F401


def shapes(page):
    """Whether copies are wider than high, of all of a page."""
    copies = (page / "files").glob("*.jpg")
    return sorted("wide" if wide > high else "tall"
                  for wide, high in (pil_loader(path).size for path in copies))  # fmt: skip


def test_one_picture_seen_both_ways_is_copied_twice(root):
    path, copies = paint(root / "a.png"), PictureFolder(root / "page")
    names = [copies.add(path), copies.add(path, upright=True)]
    sizes = [pil_loader(root / "page" / name).size for name in names]
    assert [size[0] > size[1] for size in sizes] == [True, False]
    boxed = pil_loader(root / "page" / copies.add(path, box=(0, 0, 16, 8), upright=True))
    assert boxed.size == (224, 112)


@pytest.mark.parametrize("upright", [True, False])
def test_galleries(root, upright):
    told = {"upright": True} if upright else {}
    one = {"name": "a", "path": str(paint(root / "a.png")), "ap": None, "box": None, **told}
    two = {"name": "b", "path": str(paint(root / "b.png", 1)), "right": None, **told}
    (root / "r.json").write_text(json.dumps({"queries": [{**one, "found": [two]}]}))
    gallery("Found", read_rankings(root / "r.json"), PictureFolder(root / "page"), 1, 1)
    assert shapes(root / "page") == ["tall" if upright else "wide"] * 2


@pytest.mark.parametrize(("made", "expected"), [(TALL, "tall"), (WIDE, "wide")])
def test_inputs_of_translations_stand_as_these_do(root, made, expected):
    paint(root / "in/a.png")
    (root / "out").mkdir()
    Image.new("RGB", made).save(root / "out/a.png")
    place = {"input": "in", "output": "out"}
    report({"title": "T", "directory": "page", "translations": {"Night": place}})
    assert shapes(root / "page") == [expected] * 2


@pytest.mark.parametrize("own", [True, False])
def test_clusters_of_own_pictures(root, own):
    events(root / "run/epochs")

    class Images:
        files = [paint(root / f"{number}.png", number) for number in range(2)]
        identities, are_own = [1, 1], own

    found = PseudoLabels(0, np.array([0, 0]), dataset=Images())
    Clusters(root / "run/epochs").result(found)
    report({"title": "T", "directory": "page", "losses": {"Training": "run"}})
    assert shapes(root / "page") == ["tall" if own else "wide"] * 2


def test_rankings_of_own_classes(root):
    write_classes(root)
    named = class_recall()._named(0)
    assert named["upright"] is True


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("own", [True, False])
def test_the_viewer_shows_a_database_as_it_was_described(root, own):
    for name in NAMES[:2]:
        turn(root / "data" / name)
    if own:
        path = root / "results/base_data_base.pth"
        torch.save({**torch.load(path), "upright": True}, path)
    look(NAMES[0], retrieval_num=1)
    assert shapes(root / "results") == ["tall" if own else "wide"] * 2
    report(
        {"title": "T", "directory": "page", "data_bases": {"Base": "results/base_data_base.pth"}}
    )
    assert shapes(root / "page").count("tall") == (2 if own else 0)


@pytest.mark.usefixtures("base")
def test_the_viewer_shows_another_query_upright(root):
    (root / "mine.jpg").write_bytes((root / "data" / NAMES[1]).read_bytes())
    turn(root / "mine.jpg")
    look("mine.jpg", retrieval_num=1, network=NETWORK)
    assert shapes(root / "results") == ["tall", "wide"]
