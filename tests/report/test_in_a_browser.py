"""Pages in a real browser, at the widths of a screen and of half of one."""

from pathlib import Path

import pytest

from mdir.report.page import PageSection, write_page
from mdir.report.sections.places import places_section
from mdir.report.tables import Table
from mdir.report.training_page import write_training_page
from mdir.stages.report import report
from tests.report.browser import browser, look_at
from tests.report.test_places_page import read, row
from tests.report.test_report import EVALUATIONS, events, picture, rankings

pytestmark = pytest.mark.usefixtures("installed")
WIDTHS = [1280, 800]


@pytest.fixture(scope="module")
def installed():
    return browser()


def is_sound(seen, width):
    faults = [seen["broken"], seen["cut"], seen["console"]]
    return faults == [[], [], []] and width - 20 <= seen["width"] <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_of_a_report_is_cut_off_and_its_rows_wrap(root, width):
    (root / "rank").mkdir()
    picture(root / "in/a/1.png")
    picture(root / "out/a/1.png")
    events(root / "run/epochs")
    params = {
        "title": "A-title-of-one-word-" * 12,
        "directory": "page",
        "scores": EVALUATIONS,
        "protocols": {"untuned": "rank", "tuned": "rank"},
        "losses": {"Translation": "run"},
        "translations": {"Translations": {"input": "in/*", "output": "out"}},
        "galleries": {f"Night {number}": str(rankings(root / "rank", 9)) for number in range(2)},
    }
    seen = look_at(Path(report(params)[0]["page"]), width)
    assert is_sound(seen, width) and seen["scrolls"] == []
    assert seen["images"] == 2 * 3 * 9 + 3


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_of_a_page_of_a_training_is_cut_off(tmp_path, width):
    page = write_training_page(events(tmp_path / "epochs"), "Epoch 2")
    seen = look_at(page, width)
    assert is_sound(seen, width) and seen["scrolls"] == [] and seen["images"] == 5


def test_recalls_of_four_ranks_and_their_intervals_fit_half_a_screen(tmp_path):
    ranks, rows = [1, 5, 10, 20], {"sunset": row([0.4, 0.5, 0.5, 0.5], 4)}
    ends = {f"recall@{n}_sunset": [0.214, 0.785] for n in ranks}
    section = places_section({"Streets": read({"dataset": "x"}, ranks, rows, intervals=ends)})
    write_page(tmp_path / "index.html", "T", [section])
    seen = look_at(tmp_path / "index.html", 800)
    assert is_sound(seen, 800) and seen["scrolls"] == []


def test_a_table_of_many_columns_scrolls_by_a_bar_that_is_seen(tmp_path):
    table = Table([f"measure {n}" for n in range(30)], [["12.3"] * 30])
    write_page(tmp_path / "index.html", "T", [PageSection("Scores", table=table)])
    seen = look_at(tmp_path / "index.html", 800)
    assert is_sound(seen, 800) and [one[:10] for one in seen["scrolls"]] == ["DIV scroll"]


def test_what_is_wrong_with_a_page_is_seen(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<html><body><img src="none.png"><p style="width: 900px">beyond</p>'
        '<div style="overflow: hidden; width: 9px"><p style="width: 99px">hidden</p></div>'
        "<script>missing()</script></body></html>"
    )
    seen = look_at(page, 800)
    assert seen["broken"] == ["none.png"] and "missing is not defined" in seen["console"][0]
    assert seen["cut"] == ["P  beyond", "DIV  hidden"]
