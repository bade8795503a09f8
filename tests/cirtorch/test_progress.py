"""Progress of long work: lines where there is no terminal, a bar on one."""

import pytest

from cirtorch.downloads import fetch
from cirtorch.utils import progress as module
from cirtorch.utils.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_short_work_says_nothing(capsys):
    assert list(progress(range(3), 3, "mining")) == [0, 1, 2]
    assert capsys.readouterr().out == ""


def test_long_work_tells_rate_and_time_left(capsys, clock):
    for _ in progress(iter("abcd"), 4, "mining"):
        clock[0] += 40
    assert capsys.readouterr().out == (
        "mining: 2/4 images, 0.025 a second, 80 s left\n"
        "mining: 4/4 images, 0.025 a second, 0 s left\n"
    )


def test_a_download_tells_source_share_and_rate(capsys, clock):
    with fetch._progress("a.pth", "http://x/a.pth") as report:
        for done, total in ((2_000_000, 8_000_000), (5_000_000, 8_000_000), (6_000_000, None)):
            report(done, total)
            clock[0] += 30
    assert capsys.readouterr().err == (
        "Fetching a.pth from http://x/a.pth\n"
        "a.pth: 5 of 8 MB (62%), 0.1 MB/s\n"
        "a.pth: 6 MB, 0.1 MB/s\n"
    )


def test_a_terminal_gets_a_bar_that_goes(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(progress(iter("ab"), 2, "mining")) == ["a", "b"]
    with fetch._progress("a.pth", "http://x/a.pth") as report:
        report(3 * 1024, 4 * 1024)
    shown = capsys.readouterr()
    assert "mining:   0%" in shown.err and "0/2" in shown.err
    assert "a.pth: " in shown.err and shown.err.endswith("\r") and shown.out == ""
