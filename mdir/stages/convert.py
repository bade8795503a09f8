"""Step: published checkpoints and whitenings to safetensors and JSON, and back."""

import os
from types import MappingProxyType

from cirtorch.utils.safe_pickle import dump_pickle
from mdir.artifacts import produced, write_bytes
from mdir.errors import UserError
from mdir.networks import portable
from mdir.networks.files import read_network_files, save_network, write_tensors
from mdir.networks.proxy_files import is_proxy_embedding, to_proxy
from mdir.networks.reid_files import to_reid
from mdir.networks.whitening import read_whitening
from mdir.paths import local_file, resolve_path
from mdir.stages.step import step

_TAR = ".tar"


@step
def convert(inputs, *, source: str, target: str, best_epoch: dict | None = None):
    """Rewrite a network or a whitening in the format of the target's suffix.

    Args:
        source: a network's file, folder or URL, a whitening (``.pkl``), or the
            ``.safetensors`` file of either.
        target: ``.safetensors`` (a ``.json`` is written beside), ``.pth`` for a network in one
            file, ``.pkl`` for a whitening, as the published project reads them; ``.pth.tar`` for a
            re-identification network as SpCL and Cluster Contrast read it. A ``proxy_embedding``
            whose target ends in ``_model.pth`` is written as UnifiedProxy reads it.
        best_epoch: for the latter, what a training's metadata tell of the network's epoch.

    Returns:
        ``target``: the file written.
    """
    place, target = local_file(source), resolve_path(target)
    suffix = os.path.splitext(target)[1]
    if os.path.realpath(place) == os.path.realpath(target):
        raise UserError(f"{target}: source and target are the same file")
    is_whitening = place.endswith(".pkl") or (
        place.endswith(".safetensors") and portable.format_of(place) == portable.WHITENING
    )
    writers = _WHITENING_WRITERS if is_whitening else _NETWORK_WRITERS
    if best_epoch is not None and suffix != _TAR:
        raise UserError(f"{target}: best_epoch is for a target that ends in .pth.tar")
    if suffix not in writers:
        what = "whitening" if is_whitening else "network"
        raise UserError(f"{target}: a {what} is written as {' or '.join(writers)}")
    if is_whitening:
        content = dict(zip(("m", "P"), read_whitening(place, dtype=None), strict=True))
    else:
        content = read_network_files(place)
    options = {} if best_epoch is None else {"best_epoch": best_epoch}
    writers[suffix](content, target, **options)
    return {"target": target}


def _write_checkpoint(states, target):
    if target.endswith("_model.pth") and is_proxy_embedding(states["net"]):
        write_tensors(target, to_proxy(states["net"]))
        return
    save_network(states, target)
    produced(target)


def _write_reid(states, target, best_epoch=MappingProxyType({})):
    (state,) = states.values()
    epoch, best = best_epoch.get("index", -1) + 1, best_epoch.get("metric_avg.3", 0.0)
    write_tensors(target, to_reid(state, epoch, best))


_WHITENING_WRITERS = {
    ".safetensors": lambda whitening, target: portable.write_whitening(
        whitening["m"], whitening["P"], target
    ),
    ".pkl": lambda whitening, target: write_bytes(target, dump_pickle(whitening)),
}
_NETWORK_WRITERS = {
    ".safetensors": portable.write_network,
    ".pth": _write_checkpoint,
    _TAR: _write_reid,
}
