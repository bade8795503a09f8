import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cirtorch.downloads.fetch import cached_weights, fetch, hash_in_name, sources
from cirtorch.utils.errors import DataError
from tests.cirtorch.unruly_server import unruly_server

BODY = random.Random(0).randbytes(300_000)
HASH = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("CIRTORCH_MIRROR", raising=False)
    with unruly_server() as server:
        server.files["/f.bin"] = BODY
        yield server


def get(server, folder, path="/f.bin", **options):
    options = {"attempts": 3, "timeout": 0.3, "wait": 0.01, **options}
    return fetch(server.url(path), folder / "got" / "f.bin", **options)


def leftovers(folder):
    return sorted(path.name for path in (folder / "got").iterdir())


def test_plain_download_leaves_only_the_file(server, tmp_path):
    assert get(server, tmp_path, sha256_prefix=HASH, size=len(BODY)).read_bytes() == BODY
    assert leftovers(tmp_path) == ["f.bin"]


def test_present_file_is_not_asked_for_again(server, tmp_path):
    get(server, tmp_path)
    get(server, tmp_path, sha256_prefix=HASH[:8])
    assert len(server.requests) == 1


@pytest.mark.parametrize("present", [b"", BODY[:1000], BODY[:-1] + b"x"])
def test_empty_short_or_wrong_file_does_not_count(server, tmp_path, present):
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "f.bin").write_bytes(present)
    assert get(server, tmp_path, sha256_prefix=HASH[:10], size=len(BODY)).read_bytes() == BODY


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("behaviour", ["truncate", "stall"])
def test_broken_connection_is_continued(server, tmp_path, behaviour, tagged):
    server.tagged = tagged
    server.script["/f.bin"] = [f"{behaviour} 200000"]
    assert get(server, tmp_path).read_bytes() == BODY
    (_, first), (_, second) = server.requests
    assert first is None
    assert 100_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 200_000


def test_many_breaks_with_progress_are_survived(server, tmp_path):
    server.script["/f.bin"] = ["truncate 100000"] * 8
    assert get(server, tmp_path).read_bytes() == BODY


def test_server_without_ranges_sends_everything_again(server, tmp_path):
    server.script["/f.bin"] = ["truncate 200000", "unranged"]
    assert get(server, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("tagged", [True, False])
def test_changed_file_is_not_spliced(server, tmp_path, tagged):
    server.tagged = tagged
    server.script["/f.bin"] = ["truncate 200000"] * 3
    with pytest.raises(DataError):
        get(server, tmp_path, attempts=1)
    changed = BODY[::-1]
    server.files["/f.bin"], server.script = changed, {}
    assert get(server, tmp_path).read_bytes() == changed


def test_too_long_promise_fails_and_leaves_no_file(server, tmp_path):
    server.script["/f.bin"] = ["lie 10"] * 20
    with pytest.raises(DataError, match=r"f\.bin.*after 300,000 of 300,010 bytes.*CIRTORCH_MIRROR"):
        get(server, tmp_path, attempts=1)
    assert "f.bin" not in leftovers(tmp_path)


def test_416_starts_again(server, tmp_path):
    server.script["/f.bin"] = ["truncate 200000", "416", "good"]
    assert get(server, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("status", ["503", "500", "429"])
def test_busy_server_is_asked_again(server, tmp_path, status):
    server.script["/f.bin"] = [status, status]
    assert get(server, tmp_path).read_bytes() == BODY


def test_persistent_503_is_reported(server, tmp_path):
    server.script["/f.bin"] = ["503"] * 5
    with pytest.raises(DataError, match="answered 503.*3 attempts"):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_404_fails_at_once(server, tmp_path):
    with pytest.raises(DataError, match="answered 404"):
        get(server, tmp_path, path="/absent")
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == []


def test_redirects_are_followed(server, tmp_path):
    server.script["/old"] = ["redirect /f.bin"]
    assert get(server, tmp_path, path="/old").read_bytes() == BODY


def test_redirect_circle_is_reported(server, tmp_path):
    server.script["/old"] = ["redirect /old"] * 40
    with pytest.raises(DataError, match="circle"):
        get(server, tmp_path, path="/old")


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [("wrong", "SHA-256"), ("page", "SHA-256"), ("truncate 0", "broke")],
)
def test_wrong_bytes_never_land(server, tmp_path, behaviour, message):
    server.script["/f.bin"] = [behaviour] * 5
    with pytest.raises(DataError, match=message):
        get(server, tmp_path, sha256_prefix=HASH[:8])
    assert "f.bin" not in leftovers(tmp_path)


def test_web_page_instead_of_the_file_is_refused(server, tmp_path):
    server.script["/f.bin"] = ["page"]
    with pytest.raises(DataError, match="web page"):
        get(server, tmp_path)


def test_mirror_that_is_down_is_asked_once(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CIRTORCH_MIRROR", "http://127.0.0.1:9")
    assert get(server, tmp_path).read_bytes() == BODY
    assert capsys.readouterr().err.count("127.0.0.1:9") == 2


def test_wrong_size_is_refused(server, tmp_path):
    with pytest.raises(DataError, match="300,000 bytes instead of 5"):
        get(server, tmp_path, size=5)


def test_unreachable_host_is_reported(tmp_path):
    with pytest.raises(DataError, match="127.0.0.1:9/f.*refuses the connection"):
        fetch("http://127.0.0.1:9/f", tmp_path / "f", attempts=2, wait=0.01)


def test_killed_process_is_continued(server, tmp_path):
    server.script["/f.bin"] = ["stall 250000"]
    destination = tmp_path / "got" / "f.bin"
    code = "import sys; from cirtorch.downloads.fetch import fetch; fetch(*sys.argv[1:])"
    command = [sys.executable, "-c", code, server.url("/f.bin"), str(destination)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    part = destination.with_name("f.bin.part")
    while not part.exists() or part.stat().st_size < 100_000:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not destination.exists()
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.requests[-1][1].startswith("bytes=")
    assert leftovers(tmp_path) == ["f.bin"]


@pytest.mark.parametrize("layout", ["host.org/a/f.bin", "a/f.bin", "f.bin"])
def test_mirror_folder(tmp_path, monkeypatch, layout):
    mirror = tmp_path / "mirror"
    (mirror / layout).parent.mkdir(parents=True)
    (mirror / layout).write_bytes(BODY)
    monkeypatch.setenv("CIRTORCH_MIRROR", str(mirror))
    assert fetch("http://host.org/a/f.bin", tmp_path / "f.bin", HASH).read_bytes() == BODY


def test_mirror_server_comes_first_and_the_source_last(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_MIRROR", server.url("/mirror/"))
    server.files["/mirror/f.bin"] = BODY[:10]
    assert fetch("http://127.0.0.1:9/a/f.bin", tmp_path / "f").read_bytes() == BODY[:10]
    assert get(server, tmp_path, path="/f.bin", size=len(BODY)).read_bytes() == BODY
    assert sources("http://h/a/b")[-1] == "http://h/a/b"


def test_a_name_that_every_model_has_is_not_looked_for_alone(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(BODY)  # whose?
    monkeypatch.setenv("CIRTORCH_MIRROR", str(tmp_path))
    url = "https://huggingface.co/timm/one/resolve/main/model.safetensors"
    assert sources(url) == [url]


def test_cached_weights_checks_the_hash_in_the_name(server, root):
    server.files[f"/w/net-{HASH[:8]}.pth"] = BODY
    server.files["/w/net-0000000.pth"] = BODY
    path = cached_weights(server.url(f"/w/net-{HASH[:8]}.pth"))
    assert path == str(root / "weights" / f"net-{HASH[:8]}.pth")
    with pytest.raises(DataError, match="SHA-256"):
        cached_weights(server.url("/w/net-0000000.pth"))


def test_two_that_want_the_same_file_fetch_it_once(server, tmp_path):
    server.script["/f.bin"] = ["truncate 200000"]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: get(server, tmp_path), range(2)))
    assert all(path.read_bytes() == BODY for path in results)
    assert len(server.requests) == 2
    assert leftovers(tmp_path) == ["f.bin"]


@pytest.mark.parametrize("key", ["url", "total", "etag", "modified"])
@pytest.mark.parametrize("value", [5, 1.5, True, [], {"a": 1}, "x", 10**30, -4])
def test_any_record_of_a_partial_download_is_survived(server, tmp_path, key, value):
    (tmp_path / "got").mkdir()
    (tmp_path / "got/f.bin.part").write_bytes(BODY[:100_000])
    stamp = {"url": server.url("/f.bin"), "total": len(BODY), "etag": None, "modified": None}
    (tmp_path / "got/f.bin.part.json").write_text(json.dumps({**stamp, key: value}))
    assert get(server, tmp_path).read_bytes() == BODY
    assert leftovers(tmp_path) == ["f.bin"]


@pytest.mark.parametrize("record", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_record_that_is_none(server, tmp_path, record):
    (tmp_path / "got").mkdir()
    (tmp_path / "got/f.bin.part").write_bytes(b"something else" * 99)
    (tmp_path / "got/f.bin.part.json").write_bytes(record)
    assert get(server, tmp_path).read_bytes() == BODY


NO_ADDRESSES = [
    *("http://", "::::", "http://[", "ftp://x/y", "", "http://a b/", "file:///etc/passwd", "//"),
    *("http://127.0.0.1:99999/", "http://" + "a" * 300, "http://.../", "\u00e9://x", "mailto:x"),
]


@pytest.mark.parametrize("place", NO_ADDRESSES)
def test_redirections_to_no_address(server, tmp_path, place):
    server.script["/f.bin"] = [f"redirect {place}"] * 99
    with pytest.raises(
        DataError, match=r"cannot download http://.*/f\.bin to .*got/f\.bin: "
    ) as error:
        get(server, tmp_path, attempts=1)
    assert "\n" not in str(error.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["f.bin", "f.bin.part", "f.bin.part.json"])
def test_a_folder_in_the_place_of_a_file(server, tmp_path, name):
    (tmp_path / "got" / name).mkdir(parents=True)
    with pytest.raises((DataError, OSError), match=rf"(?i)(is a folder|is a directory)|{name}"):
        get(server, tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("net-d369c8e.pth", "d369c8e"),
        ("net-12345678.pth", "12345678"),
        ("net-20240115.pth", None),
        ("net-19991231.pth", None),
        ("net-20241301.pth", "20241301"),
        ("net-2024.pth", None),
    ],
)
def test_the_hash_in_a_name_is_no_date(name, found):
    assert hash_in_name(name) == found


def test_a_full_disk_is_no_fault_of_the_mirror(tmp_path, monkeypatch, capsys):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "a.bin").write_bytes(BODY)
    monkeypatch.setenv("CIRTORCH_MIRROR", str(mirror))

    def full(source, destination):
        raise OSError(errno.ENOSPC, "No space left on device", source, None, destination)

    monkeypatch.setattr(shutil, "copyfile", full)
    place = tmp_path / "got" / "a.bin"
    message = f"^{place}.part: cannot be written \\(No space left on device\\)$"
    with pytest.raises(DataError, match=message):
        fetch("http://example.invalid/a.bin", place, wait=0)
    assert capsys.readouterr().err == ""
