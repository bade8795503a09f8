"""Scores with a cache of decoded images: the same numbers, the second time without decoding."""

import numpy as np
import pytest
from PIL import Image

from mdir.data import decoded_cache
from mdir.learning.score_results import make_score
from tests.data.test_strict_images import classes, persons, places
from tests.methods.tiny_proxies import DATA
from tests.sections import build, single


def two_domains(root):
    for seed, place in enumerate(("day/val/0.png", "night/val/0.png")):
        (root / "set" / place).parent.mkdir(parents=True)
        pixels = np.random.RandomState(seed).randint(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / "set" / place)
    dataset = {"name": "TwoDomains", "image_dir": "set", "split": "val"}
    return {"type": "cross_domain_recall", "dataset": dataset, "ranks": [1]}


def retrieval_set(root):
    (root / "imgs").mkdir()
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        pixels = np.random.RandomState(seed).randint(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / "imgs" / name)
    (root / "q.tsv").write_text('query\tbbx\tok\tjunk\na.png\t\t["b.png"]\t\n')
    (root / "db.tsv").write_text("identifier\nb.png\nc.png\n")
    tables = {"name": "own", "queries": "q.tsv", "db": "db.tsv", "imgdir": "imgs"}
    return {"type": "cirdatasetap", "image_size": None, "dataset": tables}, None


@pytest.mark.parametrize("write", [retrieval_set, persons, classes, places])
def test_scores(root, write, monkeypatch):
    section, _ = write(root)
    shown = {**DATA, "transforms": "resize_to:16_16 | totensor | normalize"}
    network = build(single({"architecture": "test_channel_means"}, wrappers="", data=shown))
    plain = make_score(section, shown)(network).averages
    hits, read = [], decoded_cache.DecodedCache.read

    def counted(self, name):
        kept = read(self, name)
        hits.append(kept is not None)
        return kept

    monkeypatch.setattr(decoded_cache.DecodedCache, "read", counted)
    for count in range(2):
        del hits[:]
        with_it = make_score({**section, "decoded_cache": 0.1}, shown)(network).averages
        assert with_it == plain and plain
        # one picture of most sets is cut short, and is decoded every time
        assert hits and sum(hits) >= count * (len(hits) - 1) and (count or not any(hits))


def test_two_domains(root):
    shown = {**DATA, "transforms": "totensor | normalize"}
    score = make_score({**two_domains(root), "decoded_cache": 0.1}, shown)
    assert isinstance(score.dataset.transform, decoded_cache.CachedCompose)
