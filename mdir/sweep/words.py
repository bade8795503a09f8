"""Values of axes as words of a command line, as parts of names, and as short labels."""

import hashlib
import json
import re
from collections.abc import Iterable

MOST_NAME = 120  # characters of a cell's name; 255 bytes is what file systems take
EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # a number to all but YAML 1.1


def argument(key: str, value) -> str:
    """``key=VALUE``, from which a scenario reads the very value.

    Raises:
        ValueError: it is nothing that such a word can hold.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no value that key=value can hold") from None
    if json.loads(text) != value:  # keys that are no text
        raise ValueError("key=value holds no mapping whose keys are not text")
    if isinstance(value, str) and (EXPONENT.fullmatch(value) or not _is_json(value)):
        text = value
    return f"{key}={text}"


def value_of(value) -> str | int | float:
    """What a table shows of a value, and sorts by."""
    if isinstance(value, str):
        return float(value) if EXPONENT.fullmatch(value) else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return json.dumps(value)


def label_of(value: str | int | float) -> str:
    """A value as part of the name of a cell, and so of files."""
    text = re.sub(r"[^\w.+-]+", "-", str(value)).strip("-.") or "none"
    return text if len(text) <= MOST_NAME // 2 else f"{text[: MOST_NAME // 3]}-{_digest(text)}"


def labels_of(keys: Iterable[str]) -> list[str]:
    """The shortest ends of dotted keys that tell them apart."""
    parts = [key.split(".") for key in keys]
    labels = []
    for own in parts:
        count = 1
        while sum(other[-count:] == own[-count:] for other in parts) > 1 and count < len(own):
            count += 1
        labels.append(".".join(own[-count:]))
    return labels


def cell_name(choices: Iterable[tuple[str, str, bool]]) -> str:
    """The name of a cell out of ``(label, name, is_dotted)`` of its choices."""
    name = "_".join(f"{label}-{name}" if dotted else name for label, name, dotted in choices)
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 9]}-{_digest(name)}"


def _is_json(text):
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]
