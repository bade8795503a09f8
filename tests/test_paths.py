"""Names in scenarios -> paths on disk."""

import pytest

from mdir.paths import local_file, path_join, resolve_path


def test_replacing_suffixes_looks_at_the_last_part_only():
    assert path_join("out/*.png!", "d.x/a") == "out/d.x/a.png"
    assert path_join("out/*.png!", "d.x/a.jpg") == "out/d.x/a.png"
    assert path_join("out/*!", "a.jpg") == "out/a.jpg"


def test_shell_variables_are_expanded(root, monkeypatch):
    monkeypatch.setenv("PLACE", "here")
    assert resolve_path("a/$PLACE/$UNKNOWN") == f"{root}/a/here/$UNKNOWN"
    assert resolve_path(("a", 3)) == (f"{root}/a", 3)


@pytest.mark.parametrize("url", ["http://h.invalid/x/w.pth", "https://h.invalid/w.pth?a=1"])
def test_urls_are_found_in_the_weights_folder(root, url):
    (root / "weights").mkdir()
    (root / "weights" / "w.pth").write_bytes(b"w")
    assert local_file(url) == str(root / "weights" / "w.pth")
    assert local_file("a/b") == str(root / "a" / "b")
