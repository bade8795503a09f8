"""A step that does nothing but hold values for the steps after it."""

from typing import Any

from mdir.stages.step import step


@step
def settings(inputs, **values: Any):
    """Values that several steps share: ``${0_settings.NAME}`` in any later step of the target.

    An overlay or an argument ``TARGET.0_settings.NAME=value`` changes them in one place.
    """
    return {}
