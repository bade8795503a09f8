"""``${a.b}`` (also written ``$<a.b>``): parameters and results of this and earlier steps.

``${STEP.parameters.section.key}``, in short ``${STEP.section.key}``, is a parameter,
``${STEP._output_metadata.key}`` a result, ``${STEP.function}`` the name of the function and
``${SCENARIO_NAME}`` the name of the scenario, that is of its last file; ``${BASE_NAME}`` is that of
the first file, which an overlay for many scenarios keeps them apart by. ``${SWEEP_CELL}`` is the
name of the cell of a sweep, and has no value elsewhere.
"""

import copy
import re
from typing import Any

from cirtorch.utils.errors import suggest
from mdir.registry import Problem
from mdir.registry.annotations import VARIABLE

RESULTS = "_output_metadata"
CELL = "SWEEP_CELL"
PUBLISHED = ("function", "parameters", RESULTS)
MAX_VALUES = 1_000_000  # that variables put in, over all steps of a target
MAX_TEXT = 1_000_000  # characters of a text that variables make
TOO_MANY = f"more than {MAX_VALUES} values are put in, over all steps"
TOO_LONG = f"the text has more than {MAX_TEXT} characters"


class Pending:
    """Stands for the results of a step that has not run yet."""

    def __init__(self, step):
        self.step = step


class Unknown(Exception):
    """A variable has no value; the message says why."""


class NotYet(Exception):
    """A variable has no value before ``step`` has run."""

    def __init__(self, step):
        self.step = step
        super().__init__(step)


class Context:
    """What variables may name while a target's steps are resolved in order."""

    def __init__(
        self,
        scenario_name: str,
        steps: list[str],
        base_name: str | None = None,
        cell: str | None = None,
    ):
        self.names: dict[str, Any] = {
            "SCENARIO_NAME": scenario_name,
            "BASE_NAME": base_name or scenario_name,
        }
        if cell is not None:
            self.names[CELL] = cell
        self.steps = steps
        self._left = MAX_VALUES

    def spend(self):
        """Count one more value; variables that multiply each other's values come to an end."""
        self._left -= 1
        if self._left < 0:
            raise Unknown(TOO_MANY)

    def add(self, step: str, function: str, parameters: dict):
        """Enter a step with its raw parameters; its results are still missing."""
        self.names[step] = {"function": function, "parameters": parameters}

    def finish(self, step: str, parameters: dict, results):
        """Replace a step's parameters by the resolved ones and give its results (or Pending)."""
        self.names[step]["parameters"] = copy.deepcopy(parameters)
        self.names[step][RESULTS] = results


class Resolver:
    """Resolves the parameters of one step.

    Attributes:
        problems: of every variable without a value; its text stays.
        waiting: steps whose results are needed but missing; those variables stay as text.
        steps: steps that some variable named.
    """

    def __init__(self, context: Context):
        self.context = context
        self.problems: list[Problem] = []
        self.waiting: set[str] = set()
        self.steps: set[str] = set()

    def resolve(self, value, path: tuple = (), active: tuple = ()):
        """A copy of ``value`` in which variables of texts, list items and keys are replaced.

        A text that is exactly one variable becomes its value with its type; elsewhere the value
        is put in as Python's ``str`` gives it.
        """
        if active:
            self.context.spend()
        if isinstance(value, dict):
            return self._mapping(value, path, active)
        if isinstance(value, (list, tuple)):
            return [self.resolve(item, (*path, i), active) for i, item in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return self._text(value, path, active)
        return value

    def _mapping(self, value, path, active):
        result = {}
        for key, item in value.items():
            item = self.resolve(item, (*path, key), active)
            new = self.resolve(key, (*path, key), active)
            if isinstance(new, (dict, list)):
                self.problems.append(Problem((*path, key), f"{key} is not text but {new!r}"))
            elif new in result:
                message = f"{key} gives {new!r}, which is there already"
                self.problems.append(Problem((*path, key), message))
            else:
                result[new] = item
        return result

    def _text(self, text, path, active):
        whole = VARIABLE.fullmatch(text)
        if whole:
            return self._value(whole, path, active)
        size, parts, end = 0, [], 0
        for match in VARIABLE.finditer(text):
            parts += [text[end : match.start()], str(self._value(match, path, active))]
            end = match.end()
            size += len(parts[-1])
            if size > MAX_TEXT:
                self.problems.append(Problem(path, f"variable {match[0]}: {TOO_LONG}"))
                return text
        return "".join([*parts, text[end:]])

    def _value(self, match, path, active):
        name = match[1] or match[2]
        try:
            return self._look_up(name, active, path)
        except NotYet as error:
            self.waiting.add(error.step)
        except Unknown as error:
            self.problems.append(Problem(path, f"variable {match[0]}: {error}"))
        return match[0]

    def _look_up(self, name, active, path):
        self.context.spend()
        parts = self._canonical(name.split("."))
        if parts in active:
            names = [".".join(item) for item in (*active[active.index(parts) :], parts)]
            raise Unknown(f"circular: {' -> '.join(names)}")
        value, active = self.context.names, (*active, parts)
        for index, part in enumerate(parts):
            value = self._enter(value, part, parts[:index])
            if isinstance(value, Pending):
                raise NotYet(value.step)
            if index + 1 < len(parts) and isinstance(value, str) and VARIABLE.fullmatch(value):
                value = self._inner(value, active)
        return self._inner(value, active)

    def _inner(self, value, active):
        """A value that was found, itself resolved; its first problem is the variable's."""
        resolver = Resolver(self.context)
        result = resolver.resolve(value, (), active)
        self.steps |= resolver.steps
        if resolver.problems:
            message = resolver.problems[0].message
            innermost = "circular: " in message or message.endswith((TOO_LONG, TOO_MANY))
            raise Unknown(message.partition(": ")[2] if innermost else message)
        if resolver.waiting:
            raise NotYet(min(resolver.waiting))
        return result

    def _canonical(self, parts):
        """The short form ``STEP.section`` as ``STEP.parameters.section``."""
        step = parts[0]
        if step in self.context.steps:
            self.steps.add(step)
            if len(parts) > 1 and parts[1] not in PUBLISHED:
                return (step, "parameters", *parts[1:])
        return tuple(parts)

    def _enter(self, value, part, before):
        where = ".".join(before)
        if isinstance(value, dict):
            if part in value:
                return value[part]
            raise Unknown(self._missing(value, part, before, where))
        if isinstance(value, (list, tuple)):
            if not re.fullmatch(r"-?\d+", part):
                raise Unknown(f"{where} is a list, so {part!r} must be an index")
            if not -len(value) <= int(part) < len(value):
                raise Unknown(f"index {part} is outside {where} ({len(value)} items)")
            return value[int(part)]
        raise Unknown(f"{where} is {value!r}, so there is no {part!r} in it")

    def _missing(self, value, part, before, where):
        if not before and part in self.context.steps:
            return f"step {part} runs later"
        if not before and part == CELL:
            return "only a cell of a sweep has a name; --cell NAME gives one"
        if len(before) == 1 and part == RESULTS:
            return f"step {before[0]} has no results before it has run"
        known = [str(key) for key in value]
        hint = f".{suggest(part, known)}"
        if before:
            allowed = f" Known there: {', '.join(known)}" if known else " It is empty"
            return f"there is no {part!r} in {where}{hint}{allowed}"
        return f"there is no step {part!r}{hint} Known here: {', '.join(known)}"
