"""The contract of a step, as one decorator."""

import functools

from mdir.registry import check_parameters, construct, refuse


def step(function=None, *, check=None):
    """Turn a function with typed keyword-only parameters into a step.

    ``function(inputs, *, PARAMETERS) -> (metadata, *outputs)``: ``inputs`` is the tuple of columns
    that the command read from standard input (``()`` otherwise), the keyword-only parameters are
    what a scenario may write. Metadata is a mapping of plain values (or None), seen by later steps
    as ``${STEP._output_metadata...}`` and kept in the journal. Files that the step reads and
    writes are told to :mod:`mdir.artifacts`.

    The result is called as ``step(params, data)``, from a scenario and from Python alike; it
    checks its parameters first and raises :class:`~mdir.registry.ComponentError` with all problems.

    Args:
        check: ``(params) -> iterable of Problem``, for what parameters say of each other.
    """
    if function is None:
        return functools.partial(step, check=check)
    if check is not None:
        function.check_section = check

    def perform(params, data=()):
        result = construct(function, params, data)
        return result if isinstance(result, tuple) else (result,)

    @functools.wraps(function)
    def run(params, data=()):
        refuse(check_parameters(function, params, what=f"step {function.__name__}"))
        return perform(params, data)

    run.function, run.perform = function, perform
    return run
