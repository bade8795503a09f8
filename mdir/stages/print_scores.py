"""Step: the scores of evaluations, printed for a person."""

from mdir.stages.step import step

_LABELS = {
    "roxford5k/validation/score_avg:map_medium": "roxford.5k medium",
    "rparis6k/validation/score_avg:map_medium": "rparis.6k medium",
    "247tokyo1k/validation/score_avg:map": "247tokyo.1k",
    "val/validation/roxford5k/score_avg:map_medium": "roxford.5k medium",
    "val/validation/rparis6k/score_avg:map_medium": "rparis.6k medium",
    "val/validation/val_eccv20/score_avg:map": "validation eccv20",
}
_DISTANCE = "val/validation/loss_avg:dist"


@step
def print_scores(inputs, *, metadata: dict[str, dict]):
    """Print the known scores of each evaluation in percent.

    Other numbers stand below them, as they are and under their own names.

    Args:
        metadata: results by name, as in ``${4_evaluate._output_metadata}``.
    """
    for name, scores in metadata.items():
        print(f"\n{name.capitalize()}\n")
        for label, value in _lines(scores):
            print(f"    {label:<20} {value}")
        print()
    return {}


def _lines(scores):
    known, others = [], []
    for key, value in scores.items():
        if key in _LABELS and isinstance(value, (int, float)):
            known.append((_LABELS[key], round(100 * value, 2)))
        elif _DISTANCE in key:
            known.append((key.rpartition(":")[2], round(value, 8)))
        elif isinstance(value, (list, tuple)):
            scale = 100 if key in _LABELS else 1
            ends = " to ".join(f"{scale * end:.4g}" for end in value)
            (known if key in _LABELS else others).append((_LABELS.get(key, key), ends))
        elif isinstance(value, (int, float)):
            others.append((key, round(value, 8)))
    return known + others
