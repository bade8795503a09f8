"""Shipped scenarios with something wrong in them: in their text, or in the tree that it is."""

import random
import re

import yaml

WORDS = """
.nan .inf -.inf null ~ true no 0 -1 3 1e999 2e-4 0x7f 010 1:30 2026-01-01 '' '${}' [] {} [[]] *x &x
'${0_s.d}' '${SCENARIO_NAME}' '$<a.b>' '${all}' '*' '?' '!!python/object:os.system' '%' '<<' text
__template__ __function__ \u202e \ufeff \0 \x07 '...' '---' ü
"""
VALUES = [None, True, -1, 0, 7, 1e9, float("nan"), float("inf"), "", "text", "${1_train.x}", [], {}]
VALUES += [[[]], [None], {"a": 1}, {1: 2}, {None: None}, ["${SCENARIO_NAME}"], "a.b", [[1, 2], "x"]]


def in_text(text: str, random: random.Random) -> str:
    """A text with one to three mistakes of a person at an editor."""
    for _ in range(random.randint(1, 3)):
        text = random.choice(TEXT_MUTATIONS)(text, random)
    return text


def in_tree(text: str, random: random.Random) -> str:
    """The text of a tree with one to three values or keys that are others."""
    tree = yaml.safe_load(text)
    for _ in range(random.randint(1, 3)):
        holders = list(_holders(tree))
        if holders:
            _change(*random.choice(holders), holders, random)
    return yaml.safe_dump(tree, sort_keys=False)


def _change(holder, key, holders, random):
    what = random.randrange(6)
    other, place = random.choice(holders)
    if what == 0:
        holder[key] = random.choice(VALUES)
    elif what == 1:
        holder[key] = other[place]
    elif what == 2:
        del holder[key]
    elif isinstance(holder, list):
        holder.append(random.choice(VALUES))
    elif what == 3:
        holder[random.choice([f"{key}*", f"{key}+", f"{key}?", f"a.{key}"])] = holder.pop(key)
    elif what == 4:
        new = random.choice([value for value in VALUES if not isinstance(value, (list, dict))])
        holder[new] = holder.pop(key)
    else:
        holder[f"{key}.{random.choice(['a', 'type', '0', ''])}"] = random.choice(VALUES)


def _holders(value, above=()):
    """Every ``(mapping or list, key or index)``; a value that holds itself is entered once."""
    if isinstance(value, (dict, list)) and not any(value is one for one in above):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _holders(value[key], (*above, value))


def _word(text, random):
    found = list(re.finditer(r"[^\s:,\[\]{}]+", text))
    if not found:
        return random.choice(WORDS.split())
    match = random.choice(found)
    return text[: match.start()] + random.choice(WORDS.split()) + text[match.end() :]


def _character(text, random):
    at = random.randrange(len(text) + 1)
    return (
        text[:at]
        + random.choice("\n\t :-#*&!|>'\"%@`{}[],?x0\\\x07é")
        + text[at + random.randrange(2) :]
    )


def _lines(text, random):
    lines = text.split("\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    what = random.randrange(5)
    if what == 0:
        del lines[one]
    elif what == 1:
        lines.insert(other, lines[one])
    elif what == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif what == 3:
        lines[one] = random.choice(("  ", " ", "\t")) + lines[one]
    else:
        lines[one] = lines[one].removeprefix("  ")
    return "\n".join(lines)


def _cut(text, random):
    return text[: random.randrange(len(text) + 1)]


TEXT_MUTATIONS = (_word, _word, _character, _lines, _lines, _cut)
