"""What ran, with which parameters and versions, and what it produced.

One JSON file per step: ``<CIRTORCH_ROOT>/journal/<SCENARIO>/<TARGET>/<STEP>.json``; under an
overlay file SCENARIO is ``BASE_NAME+SCENARIO_NAME``, in a cell of a sweep it ends in ``+CELL``.
"""

import datetime
import hashlib
import json
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version

import mdir
from cirtorch.utils.files import atomic_write
from cirtorch.utils.fingerprints import content, differences, fingerprint, is_fingerprint, refresh
from cirtorch.utils.general import get_root
from mdir.caches import without_caches
from mdir.origin import commit, machine

FORMAT = 2
OLD_FORMAT = 1  # does not know all files that the step read
PAIRS = "__pairs__"
TEXT_OR_NONE = (str, type(None))
STARTED: dict[str, type | tuple[type, ...]] = {
    "status": str,
    "function": str,
    "parameters": dict,
    "stdin": TEXT_OR_NONE,
    "refers_to": dict,
    "made": list,
    "versions": dict,
}
DONE: dict[str, type | tuple[type, ...]] = {
    "ended": str,
    "inputs": dict,
    "outputs": dict,
    "metadata": object,
    "identity": TEXT_OR_NONE,
}


class Journal:
    """The records of one target's steps; ``warnings`` tells of records that cannot be read."""

    def __init__(self, scenario: str, target: str):
        self.folder = os.path.join(get_root(), "journal", safe(scenario), safe(target))
        self.warnings: list[str] = []

    @property
    def lock(self) -> str:
        """The lock of a run that must be alone."""
        return os.path.join(self.folder, ".lock")

    def path(self, step: str) -> str:
        """The file of a step's record."""
        return os.path.join(self.folder, safe(step) + ".json")

    def read(self, step: str) -> dict | None:
        """A step's last record; None where there is none or it is damaged."""
        return self.read_file(self.path(step))

    def read_file(self, path: str) -> dict | None:
        """The record in a file, which may be of another journal."""
        try:
            with open(path, encoding="utf-8") as file:
                record = json.load(file)
            if _is_sound(record):
                return _here(record)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError):
            pass
        message = f"the journal {path} is damaged; the step counts as one that never ran"
        if message not in self.warnings:
            self.warnings.append(message)
        return None

    def write(self, step: str, record: dict) -> None:
        """Replace a step's record, whole or not at all."""
        with atomic_write(self.path(step), "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, **record}, file, indent=1)

    def refresh(self, step: str, record: dict) -> None:
        """Keep the times of files that were read to see that nothing but those changed."""
        known = [*record["inputs"].items(), *record["outputs"].items()]
        moved = [refresh(path, recorded) for path, recorded in known]
        if any(moved):
            self.write(step, record)

    def write_text(self, name: str, text: str) -> None:
        """Put a text file beside the records."""
        with atomic_write(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def start_record(plan, decision, lines, command) -> dict:
    """The record of a step that is about to run; ``lines`` are those of its standard input."""
    return {
        "status": "running",
        "scenario": plan.scenario.name,
        "layers": plan.scenario.layers,
        "target": plan.target,
        "step": decision.step.name,
        "function": decision.step.function,
        "parameters": encode(decision.parameters),
        "stdin": None if lines is None else digest(lines),
        "refers_to": decision.refers_to,
        "made": decision.made,
        "inputs": (decision.record or {}).get("inputs", {}),
        "moved": (decision.record or {}).get("moved", []),
        "seeds": seeds(decision.parameters),
        "command": command,
        "versions": versions(),
        "commit": commit(),
        "machine": machine(),
        "root": get_root(),
        "started": now(),
    }


def finish_record(record: dict, artifacts, metadata, seconds: float) -> dict:
    """The record of a step that ended well, with fingerprints of what it read and wrote.

    ``moved`` tells of inputs that changed while it ran: nobody knows what it read of them.
    """
    inputs = artifacts.fingerprints()
    record = {
        **record,
        "status": "done",
        "ended": now(),
        "seconds": round(seconds, 3),
        "inputs": inputs,
        "moved": _differences(inputs),
        "outputs": {path: fingerprint(path) for path in artifacts.outputs},
        "metadata": metadata,
    }
    record["made"] = sorted({*record["made"], *artifacts.outputs})
    record["identity"] = _identity(record) if artifacts.outputs else None
    return record


def _identity(record):
    """What the files of a step come from.

    A step without files has none: whatever others take from it stands in their own parameters.
    """
    read = [(path, content(item)) for path, item in record["inputs"].items()]
    keys = ("function", "parameters", "stdin", "refers_to")
    return digest([read, *(without_caches(record[key]) for key in keys)])


def _here(record):
    """A record of a root that was moved or copied, its files where they are now.

    In a copy, what another step makes anew is not what the record's old places hold.
    """
    there, root = record.get("root"), get_root()
    if not isinstance(there, str) or there == root:
        return record
    return {**_moved(record, os.path.join(there, ""), os.path.join(root, "")), "root": root}


def _moved(value, there, here):
    if isinstance(value, dict):
        return {_moved(k, there, here): _moved(v, there, here) for k, v in value.items()}
    if isinstance(value, list):
        return [_moved(item, there, here) for item in value]
    is_there = isinstance(value, str) and value.startswith(there)
    return here + value[len(there) :] if is_there else value


def why_again(record: dict | None, function, parameters, stdin, refers_to) -> str | None:
    """Why a step must run although it has a record; None when everything is as it was."""
    if record is None:
        return "it has not run yet"
    if record["status"] != "done":
        return f"it did not finish last time ({record['status']})"
    if record["format"] == OLD_FORMAT:
        return "an older version, which kept no images in mind, recorded it"
    if record["function"] != function:
        return f"its function was {record['function']}"
    change = first_change(*map(without_caches, (record["parameters"], encode(parameters))))
    if change:
        return f"parameter {change}"
    if record["stdin"] != (digest(stdin) if stdin is not None else None):
        return "the lines of standard input changed"
    changed = changed_inputs(record)
    if changed:
        return changed[0]
    for step, identity in refers_to.items():
        if record["refers_to"].get(step) != identity:
            return f"step {step}, to which it refers, gave another result"
    for path, recorded in record["outputs"].items():
        changed = differences(path, recorded, may_grow=True)
        if changed:
            return f"output {changed[0]}"
    return None


def changed_inputs(record: dict | None) -> list[str]:
    """The inputs that are no longer what the record knows them to be (``"input changed: PATH"``).

    A step that did not end well has those with which it began to make what it left.
    """
    record = record or {}
    moved = [f"input, while the step ran, {change}" for change in record.get("moved", ())]
    return moved + [f"input {change}" for change in _differences(record.get("inputs") or {})]


def _differences(inputs):
    return [each for path, recorded in inputs.items() for each in differences(path, recorded)]


def first_change(old, new, path: tuple = ()) -> str | None:
    """The first difference of two encoded trees in words: ``'a.b changed: 1 -> 2'``."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            name = ".".join(map(str, (*path, key)))
            if key not in new:
                return f"{name} is gone"
            if key not in old:
                return f"{name} is new"
            change = first_change(old[key], new[key], (*path, key))
            if change:
                return change
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            change = first_change(one, other, (*path, index))
            if change:
                return change
        return None
    if json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True):
        return None
    name = ".".join(map(str, path)) or "(all)"
    return f"{name} changed: {_short(old)} -> {_short(new)}"


def encode(value):
    """Plain values as JSON can hold them; arrays as lists, other objects as text."""
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and PAIRS not in value:
            return {key: encode(item) for key, item in value.items()}
        return {PAIRS: [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple, set)):
        return [encode(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return encode(value.tolist()) if hasattr(value, "tolist") else str(value)


def decode(value):
    """The plain values that :func:`encode` wrote."""
    if isinstance(value, dict):
        if set(value) == {PAIRS}:
            return {decode(key): decode(item) for key, item in value[PAIRS]}
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def digest(value) -> str:
    """SHA-256 of a plain value."""
    text = json.dumps(encode(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def seeds(parameters, path: tuple = ()) -> dict[str, int]:
    """Every ``seed`` among a step's parameters, by its dotted key."""
    found = {}
    for key, value in parameters.items() if isinstance(parameters, dict) else ():
        if key == "seed" and isinstance(value, int):
            found[".".join(map(str, (*path, key)))] = value
        found.update(seeds(value, (*path, key)))
    return found


def versions() -> dict[str, str]:
    """Versions of Python, of ours and of the packages that results depend on; imports none."""
    found = {"mdir": mdir.__version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Local time with its zone, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def _is_sound(record):
    """Whether a record has all that later runs read of it, of the right types."""
    if not isinstance(record, dict) or record.get("format") not in (FORMAT, OLD_FORMAT):
        return False
    keys = STARTED | DONE if record.get("status") == "done" else STARTED
    if not all(key in record and isinstance(record[key], kind) for key, kind in keys.items()):
        return False
    moved = record.get("moved", [])
    if not isinstance(moved, list) or not all(isinstance(each, str) for each in moved):
        return False
    files = [record.get(key, {}) for key in ("inputs", "outputs")]
    return all(
        isinstance(items, dict) and all(map(is_fingerprint, items.values())) for items in files
    )


def safe(name) -> str:
    """A name as that of one file or folder."""
    name = re.sub(r"[^\w.+ -]", lambda match: f"%{ord(match[0]):02x}", str(name))
    return re.sub(r"^\.", "%2e", name)


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
