"""Runtime wrappers: what happens to images before a network and to its output after it.

The mini-language of scenarios is parsed, checked and built here; the wrappers themselves stand in
the modules beside this one. One wrapper is registered under kind "wrapper" as::

    class Wrapper:
        def __init__(self, outputmodel, *, ARGUMENTS): ...
        def preprocess(self, images):            # -> (images, state)
        def postprocess(self, output, state):    # -> output

``outputmodel`` is the module whose output the wrapper sees (its ``meta`` and ``pool`` may be read).
Images are tensors ``[B, C, H, W]``, labelled images, None, or (nested) lists of those. A wrapper
that treats each image of a list by itself says so, ``maps_images_apart = True``.
"""

import json
import re

from mdir import registry
from mdir.errors import UserError
from mdir.registry import Problem, within

_PAIRS = {")": "(", "]": "[", "}": "{"}


def splitp(text: str, separator: str = ",") -> list[str]:
    """Split at a separator outside of brackets; a bracket closes only its own kind."""
    parts, opened, start = [], [], 0
    for position, letter in enumerate(text):
        if letter in _PAIRS.values():
            opened.append(letter)
        elif letter in _PAIRS and opened and opened[-1] == _PAIRS[letter]:
            opened.pop()
        elif letter == separator and not opened:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def parse_wrappers(text: str) -> list[tuple[str, list[str]]]:
    """``"a:1:2,b"`` -> ``[("a", ["1", "2"]), ("b", [])]``.

    Colons inside brackets and those of a URL (scheme, port) belong to the argument.

    Raises:
        ValueError: a bracket is not closed.
    """
    wrappers = []
    for part in filter(None, map(str.strip, splitp(text))):
        if not _balanced(part):
            raise ValueError(f"unbalanced brackets in wrapper {part!r}")
        name, *arguments = _join_urls(splitp(part, ":"))
        wrappers.append((name, arguments))
    return wrappers


def _balanced(text):
    """Whether every bracket is closed; one that closes none, in a path, is a letter like others."""
    opened = []
    for letter in text:
        if letter in _PAIRS.values():
            opened.append(letter)
        elif letter in _PAIRS and opened and opened[-1] == _PAIRS[letter]:
            opened.pop()
    return not opened


def _join_urls(parts):
    joined = parts[:1]
    for part in parts[1:]:
        before = joined[-1]
        scheme = before in ("http", "https") and part.startswith("//")
        port = re.fullmatch(r"https?://[^/:]*", before) and re.match(r"\d+/", part)
        if len(joined) > 1 and (scheme or port):
            joined[-1] = f"{before}:{part}"
        else:
            joined.append(part)
    return joined


def stage_wrappers(value) -> dict:
    """``runtime.wrappers`` as ``{"train": ..., "eval": ...}``."""
    if isinstance(value, dict) and ("train" in value or "eval" in value):
        return value
    return {"train": value, "eval": value}


def check_wrappers(value):
    """Every :class:`Problem` of a ``runtime.wrappers`` value."""
    stages = stage_wrappers(value)
    if stages is not value:
        yield from _check_stage(value, ())
        return
    for key in ("train", "eval"):
        if key not in value:
            yield Problem((), f"missing {key!r} (wrappers by stage need exactly train and eval)")
    for key, item in value.items():
        if key in ("train", "eval"):
            yield from _check_stage(item, (key,))
        else:
            yield Problem((key,), registry.unknown("stage of wrappers", key, ("train", "eval")))


def _check_stage(value, path):
    if value is None or registry.is_unresolved(value):
        return
    try:
        named = _named_parameters(value)
    except ValueError as error:
        yield Problem(path, str(error))
        return
    for key, name, params in named:
        sub = path if key is None else (*path, key)
        try:
            component = registry.lookup("wrapper", name)
        except registry.ComponentError as error:
            yield from within(sub, error.problems)
            continue
        if key is None:
            try:
                params = _from_texts(name, component, params)
            except ValueError as error:
                yield Problem(sub, str(error))
                continue
        yield from registry.check_parameters(component, params, sub, f"wrapper {name}")


def _named_parameters(value):
    """``[(key or None, name, parameters or texts), ...]`` in the order of application."""
    if isinstance(value, str):
        return [(None, name, texts) for name, texts in parse_wrappers(value)]
    if not isinstance(value, dict):
        raise ValueError(f"expected wrappers as text, a mapping or null, got {value!r}")
    for key in value:
        if not isinstance(key, str) or not re.fullmatch(r"[^_]*_.+", key):
            raise ValueError(f"a wrapper's key must read NUMBER_NAME, got {key!r}")
    return [(key, key.partition("_")[2], value[key] or {}) for key in sorted(value, key=_order)]


def _order(key):
    number = key.partition("_")[0]
    return (0, int(number), key) if number.isdecimal() else (1, 0, key)


def _from_texts(name, component, texts):
    """Positional text arguments as parameters: text where admitted, its JSON value otherwise."""
    fields, _ = registry.schema(component)
    if len(texts) > len(fields):
        known = ", ".join(fields) or "none"
        raise ValueError(f"wrapper {name} takes {len(fields)} arguments ({known}), got {texts}")
    return {
        key: _from_text(field.annotation, text)
        for (key, field), text in zip(fields.items(), texts, strict=False)
    }


def _from_text(annotation, text):
    if not list(registry.check(annotation, text)):
        return text
    try:
        return json.loads({"None": "null", "True": "true", "False": "false"}.get(text, text))
    except ValueError:
        return text


class WrapperStack:
    """Wrappers in their order: preprocess first to last, postprocess last to first."""

    def __init__(self, wrappers=()):
        self.wrappers = list(wrappers)

    def __iter__(self):
        return iter(self.wrappers)

    def __len__(self):
        return len(self.wrappers)

    def preprocess(self, images):
        states = []
        for wrapper in self.wrappers:
            images, state = wrapper.preprocess(images)
            states.append(state)
        return images, states

    def postprocess(self, output, states):
        for wrapper, state in zip(reversed(self.wrappers), reversed(states), strict=True):
            output = wrapper.postprocess(output, state)
        return output


def build_wrappers(value, outputmodel) -> dict[str, WrapperStack]:
    """The wrapper stacks of both stages from a ``runtime.wrappers`` value.

    Raises:
        UserError: the value is not in the mini-language, or names an unknown wrapper or argument.
    """
    problems = [f"{'.'.join(map(str, p.path))}: {p.message}" for p in check_wrappers(value)]
    if problems:
        raise UserError(f"wrappers {value!r}\n" + "\n".join(problems))
    stages = stage_wrappers(value)
    if stages is value:
        return {stage: _build_stack(item, outputmodel) for stage, item in value.items()}
    return dict.fromkeys(("train", "eval"), _build_stack(value, outputmodel))


def _build_stack(value, outputmodel):
    wrappers = []
    for key, name, params in _named_parameters(value) if value else ():
        component = registry.lookup("wrapper", name)
        if key is None:
            params = _from_texts(name, component, params)
        wrappers.append(registry.construct(component, params, outputmodel))
    return WrapperStack(wrappers)
