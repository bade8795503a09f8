"""Descriptors that cannot be compared, which a score would take for similar or for dissimilar."""

import sys

import torch

from cirtorch.utils.errors import DataError

_NAMED = 5


def require_finite(rows, names=None, what="features") -> None:
    """Refuse descriptors without numbers, and tell of those without a direction.

    Args:
        rows: ``[N, D]`` tensor or array.
        names: of the N images; None: they are numbered from 0.
        what: of which images, for messages.

    Raises:
        DataError: NaN or infinity among them; it tells of how many and which.
    """
    rows = torch.as_tensor(rows)
    found = _named(~rows.isfinite().all(dim=1), names)
    if found:
        raise DataError(
            f"{what}: the network's descriptors of {found} are NaN or infinite; nothing can be "
            "compared with them"
        )
    zero = _named((rows == 0).all(dim=1), names)
    if zero:
        print(
            f"Warning: {what}: the descriptors of {zero} are zero, as similar to one image as to "
            "any other",
            file=sys.stderr,
        )
    elif len(rows) > 1 and bool((rows == rows[0]).all()):
        print(
            f"Warning: {what}: the descriptors of all {len(rows)} images are equal; images are "
            "then ranked by their order in the database",
            file=sys.stderr,
        )


def _named(broken, names):
    """How many images of how many, and the first ones; empty for none."""
    places = broken.nonzero().flatten().tolist()
    if not places:
        return ""
    shown = [str(place if names is None else names[place]) for place in places[:_NAMED]]
    more = ", ..." if len(places) > _NAMED else ""
    return f"{len(places)} of {len(broken)} images ({', '.join(shown)}{more})"
