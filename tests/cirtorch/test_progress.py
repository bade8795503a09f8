"""Progress of long work where there is no terminal."""

from cirtorch.utils import progress as module
from cirtorch.utils.progress import progress


def test_short_work_says_nothing(capsys):
    assert list(progress(range(3), 3, "mining")) == [0, 1, 2]
    assert capsys.readouterr().out == ""


def test_long_work_tells_rate_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(module, "_LINE_EVERY_S", -1)
    list(progress(iter("ab"), 2, "mining"))
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("mining: 1/2 images, ") and "s left" in first
    assert last.endswith(" 0 s left")
