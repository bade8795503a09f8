"""Results of a run: what they were measured on, their file, their table, two runs side by side.

A file holds ``machine``, ``versions``, ``commit``, ``date``, ``sizes``, and by its name each case
with its ``status`` and figures, or with several of them under ``rows``.
"""

import json
import math
import os
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import torchvision

from cirtorch.utils.files import atomic_write
from mdir import origin

_REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements" / "runtime.txt"
_SPEEDS = ("milliseconds", "twin_milliseconds", "images_per_second")
_FORMS = (dict, dict, dict, dict, str, str | None)
_PARTS = ("machine", "versions", "sizes", "cases", "date", "commit")


class WrongFile(Exception):
    """A file holds no results, or such of another run; the message says which."""


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def fresh(device, sizes: dict) -> dict:
    """Results without a case: what they will be measured on, with and of.

    Args:
        sizes: options that say how large the cases are, as JSON has them.
    """
    device = torch.device(device)
    machine = {"device": str(device), "system": f"{platform.system()} {platform.machine()}"}
    machine |= {"processor": origin.processor(), "cores": origin.usable_cores()}
    machine |= {"cpus": os.cpu_count(), "memory_gib": round(origin.memory() / origin.GIB, 1)}
    machine |= {"threads": torch.get_num_threads()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine |= {"device": properties.name, "memory_mib": properties.total_memory // 2**20}
    told = {"machine": machine, "versions": _versions(), "commit": origin.commit()}
    return {**told, "date": now(), "sizes": sizes, "cases": {}}


def _versions():
    found = {"python": platform.python_version()}
    for name in re.findall(r"^[\w-]+", _REQUIREMENTS.read_text(), re.MULTILINE):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another distribution of the same modules
            continue
    found |= {"torch": torch.__version__, "torchvision": torchvision.__version__}  # with "+cu130"
    return found | {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def write(path: Path, results: dict) -> None:
    """Replace the file, whole or not at all."""
    with atomic_write(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)


def read(path: Path) -> dict:
    """The results of a file.

    Raises:
        WrongFile: there are none in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongFile(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        found = None
    if not _are_results(found):
        raise WrongFile(f"{path} holds no results of a benchmark; name another file")
    return found


def _are_results(found):
    if not isinstance(found, dict) or not all(
        part in found and isinstance(found[part], form)
        for part, form in zip(_PARTS, _FORMS, strict=True)
    ):
        return False
    cases = list(found["cases"].values())
    if not all(isinstance(told, dict) and isinstance(told.get("status"), str) for told in cases):
        return False
    mappings = [told.get(key, {}) for told in cases for key in ("rows", "peaks")]
    if not all(isinstance(each, dict) for each in mappings):
        return False
    several = [told for one in cases for told in one.get("rows", {}).values()]
    if not all(isinstance(told, dict) for told in several):
        return False
    speeds = [told[key] for told in cases + several for key in _SPEEDS if told.get(key) is not None]
    peaks = [peak for told in cases for peak in told.get("peaks", {}).values()]
    return all(map(_is_speed, speeds + peaks))


def _is_speed(value):
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def earlier(path: Path, wanted: dict) -> dict:
    """The results to go on with: those that a run which was cut off left, or ``wanted`` itself.

    Raises:
        WrongFile: what lies there is not of the same code, machine, versions and sizes.
    """
    if not path.exists():
        return wanted
    found = read(path)
    told = differences(found, wanted, ("machine", "versions", "sizes", "commit"))
    if told:
        raise WrongFile(f"{path} is of another run ({'; '.join(told)}); name another file")
    return found


def differences(then: dict, now: dict, parts=("machine", "versions", "sizes")) -> list[str]:
    """In words, what two runs were not measured on, with or at alike."""
    told = []
    for part in parts:
        before, after = (
            one if isinstance(one, dict) else {"": one} for one in (then[part], now[part])
        )
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                what = f"{part} {key}".strip()
                told.append(f"{what}: {before.get(key)}, now {after.get(key)}")
    return told


def rows(results: dict) -> Iterator[tuple[str, dict]]:
    """Name and figures of every case; of one with several rows, of each."""
    for name, told in results["cases"].items():
        if "rows" not in told:
            yield name, told
        for label, figures in told.get("rows", {}).items():
            yield f"{name}, {label}", {"status": told["status"], **figures}


def cells(told: dict, columns) -> list[str]:
    """A case's figures as they are shown, "-" where it has none.

    Args:
        columns: title, key and format of each.
    """
    values = ((told.get(key), form) for _, key, form in columns)
    return ["-" if value is None else form.format(value) for value, form in values]


def markdown(titles, lines) -> str:
    """A table."""
    drawn = [titles, ["---"] * len(titles), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in drawn)


def table(results: dict, columns) -> str:
    """All cases, the peaks, and what is doubtful about shares of them."""
    titles = ["case", *(title for title, _, _ in columns), "status"]
    lines = [[name, *cells(told, columns), told["status"]] for name, told in rows(results)
             if "peaks" not in told]  # fmt: skip
    words = [markdown(titles, lines)]
    if peaks := results["cases"].get("roofline", {}).get("peaks"):
        shown = [f"{name} {value / 1e12:.3g}" for name, value in peaks.items()]
        words.append(f"peaks, in 10^12 operations or bytes a second: {', '.join(shown)}")
    above = [name for name, told in rows(results) if (told.get("roofline") or 0) > 1]
    if above:
        words.append(
            f"above what was measured as the peak: {', '.join(above)}: their data stayed in the "
            "processor's cache, or the machine was busy while the peak was measured"
        )
    return "\n".join(words)


def beside(then: dict, now: dict) -> str:
    """Every case of a run beside an earlier run, as ratios, with warnings of what differs."""
    lines = [f"then: {_origin_of(then)}; now: {_origin_of(now)}"]
    lines += [f"Warning: not the same {told}" for told in differences(then, now)]
    before, compared = dict(rows(then)), []
    for name, told in rows(now):
        figures = _compared(before.pop(name, None), told)
        compared.append([name, *(figures if isinstance(figures, list) else ["-"] * 4 + [figures])])
    compared += [[name, *["-"] * 4, "not in this run"] for name in before]
    titles = ["case", "then, ms", "now, ms", "times as fast", "its twin's", "remark"]
    return "\n".join([*lines, markdown(titles, compared)])


def _origin_of(results):
    return f"commit {results['commit'] or 'not known'}, {results['date']}"


def _compared(then, now):
    """Cells of a row, or words where nothing can be compared."""
    if then is None:
        return "not in that run"
    for when, told in (("then", then), ("now", now)):
        if told["status"] != "done":
            return f"{when}: {told['status']}"
    if peaks := {key: now["peaks"][key] / peak for key, peak in then.get("peaks", {}).items()
                 if key in now.get("peaks", {})}:  # fmt: skip
        return "peaks: " + ", ".join(f"{key} {ratio:.2f} times" for key, ratio in peaks.items())
    if then.get("size") != now.get("size"):
        return f"of another size then: {then.get('size')}"
    if then.get("milliseconds") is None or now.get("milliseconds") is None:
        return "not timed"
    ratios = [
        f"{then[key] / now[key]:.2f}" if then.get(key) and now.get(key) else "-"
        for key in ("milliseconds", "twin_milliseconds")
    ]
    return [f"{one['milliseconds']:,.1f}" for one in (then, now)] + [*ratios, ""]
