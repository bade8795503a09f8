"""Errors that speak to the person at the keyboard: printed without a traceback."""

from cirtorch.utils.errors import DataError


class UserError(Exception):
    """A run cannot go on; the message says what, where and what to do about it."""


USER_ERRORS = (UserError, DataError, OSError)
