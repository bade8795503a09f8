"""Completion in the shell: targets, files, dotted keys and steps, without any heavy import."""

import glob
import os
import shlex
from collections.abc import Iterator

import argcomplete

from mdir import registry
from mdir.errors import USER_ERRORS
from mdir.scenario.assist.components import STEP
from mdir.scenario.plan import load_scenario
from mdir.scenario.sources import SCENARIOS
from mdir.scenario.tree import without_places

MAX_FILES = 10  # read for their targets, where no scenario is named yet


def complete(parser, commands: list[str]) -> None:
    """Answer the shell, which asks by environment variables, and exit."""
    actions = {action.dest: action for action in parser._actions}

    def words(prefix, parsed_args, **_):
        return _words(parsed_args.words or [], prefix, commands)

    def steps(parsed_args, **_):
        return _steps(parsed_args.words or [])

    actions["words"].completer = words
    actions["start"].completer = actions["only"].completer = steps
    suppressed = argcomplete.SuppressCompleter()
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=suppressed)


def _words(before, prefix, commands):
    if not before:
        return [*commands, *_targets(_scenarios_behind() or glob.glob("*.yml")[:MAX_FILES])]
    if before[0] == "sweep":  # behind it are the words of a run
        return _words(before[1:], prefix, [])
    if before[0] == "components":
        return [STEP, *registry.KINDS] if len(before) == 1 else []
    if before[0] in commands and before[0] not in ("list", "serve", "validate"):
        return []
    return [*_files(prefix), *_keys(before, prefix, commands)]


def _scenarios_behind():
    """Scenarios that stand behind the cursor: the target is written last then."""
    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    try:
        return [word for word in shlex.split(line[point:]) if word.endswith(".yml")][:1]
    except ValueError:  # a quote is open
        return []


def _targets(files):
    for file in files:
        scenario = _load([file])
        yield from scenario.targets if scenario else ()


def _files(prefix) -> Iterator[str]:
    """Scenarios and folders here, and shipped scenarios."""
    for path in glob.glob(f"{glob.escape(prefix)}*"):
        if path.endswith(".yml"):
            yield path
        elif os.path.isdir(path):
            yield f"{path}/"
    for path in glob.glob("**/[!_]*.yml", root_dir=SCENARIOS, recursive=True):
        if "parameters" not in path.split(os.sep):  # templates of steps
            yield path


def _keys(before, prefix, commands):
    """``target.step.key=`` as far as ``prefix`` reaches; a section alone is entered at once."""
    scenario = _load(before[1:])
    if scenario is None:
        return []
    lead, parts = "", prefix.split(".")
    level = without_places(scenario.tree)
    if before[0] not in commands:
        level = {before[0]: level.get(before[0])}
    for part in parts[:-1]:
        level, lead = level.get(part), f"{lead}{part}."
        if not isinstance(level, dict):
            return []
    rest = parts[-1]
    while True:
        found = {
            str(key): value
            for key, value in level.items()
            if str(key).startswith(rest) and not str(key).startswith("_")
        }
        key, level = next(iter(found.items()), ("", None))
        if len(found) != 1 or not isinstance(level, dict) or not level:
            ends = {key: "." if isinstance(value, dict) else "=" for key, value in found.items()}
            return [f"{lead}{key}{end}" for key, end in ends.items()]
        lead, rest = f"{lead}{key}.", ""


def _steps(words):
    scenario = _load(words[1:])
    target = scenario.targets.get(words[0]) if scenario else None
    steps = target.value if target and isinstance(target.value, dict) else ()
    return [key for key in map(str, steps) if not key.startswith("_")]


def _load(words):
    """A scenario with what is wrong in it left out; None where there is none."""
    try:
        return load_scenario(words, collect=True) if words else None
    except USER_ERRORS:
        return None
