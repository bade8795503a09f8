"""Names of metrics: what they are made of, and that they come out as they went in."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdir.metric_names import Metric, heading, suffix
from mdir.report.published_tables import load_table, table_names
from tests.golden.golden import golden_root

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"[\w.@<>-]+(?:/[\w.@<>-]+)*/(?:learning|validation)/[\w/]+(?::[\w.@<>-]+)?")
WORDS = st.text("abz019_.@<>- ", min_size=1)


def names_in(*folders):
    """All texts in the form of a metric's name, or of the key of its events."""
    files = [path for folder in folders for path in Path(folder).rglob("*")]
    texts = [
        path.read_text("utf-8") for path in files if path.suffix in (".py", ".yml", ".json", ".csv")
    ]
    return sorted({name for text in texts for name in NAME.findall(text)})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("train/learning/loss:total_avg.4", ("train", "learning", "loss", "total_avg.4")),
        ("247tokyo1k/validation/score_avg:map", ("247tokyo1k", "validation", "score_avg", "map")),
        ("day/night/learning/loss:a:b", ("day/night", "learning", "loss", "a:b")),
        ("val/validation/rox/score_avg:map", ("val", "validation", "rox/score_avg", "map")),
        ("visual/learning/data/1", ("visual", "learning", "data/1", None)),
        ("learning/loss:total", ("learning", None, "loss", "total")),
        ("epoch", ("epoch", None, None, None)),
        (":x", ("", None, None, "x")),
    ],
)
def test_parts(text, parts):
    assert Metric.parse(text) == Metric(*parts)
    assert str(Metric(*parts)) == text
    assert Metric(*parts).key == (text if parts[-1] is None else text[: -len(parts[-1]) - 1])


@given(st.text("/:lv") | st.from_regex(r"[ab:/]*(/learning|/validation)?/?[a/]*(:[a:/]*)?\n?"))
def test_every_text_comes_out_as_it_went_in(text):
    assert str(Metric.parse(text)) == text


@given(WORDS, st.sampled_from(["learning", "validation"]), WORDS, WORDS)
def test_every_metric_comes_back(label, stage, kind, name):
    metric = Metric(label, stage, kind, name)
    assert Metric.parse(str(metric)) == metric


def test_names_of_the_tables_the_tests_and_the_golden_files_come_back():
    published = [m.metric for name in table_names() for m in load_table(name).measures]
    here = names_in(ROOT / "tests", ROOT / "mdir", ROOT / "scenarios")
    names = published + here + names_in(golden_root() / "engine")
    assert len(here) > 40
    for name in names:
        metric = Metric.parse(name)
        assert metric.stage in ("learning", "validation") and metric.label and metric.kind
        assert str(metric) == name and Metric.parse(str(metric)) == metric
    assert {(m.stage, m.kind) for m in map(Metric.parse, published)} == {
        ("validation", "score_avg")
    }


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("roxford5k/validation/score_avg:map_medium", "roxford5k mAP medium"),
        ("night_to_day/learning/score_avg:map", "night to day mAP"),
        ("val/validation/score_avg:mapped@1_avg.4", "val mapped@1"),
        ("val/validation/roxford5k/score_avg:map", "val roxford5k mAP"),
        ("train/learning/loss:total_avg.4", "train loss total"),
        ("train/learning/iteration:prepare_data_sum.1", "train iteration prepare data"),
        ("epoch", "epoch"),
    ],
)
def test_title(text, title):
    assert Metric.parse(text).title() == title


def test_suffixes():
    assert [suffix(kind) for kind in ("loss", "score", "time")] == ["_avg.4", "_avg.4", "_sum.1"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("train/learning/loss", "Training: losses"),
        ("night_to_day/learning/score_avg", "Night to day: scores"),
        ("val/learning/rox/score", "Val: rox single scores"),
        ("train/generator_X/params", "Training: generator X parameters"),
        ("train/data/fake_Y", "Training: fake Y"),
        ("visual/learning/data/1/input", "Visual: picture 1 input"),
        ("epoch", "Epoch"),
    ],
)
def test_keys_of_events_in_words(key, words):
    assert heading(key) == words
