"""Whether a scenario still describes what a checkpoint holds."""

from mdir.errors import UserError


class Differs(UserError):
    """A scenario does not describe what a checkpoint holds."""


def require_equal(given, stored, what: str) -> None:
    """Refuse where a scenario differs from a checkpoint, naming the first difference.

    Raises:
        Differs: with the key and both values.
    """
    found = _difference(given, stored, ())
    if found is not None:
        path, ours, theirs = found
        raise Differs(
            f"{what}: {'.'.join(map(str, path))} is {ours} in the scenario, but {theirs} in the "
            "checkpoint; take the scenario that made it or another checkpoint folder"
        )


def _difference(given, stored, path):
    if isinstance(given, dict) and isinstance(stored, dict):
        for key in [*given, *(key for key in stored if key not in given)]:
            if key not in given or key not in stored:
                values = [repr(d[key]) if key in d else "absent" for d in (given, stored)]
                return ((*path, key), *values)
            found = _difference(given[key], stored[key], (*path, key))
            if found is not None:
                return found
        return None
    lists = (list, tuple)
    if isinstance(given, lists) and isinstance(stored, lists) and len(given) == len(stored):
        for index, pair in enumerate(zip(given, stored, strict=True)):
            found = _difference(*pair, (*path, index))
            if found is not None:
                return found
        return None
    return None if given == stored else (path, repr(given), repr(stored))
