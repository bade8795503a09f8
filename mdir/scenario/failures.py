"""How a step fails: whose fault it names, and in which words."""

import os
import traceback
from contextlib import contextmanager

from mdir.errors import USER_ERRORS, UserError
from mdir.scenario.tree import ScenarioError

OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class StepFailed(UserError):
    """A step did not end well; its name stands in the message, its cause behind it."""

    def __init__(self, step: str, message: str):
        self.step = step
        super().__init__(f"step {step} failed: {message}")


class Terminated(BaseException):
    """The process was asked to end (SIGTERM)."""


@contextmanager
def as_step_failure(step: str):
    """Turn whatever the block raises into :class:`StepFailed`; scenario errors pass."""
    try:
        yield
    except (ScenarioError, StepFailed):
        raise
    except Exception as error:
        raise StepFailed(step, message_of(error)) from error


def message_of(error: Exception) -> str:
    """One message for the person at the keyboard.

    An operating system's error is its path and cause; an unexpected one its type (or that memory
    ran out), text and the innermost place in our own code.
    """
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*names, error.strerror])
    if isinstance(error, USER_ERRORS):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        head = f"out of memory ({text})" if text else "out of memory"
    else:
        head = f"{type(error).__name__}: {text or 'no message'}"
    return f"{head}{_innermost(error)} (--traceback shows all)"


def _innermost(error):
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        inside = os.path.relpath(frame.filename, OURS)
        if inside.startswith(("mdir" + os.sep, "cirtorch" + os.sep)):
            return f" at {inside}:{frame.lineno}"
    return ""
