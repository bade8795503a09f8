"""Errors that speak to the person at the keyboard: printed without a traceback."""

from collections.abc import Callable, Iterable

from cirtorch.utils.errors import DataError


class UserError(Exception):
    """A run cannot go on; the message says what, where and what to do about it."""


USER_ERRORS = (UserError, DataError, OSError)


def gathered(calls: Iterable[Callable]) -> list:
    """What functions give, all of them tried, so that what is amiss is told at once.

    Raises:
        UserError: with the messages of all that fail (DataError where all are of data); the error
            itself where one does.
    """
    results, errors = [], []
    for call in calls:
        try:
            results.append(call())
        except USER_ERRORS as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        kind = DataError if all(isinstance(e, DataError) for e in errors) else UserError
        messages = dict.fromkeys(m for e in errors for m in getattr(e, "messages", [str(e)]))
        together = kind("\n".join(messages))
        together.messages = [*messages]  # of what is gathered again, each is told once
        raise together
    return results
