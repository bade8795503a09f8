"""Errors whose message is written for the person who runs an experiment."""


class DataError(ValueError):
    """Data, a file or a setting is not as it must be; the message names it and says what to do."""


class ImageError(DataError, OSError):
    """An image file is missing or cannot be read; the message names it."""
