"""The contract of a step, as one decorator."""

import functools

from mdir.registry import ComponentError, check_parameters, schema, values


def step(function):
    """Turn a function with typed keyword-only parameters into a step.

    ``function(inputs, *, PARAMETERS) -> (metadata, *outputs)``: ``inputs`` is the tuple of columns
    that the command read from standard input (``()`` otherwise), the keyword-only parameters are
    what a scenario may write. Metadata is a mapping of plain values (or None), seen by later steps
    as ``${STEP._output_metadata...}`` and kept in the journal. Files that the step reads and
    writes are told to :mod:`mdir.artifacts`.

    The result is called as ``step(params, data)``, from a scenario and from Python alike; it
    checks its parameters first and raises :class:`~mdir.registry.ComponentError` with all problems.
    """

    @functools.wraps(function)
    def run(params, data=()):
        problems = list(check_parameters(function, params, what=f"step {function.__name__}"))
        if problems:
            raise ComponentError(problems)
        result = function(data, **values(function, params))
        return result if isinstance(result, tuple) else (result,)

    run.function = function
    run.schema = schema(function)
    run.check_section = getattr(function, "check_section", None)
    return run
