"""Tables, plots, galleries and pages, from made-up results."""

import html.parser
import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.report import curves
from mdir.report.curves import draw_weights, read_events, read_series
from mdir.report.pictures import spread
from mdir.report.scores import score_table, score_values
from mdir.report.training_page import write_training_page
from mdir.stages.report import report

EVALUATIONS = {
    "untuned": {
        "eval": {"night_to_day/validation/score_avg:map": 0.1234, "x/validation/loss:total": 1}
    },
    "tuned": {
        "eval": {
            "night_to_day/validation/score_avg:map": 0.5,
            "rox/validation/score_avg:map_hard": float("nan"),
        }
    },
}


class Links(html.parser.HTMLParser):
    """Collects what a page refers to, and its figures' classes."""

    def __init__(self, page):
        super().__init__()
        self.links, self.frames = [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag == "figure":
            self.frames.append(attrs.get("class"))


def picture(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 60, 3), level, np.uint8)).save(path)
    return str(path)


def events(folder, epochs=2):
    lines = [
        {"epoch": None, "key": "net/network_graph", "dtype": "blob", "data": {}, "epoch_size": 0}
    ]
    for epoch in range(epochs):
        common = {"epoch": epoch, "epoch_size": 3, "relative_iteration": [0, 1, 2]}
        loss = {"total": [3.0, 2.0, None], "cycle": [1.0, 1.0, 1.0]}
        lines.append({**common, "key": "train/learning/loss", "dtype": "scalar/loss", "data": loss})
        times = {"process_batch": [0.1, 0.1, 0.1]}
        lines.append(
            {**common, "key": "train/learning/iteration", "dtype": "scalar/time", "data": times}
        )
        weights = {"conv.weight": [{"low": -1, "high": 1, "counts": [1, 5, 1]}]}
        lines.append(
            {**common, "key": "train/net/params", "dtype": "weight/param", "data": weights}
        )
    picture(folder / "blobs/a b.png")
    for epoch in range(epochs):
        common = {"epoch": epoch, "epoch_size": 1, "relative_iteration": [-2], "dtype": "blob"}
        image = {"dtype": "image:rgb", "path": f"blobs/{epoch}.png"}
        picture(folder / image["path"])
        lines.append({**common, "key": "visual/learning/data/1", "data": {"image0.rgb": [image]}})
        words = {"dtype": "text", "path": "blobs/protocol.txt"}
        lines.append({**common, "key": "fid/learning/protocol", "data": {"protocol": [words]}})
    (folder / "blobs/protocol.txt").write_text('{"feature_network": "that one", "images": 4321}')
    blob = {"fake <Y>": {"dtype": "image:rgb", "path": "blobs/a b.png"}}
    lines.append(
        {"epoch": 1, "key": "train/data/fake", "dtype": "blob", "data": blob, "epoch_size": 1}
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.jsonl").write_text(
        "".join(json.dumps(x) + "\n" for x in lines) + '{"epoch": 2, "da'
    )
    return folder


def rankings(folder, answers=3):
    queries = []
    for number, precision in enumerate((0.2, 0.9, None, 0.5)):
        found = [
            {"name": f"d{rank}", "path": picture(folder / f"d{rank}.jpg"), "right": right}
            for rank, right in enumerate((True, False, None) * (answers // 3))
        ]
        path = picture(folder / f"q{number}.jpg")
        queries.append(
            {
                "name": f"q{number}",
                "path": path,
                "box": [0, 0, 30, 20],
                "ap": precision,
                "found": found,
            }
        )
    path = folder / "rankings_night.json"
    path.write_text(
        json.dumps({"protocol": {"image_size": 96, "whitening": None}, "queries": queries})
    )
    return path


def test_a_gallery_names_its_reranking(root):
    (root / "rank").mkdir()
    path = rankings(root / "rank")
    content = json.loads(path.read_text())
    content["protocol"]["re-ranking"] = "query_expansion k 3 alpha 2"
    path.write_text(json.dumps(content))
    report({"title": "t", "directory": "out", "galleries": {"Night": str(path)}})
    page = (root / "out/index.html").read_text()
    assert "does not count. Re-ranked (query_expansion k 3 alpha 2)." in page


def test_scores_are_percent_and_differences_are_points():
    table = score_table(score_values(EVALUATIONS), [("untuned", "tuned")])
    assert table.columns == ["", "night to day mAP", "rox mAP hard"]
    assert table.rows == [
        ["untuned", "12.3", ""],
        ["tuned", "50.0", ""],
        ["tuned − untuned", "+37.7", ""],
    ]
    assert table.as_csv().splitlines()[0] == ",night to day mAP,rox mAP hard"
    assert table.as_markdown().splitlines()[1] == "|---|---:|---:|"
    lines = table.as_text().splitlines()
    assert lines[0].index("mAP") + 3 == lines[2].index("12.3") + 4


def test_scores_say_what_is_wrong():
    with pytest.raises(UserError, match="scores of 'a' must be the metadata of a validate step"):
        score_values({"a": {"metrics": {}}})
    with pytest.raises(UserError, match="unknown row 'tuend'. Did you mean 'tuned'"):
        score_table(score_values(EVALUATIONS), [("untuned", "tuend")])


def test_series_keep_iterations_and_epoch_means(tmp_path):
    series = read_series(read_events(events(tmp_path) / "events.jsonl"))["train/learning/loss"]
    assert series["total"].epochs == [(1, 2.5), (2, 2.5)]
    assert series["cycle"].iterations[:3] == [(1 / 3, 1.0), (2 / 3, 1.0), (1.0, 1.0)]


@pytest.mark.parametrize("several", [False, True])
def test_weights_that_are_no_numbers_are_not_drawn(tmp_path, several):
    sound = {"low": -1.0, "high": 1.0, "counts": [1, 2, 1]}
    broken = [{"low": None, "high": None, "counts": [4]}, {"low": 0.0, "high": None, "counts": [4]}]
    rows = [{"data": {"a": one, "b": broken[0]}} for one in (sound, *broken)]
    if several:
        rows = [{"data": {"a": [sound, *broken], "b": broken}}]
    draw_weights(rows, tmp_path / "weights.svg")
    assert (tmp_path / "weights.svg").stat().st_size


@pytest.mark.parametrize("scale", [1e-7, 1.5e-3, 0.3, 1, 99_999, 3e8])
def test_words_around_curves_are_neither_cut_off_nor_over_others(scale, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(curves, "save_svg", lambda figure, path: figures.append(figure))
    one = curves.Series([(0.5, -scale)], [(1, scale / 3), (2, 0.0), (3, scale)])
    curves.draw_series(dict.fromkeys("abcd", one), tmp_path / "curves.svg")
    (figure,) = figures
    renderer = FigureCanvasAgg(figure).get_renderer()
    a, b, _, d = [axis.get_tightbbox(renderer) for axis in figure.axes[:4]]
    assert a.x0 >= 0 and a.x1 <= b.x0 and a.y0 >= d.y1 and d.y0 >= 0
    assert a.y1 <= figure.bbox.y1 and figure.axes[2].get_tightbbox(renderer).x1 <= figure.bbox.x1


def test_spread_takes_the_ends():
    assert spread(10, 3) == [0, 4, 9] and spread(2, 5) == [0, 1] and spread(5, 1) == [0]


def test_training_page_refers_only_to_what_is_there(tmp_path):
    page = write_training_page(events(tmp_path / "epochs"), "Epoch 2 of <run>")
    links = Links(page)
    pictures = [link for link in links.links if not link.startswith("#")]
    assert len(pictures) == 5
    assert all((page.parent / unquote(link)).exists() for link in pictures)
    text = page.read_text()
    assert all(f"<figcaption>epoch {n}</figcaption>" in text for n in (1, 2))
    assert "<td>fid: feature network</td>" in text and "that one" in text and "4,321" in text
    assert "<td>Training: iteration: process batch</td>" in text
    assert "<h3>Training: fake, epoch 2</h3>" in text and "<h3>Visual: picture 1</h3>" in text
    assert "<figcaption>Training: net parameters</figcaption>" in text
    assert "&lt;run&gt;" in text and "fake &lt;Y&gt;" in text and "<run>" not in text


def test_a_training_page_groups_curves_by_who_measured(tmp_path):
    keys = ["other/loss", "day/night/learning/score_avg", "train/learning/loss", "val/x/loss"]
    row = {"epoch": 0, "relative_iteration": None, "dtype": "scalar/loss", "data": {"total": 1.0}}
    lines = [json.dumps({**row, "key": key}) for key in keys]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    text = write_training_page(tmp_path, "T").read_text()
    heads = ["<h2>Training</h2>", ">Training: losses<", "<h2>Validation</h2>"]
    heads += [">Day/night: scores<", ">Val: x losses<", "<h2>other</h2>", ">Other: losses<"]
    places = [text.index(words) for words in heads]
    assert places == sorted(places)


def test_the_step_writes_table_and_page(root, capsys):
    picture(root / "in/a/1.png")
    picture(root / "out/a/1.png")
    events(root / "run/epochs")
    params = {
        "title": "T",
        "directory": "page",
        "scores": EVALUATIONS,
        "differences": [["untuned", "tuned"]],
        "notes": ["Single scale."],
        "protocols": {"untuned": "rank", "tuned": "rank"},
        "losses": {"Translation": "run"},
        "translations": {"Translations": {"input": "in/*", "output": "out"}},
        "galleries": {"Night": str(rankings(root / "rank"))},
    }
    metadata, *_ = report(params)
    assert "+37.7" in capsys.readouterr().out and "+37.7" in metadata["table"]
    page = Path(metadata["page"])
    links = Links(page)
    local = [link for link in links.links if not link.startswith("#")]
    assert local and all((page.parent / link).exists() for link in local)
    assert not any("://" in link or link.startswith("/") for link in links.links)
    assert "image size: 96; whitening: none" in page.read_text()
    assert "untuned, tuned" in page.read_text()
    assert [links.frames.count(mark) for mark in ("right", "wrong", "junk")] == [3, 3, 3]
    assert "what is dashed does not count" in page.read_text()
    assert {"scores.txt", "scores.md", "scores.csv", "index.html", "files"} == {
        path.name for path in page.parent.iterdir()
    }
    stamps = {path: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()}
    report(params)
    assert stamps == {path: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()}


def test_the_journal_is_told_of_page_and_tables(root):
    with collecting() as told:
        report({"title": "T", "directory": "page", "scores": EVALUATIONS})
    names = {Path(path).name for path in told.outputs}
    assert names == {"scores.txt", "scores.md", "scores.csv", "index.html"}


def test_translations_without_inputs_are_an_error(root):
    picture(root / "out/1.png")
    section = {"T": {"input": "in/*", "output": "out"}}
    with pytest.raises(UserError, match="1.png has no input in"):
        report({"title": "T", "directory": "page", "translations": section})
    section["T"]["output"] = "nothing"
    with pytest.raises(UserError, match="no pictures in"):
        report({"title": "T", "directory": "page", "translations": section})


def test_real_pictures_stand_beside_translations(root):
    for number in range(3):
        picture(root / f"in/{number}.png")
        picture(root / f"out/{number}.png")
    names = [f"{level}.png" for level in (10, 120, 130, 250)]
    for name in names:
        picture(root / "night" / name, int(name[:-4]))
    (root / "night.txt").write_text("\n".join(names))
    place = {"input": "in/*", "output": "out"}
    real = {"names": "night.txt", "image_dir": "night/*"}
    step = {"title": "T", "directory": "page", "translations": {"Night": {**place, "real": real}}}
    with collecting() as told:
        page = Path(report(step)[0]["page"])
    pictures = [link for link in Links(page).links if link.endswith(".jpg")]
    levels = [np.asarray(Image.open(page.parent / link)).mean() for link in pictures]
    assert levels == pytest.approx([100, 100, 10, 100, 100, 120, 100, 100, 130], abs=1)
    assert page.read_text().count("real picture</figcaption>") == 3
    assert str(root / "night.txt") in told.inputs
    real["names"] = "nigth.txt"
    with pytest.raises(DataError, match=r"nigth\.txt"):
        report(step)


def test_measures_come_with_their_conditions(root):
    (root / "conditions").mkdir()
    protocol = {"feature_network": "that one", "resize": "299x299", "translated_images": 1200}
    text = json.dumps({"protocol": protocol, "queries": []})
    (root / "conditions" / "distance.json").write_text(text)
    measured = {
        "eval": {"distance/validation/score_avg:fid": 123.4567, "x/validation/loss:total_avg.4": 1}
    }
    place = {"eval": measured, "rankings": "conditions"}
    metadata, *_ = report({"title": "T", "directory": "page", "measures": {"Night": place}})
    page = Path(metadata["page"]).read_text(encoding="utf-8")
    assert "distance fid" in page and "123.46" in page and "x loss total" in page
    assert "feature network: that one; resize: 299x299; translated images: 1,200." in page
    with pytest.raises(UserError, match="measures must be the metadata of a validate step"):
        report({"title": "T", "directory": "page", "measures": {"Night": {**place, "eval": {}}}})
