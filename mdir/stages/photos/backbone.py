"""Step: the backbone of a descriptor, chosen by its weights alone."""

from pathlib import PurePath
from typing import Annotated

from mdir import registry
from mdir.artifacts import used
from mdir.networks.architectures.parts.timm_models import local_weights
from mdir.registry import Problem, Section
from mdir.stages.step import step

RANDOM = "the descriptor starts from random weights, so that its scores mean nothing"
_SUFFIXES = (".pth", ".bin", ".safetensors")


def _check(params):
    weights, model = params.get("weights"), params.get("model")
    if not isinstance(model, dict) or registry.holds_unresolved([weights, model]):
        return
    if weights is None:
        yield Problem(("weights",), RANDOM, warns=True)
    elif isinstance(weights, str):
        key = {"pretrained": "weights"} | ({} if _is_file(weights) else {"name": "weights"})
        for problem in registry.check(Section("architecture"), _section(weights, model)):
            first, *rest = problem.path or ("model",)
            path = (key[first],) if first in key else ("model", first, *rest)
            yield Problem(path, problem.message, problem.warns)


@step(check=_check)
def backbone(
    _inputs,
    *,
    weights: str | None,
    model: Annotated[dict, Section("architecture")],
    seed: int = 0,
):
    """Say which network weights belong to, and see that they are there and fit.

    Args:
        weights: a name of timm (``MODEL.TAG``), whose weights are fetched once; a ``.pth``,
            ``.bin`` or ``.safetensors`` file of weights for ``model``; null: random ones.
        model: section of the architecture ``timm``; of a name of timm only its pooling counts.
        seed: of random weights.

    Returns:
        Metadata: ``model`` and ``initialize`` of a network's section, ``mean_std`` as text, a
        ``note`` for a page and, of random weights, ``warning``.
    """
    section = _section(weights, model)
    network = registry.make("architecture", section)
    if weights and (path := local_weights(weights)):
        used(path)
    mean_std = [network.meta["mean"], network.meta["std"]]
    note = f"The descriptor starts from {section['name']}, {weights or 'random weights'}."
    found = {
        "model": section,
        "initialize": False if weights else {"weights": "he_normal", "seed": seed},
        "mean_std": str(mean_std).replace(" ", ""),
        "note": note if weights else f"{RANDOM[0].upper()}{RANDOM[1:]}.",
    }
    print(found["note"], flush=True)
    return found if weights else found | {"warning": RANDOM}


def _is_file(weights):
    return weights.endswith(_SUFFIXES) or "/" in weights or PurePath(weights).is_absolute()


def _section(weights, model):
    if weights is None or _is_file(weights):
        return {**model, "pretrained": weights or False}
    pooling = {key: model[key] for key in ("pooling",) if key in model}
    return {"architecture": "timm", "name": weights, "pretrained": True, **pooling}
