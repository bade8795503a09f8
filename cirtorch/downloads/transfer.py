"""One attempt at a file over HTTP, continued where an earlier attempt stopped.

The bytes go to ``NAME.part``; ``NAME.part.json`` keeps what the server said about them, so that a
later attempt, also one of another process after a kill, joins only bytes of the same file.
"""

import json
import os
import re
import shutil
from pathlib import Path

import requests
import urllib3

from cirtorch.utils.errors import DataError
from cirtorch.utils.files import atomic_write

OVERLAP = 1 << 16  # bytes asked for again and compared when a download is continued
CHUNK = 1 << 14  # what a broken connection can lose
_STAMP = {"total": int | None, "etag": str | None, "modified": str | None}
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Broken(Exception):
    """This attempt failed, another may work; ``pause`` is how long the server asks to wait (s)."""

    def __init__(self, message, pause=0.0):
        super().__init__(message)
        self.pause = pause


class Refused(Exception):
    """The source will not give the file however often it is asked; ``silent``: its host is down."""

    def __init__(self, message, silent=False):
        super().__init__(message)
        self.silent = silent


class PartialFile:
    """The beginning of a file, received so far."""

    def __init__(self, destination: Path):
        self.path = destination.with_name(destination.name + ".part")
        self.stamp_path = destination.with_name(destination.name + ".part.json")

    @property
    def length(self) -> int:
        """Bytes received."""
        return self.path.stat().st_size if self.path.exists() else 0

    def stamp(self, url: str) -> dict:
        """What the server said when the download began; empty for another URL or none."""
        try:
            stamp = json.loads(self.stamp_path.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(stamp, dict) or stamp.get("url") != url:
            return {}
        good = all(isinstance(stamp.get(key), kind) for key, kind in _STAMP.items())
        return stamp if good else {}

    def begin(self, stamp: dict) -> None:
        """Drop what was received; the next bytes belong to the file that ``stamp`` describes."""
        os.truncate(self.path, 0)
        with atomic_write(self.stamp_path, "w") as file:
            json.dump(stamp, file)

    def remove(self) -> None:
        """Take both files away."""
        self.path.unlink(missing_ok=True)
        self.stamp_path.unlink(missing_ok=True)


def receive(url: str, part: PartialFile, timeout: float, progress) -> bool:
    """Ask for the bytes that ``part`` lacks and append them.

    Args:
        timeout: seconds of silence after which the server is given up.
        progress: called with (bytes received, bytes in all or None).

    Returns:
        Whether bytes of an earlier attempt were kept.

    Raises:
        Broken, Refused: see there.
    """
    stamp, asked = part.stamp(url), 0
    headers = {"Accept-Encoding": "identity"}
    if part.length and any(stamp.get(key) for key in ("etag", "modified", "total")):
        asked = max(0, part.length - OVERLAP)
        headers["Range"] = f"bytes={asked}-"
        validator = stamp.get("etag") or stamp.get("modified")
        if validator and not validator.startswith("W/"):
            headers["If-Range"] = validator
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _check_status(response, part)
            resumed = response.status_code == 206
            total = _join(response, part, stamp, asked) if resumed else _begin(response, part, url)
            _append(response.raw, part, total, progress)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise Refused(f"is not a usable address ({error})") from error
    except DataError:
        raise
    except ValueError as error:  # of the URL that a redirection leads to
        raise Refused(f"leads to an address that is none ({error})") from error
    except requests.TooManyRedirects as error:
        raise Refused("redirects in a circle") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Broken(_cause(error, part, url)) from error
    return resumed


def _check_status(response, part):
    status = response.status_code
    if status == 416:
        part.begin({})
        raise Broken("answered 416: the file is no longer the one begun, starting again")
    if status in TRANSIENT:
        pause = response.headers.get("Retry-After", "")
        raise Broken(
            f"answered {status} {response.reason}", min(float(pause), 60) if pause.isdigit() else 0
        )
    if status not in (200, 206):
        raise Refused(f"answered {status} {response.reason}")


def _begin(response, part, url) -> int | None:
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    part.begin({"url": url, "total": total, **_validators(response)})
    _check_space(part, total)
    return total


def _join(response, part, stamp, asked) -> int | None:
    """Check that a partial answer continues the bytes at hand, up to its first new byte."""
    match = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    total = int(match[2]) if match and match[2] != "*" else stamp.get("total")
    same = (
        match is not None
        and int(match[1]) == asked
        and stamp.get("total") in (None, total)
        and all(
            stamp.get(key) in (None, value) or value is None
            for key, value in _validators(response).items()
        )
    )
    if same:
        with part.path.open("rb") as file:
            file.seek(asked)
            tail = file.read()
        same = response.raw.read(len(tail), decode_content=False) == tail
    if not same:
        part.begin({})
        raise Broken("has changed since the download began, starting again")
    _check_space(part, total)
    return total


def _validators(response) -> dict:
    headers = response.headers
    return {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}


def _append(raw, part, total, progress):
    done = part.length
    progress(done, total)
    with part.path.open("ab") as file:
        # Undecoded: some servers declare the compression of a .tar.gz as a content encoding.
        for chunk in raw.stream(CHUNK, decode_content=False):
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise DataError(f"{part.path}: cannot be written ({error.strerror})") from error
            done += len(chunk)
            progress(done, total)
    if total is not None and done != total:  # urllib3 1.x ends silently
        raise Broken(f"the connection ended after {done:,} of {total:,} bytes")


def _check_space(part, total):
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.length > free:
        missing = total - part.length
        raise Refused(f"needs {missing:,} bytes, the disk has {free:,} free")


def _cause(error, part, url) -> str:
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "the server is silent (timeout)"
    if "NameResolution" in str(error) or "Name or service" in str(error):
        return "the host name is unknown"
    if "refused" in str(error):
        return "the host refuses the connection"
    total = part.stamp(url).get("total")
    if part.length and total:
        return f"the connection ended after {part.length:,} of {total:,} bytes"
    return f"the connection broke ({type(error).__name__})"
