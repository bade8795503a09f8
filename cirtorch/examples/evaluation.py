"""Whitening and evaluation on test sets, as the published programs do them."""

import os
import time

import torch

from cirtorch.datasets.databases import load_database
from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.datasets.testdataset import configdataset, query_boxes
from cirtorch.downloads.known_files import known_files
from cirtorch.examples.whitening_cache import WhiteningCache
from cirtorch.networks.imageretrievalnet import extract_vectors
from cirtorch.search.ranking import count_ranks
from cirtorch.utils.download import download_test, download_train
from cirtorch.utils.errors import DataError
from cirtorch.utils.evaluate import compute_map_and_print
from cirtorch.utils.finite import require_finite
from cirtorch.utils.general import get_data_root, htime
from cirtorch.utils.protocol import make_protocol
from cirtorch.utils.whiten import whitenapply, whitenlearn


def need_test_sets(datasets):
    """Download the test sets if one that is asked for is absent."""
    root = os.path.join(get_data_root(), "test")
    if not all(os.path.exists(os.path.join(root, d, f"gnd_{d}.pkl")) for d in datasets):
        download_test(get_data_root())


def check_training_set(name, kind=""):
    """Raise DataError unless ``<name><kind>.pkl`` is in its folder or can be downloaded.

    Args:
        kind: ``""`` for training, ``"-whiten"`` for learning a whitening.
    """
    place = f"train/{name}/{name}{kind}.pkl"
    known = [file.to for file in known_files("train")]
    if place not in known and not os.path.exists(os.path.join(get_data_root(), place)):
        folders = [path.split("/")[1] for path in known]
        sets = [
            each for each in dict.fromkeys(folders) if f"train/{each}/{each}{kind}.pkl" in known
        ]
        raise DataError(
            f"unknown training set {name!r}: there is no {place} in {get_data_root()}, and only "
            f"{', '.join(sets)} can be downloaded"
        )


def check_whitening(net, name, cache=None):
    """Raise DataError if :func:`whitening_of_network` has nowhere to take a whitening from."""
    stored = net.meta.get("Lw", {}).get(name) is not None
    if not stored and not (cache is not None and os.path.isfile(cache)):
        check_training_set(name, "-whiten")


def whitening_of_network(net, name, ms, extract, cache=None, image_size=None):
    """Whitening ``(m, P)`` for a network, learned on the training set ``name``.

    Taken from the network's ``meta["Lw"]``, else from the file ``cache``, else learned from
    ``<name>-whiten.pkl`` and kept in ``cache`` where one is given. A file that says that it was
    learned from another network, otherwise or from other images is replaced.

    Args:
        extract: list of image paths -> ``[D, N]``.
        image_size: longest side in pixels, for which ``cache`` holds.
    """
    start = time.time()
    stored = net.meta.get("Lw", {}).get(name)
    if stored is not None:
        print(f">> {name}: Whitening is precomputed, loading it from network meta...")
        whitening = stored["ms" if len(ms) > 1 else "ss"]
        m, P = whitening["m"], whitening["P"]
    elif cache is not None:
        m, P = _cached(WhiteningCache(cache, net, name, ms, image_size), name, extract)
    else:
        print(f">> {name}: Learning whitening...")
        m, P = _learn(name, extract)
    print(f">> {name}: elapsed time: {htime(time.time() - start)}")
    return m, P


def _cached(cache, name, extract):
    if os.path.isfile(cache.path):
        difference = cache.difference()
        if difference is None:
            print(f">> {name}: Whitening is precomputed, loading it...")
            if cache.is_doubtful():
                print(
                    f">> warning: {cache.path} does not say what it was learned from and is older "
                    "than the network; remove it to learn it anew"
                )
            return cache.load()
        print(f">> {name}: {cache.path} was learned from {difference}: learning it anew...")
        check_training_set(name, "-whiten")
    else:
        print(f">> {name}: Learning whitening...")
    _need_training_set(cache.list)
    learned = cache.learn(lambda: _learn(name, extract))
    print(f">> {name}: Saved to {cache.path}")
    return learned


def _learn(name, extract):
    folder = os.path.join(get_data_root(), "train", name)
    path = os.path.join(folder, f"{name}-whiten.pkl")
    _need_training_set(path)
    pairs = load_database(path)
    vecs = extract([cid2filename(cid, os.path.join(folder, "ims")) for cid in pairs["cids"]])
    require_finite(vecs.t(), pairs["cids"], f"whitening on {name}")
    return whitenlearn(vecs.numpy(), pairs["qidxs"], pairs["pidxs"])


def _need_training_set(path):
    if not os.path.exists(path):
        download_train(get_data_root())


def evaluate_test_set(net, dataset, image_size, transform, ms=(1,), msp=1, whitening=None):
    """Extract, rank and score one test set, and print score and protocol.

    Args:
        whitening: None, or ``(name, (m, P))``: scored a second time with it.

    Returns:
        what :func:`~cirtorch.utils.evaluate.compute_map_and_print` gives, of the last scoring.
    """
    start = time.time()
    print(f">> {dataset}: Extracting...")
    cfg = configdataset(dataset, os.path.join(get_data_root(), "test"))
    images = [cfg["im_fname"](cfg, i) for i in range(cfg["n"])]
    queries = [cfg["qim_fname"](cfg, i) for i in range(cfg["nq"])]
    print(f">> {dataset}: database images...")
    vecs = extract_vectors(net, images, image_size, transform, ms=ms, msp=msp)
    if query_boxes(cfg) is None and queries == images:
        qvecs = vecs
    else:
        print(f">> {dataset}: query images...")
        qvecs = extract_vectors(net, queries, image_size, transform, query_boxes(cfg), ms, msp)
    require_finite(vecs.t(), images, f"{dataset} database")
    require_finite(qvecs.t(), queries, f"{dataset} queries")
    print(f">> {dataset}: Evaluating...")
    result = _score(cfg, vecs, qvecs, dataset, make_protocol(cfg, image_size, ms))
    if whitening is not None:
        name, (m, P) = whitening
        vecs, qvecs = (torch.from_numpy(whitenapply(v.numpy(), m, P)) for v in (vecs, qvecs))
        protocol = make_protocol(cfg, image_size, ms, name)
        result = _score(cfg, vecs, qvecs, dataset + " + whiten", protocol)
    print(f">> {dataset}: elapsed time: {htime(time.time() - start)}")
    return result


def _score(cfg, vecs, qvecs, title, protocol):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ranks = count_ranks(vecs.t(), qvecs, cfg["gnd"], device=device)
    return compute_map_and_print(title, ranks, cfg["gnd"], protocol=protocol)
