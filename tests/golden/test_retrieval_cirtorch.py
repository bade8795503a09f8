"""Golden retrieval numbers of layers, losses, whitening, evaluation and networks."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import cirtorch.layers.functional as LF
from cirtorch.layers.normalization import PowerLaw
from cirtorch.layers.pooling import GeM, GeMmp, GeometricMedianWeiszfeld, Rpool
from cirtorch.layers.preprocessing import EdgeFilter
from cirtorch.search.ranking import count_ranks
from cirtorch.utils.concatenate import paste_pca_normalize
from cirtorch.utils.evaluate import compute_ap, compute_map, compute_map_and_print, split_protocols
from cirtorch.utils.whiten import pcawhitenlearn, whitenapply, whitenlearn
from tests.golden.golden import fill, load_json, load_npz

TOLERANCE = 1e-5
RELATIVE = 1e-9
POOLING = load_npz("retrieval", "pooling.npz")
LOSSES = load_npz("retrieval", "losses.npz")
WHITEN = load_npz("retrieval", "whiten.npz")
EVALUATE = load_json("retrieval", "evaluate.json", {})
END = load_npz("retrieval", "endtoend.npz")
END_TEXT = load_json("retrieval", "endtoend.json", {})
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def close(found, expected, tolerance=TOLERANCE):
    found = found.detach().cpu().numpy() if torch.is_tensor(found) else found
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def pooling_case(key):
    """The computation whose result stands under ``<map>_<key>``: a function of (x, map, dtype)."""
    plain = {
        "mac": LF.mac,
        "spoc": LF.spoc,
        "l2n": LF.l2n,
        "powerlaw": PowerLaw(),
        "att_l2": lambda x: LF.l2_attention(x)[0, 0],
        "att_l2max": lambda x: LF.l2_attention(x, normalize_max=True)[0, 0],
    }
    if key in plain:
        return lambda x, name: plain[key](x)
    if key == "gemmp":
        return lambda x, name: _with_exponents(GeMmp(mp=x.shape[1]), f"{name}_gemmp_pvec")(x)
    if match := re.fullmatch(r"gem_p([\d.]+)", key):
        return lambda x, name: LF.gem(x, p=float(match[1]))
    if match := re.fullmatch(r"rmac_L(\d+)", key):
        return lambda x, name: LF.rmac(x, L=int(match[1]))
    if match := re.fullmatch(r"median_it(\d+)", key):
        return lambda x, name: GeometricMedianWeiszfeld(int(match[1]), True)(x)
    if match := re.fullmatch(r"rpool_(gem|mac)(_regions|_whiten|)", key):
        return lambda x, name: _regional(x, match[1], match[2])
    return None


def _with_exponents(layer, name):
    layer.p.data = torch.from_numpy(POOLING[name])
    return layer


def _regional(x, inner, kind):
    layer = Rpool(GeM() if inner == "gem" else LF.mac)
    if kind == "_whiten":
        layer.whiten = nn.Linear(x.shape[1], x.shape[1])
        fill(layer)
    return layer.to(x.dtype)(x, aggregate=kind != "_regions")


def pooling_cases():
    maps = sorted(
        key[:-2] for key in POOLING if key.endswith("_x") and f"{key[:-2]}_mac" in POOLING
    )
    return [
        (name, key[len(name) + 1 :])
        for name in maps
        for key in POOLING
        if key.startswith(name + "_")
        and not key.endswith(("_x", "_pvec"))
        and "_gemgrad_" not in key
    ]


@dtypes
@pytest.mark.parametrize("name, key", pooling_cases())
def test_pooling(name, key, dtype):
    compute = pooling_case(key)
    assert compute is not None, f"no test reads {name}_{key}"
    x = torch.from_numpy(POOLING[f"{name}_x"]).to(dtype)
    close(compute(x, name), POOLING[f"{name}_{key}"])


@dtypes
@pytest.mark.parametrize("name", sorted(k[:-10] for k in POOLING if k.endswith("_gemgrad_w")))
def test_pooling_gradient(name, dtype):
    x = torch.from_numpy(POOLING[f"{name}_x"]).to(dtype).requires_grad_()
    layer = GeM().to(dtype)
    (layer(x) * torch.from_numpy(POOLING[f"{name}_gemgrad_w"])).sum().backward()
    close(x.grad, POOLING[f"{name}_gemgrad_x"])
    close(layer.p.grad, POOLING[f"{name}_gemgrad_p"])


@pytest.mark.skipif("edgefilter" not in POOLING, reason="pooling.npz holds no edge filter")
def test_edge_filter():
    close(EdgeFilter()(torch.from_numpy(POOLING["edgefilter_x"])), POOLING["edgefilter"])


def loss_cases():
    labelled = sorted(key[:-6] for key in LOSSES if key.endswith("_label"))
    kinds = ("contrastive", "triplet")
    return [(case, kind) for case in labelled for kind in kinds if f"{case}_{kind}" in LOSSES]


@dtypes
@pytest.mark.parametrize("case, kind", loss_cases())
def test_losses(case, kind, dtype):
    margin = LOSSES.get(f"{case}_margin" if kind == "contrastive" else f"{case}_triplet_margin")
    arguments = {} if margin is None else {"margin": float(margin)}
    x = torch.from_numpy(LOSSES[f"{case}_x"]).to(dtype).requires_grad_()
    loss = getattr(LF, f"{kind}_loss")(x, torch.from_numpy(LOSSES[f"{case}_label"]), **arguments)
    close(loss, LOSSES[f"{case}_{kind}"])
    if f"{case}_{kind}_grad" in LOSSES:
        close(torch.autograd.grad(loss, x)[0], LOSSES[f"{case}_{kind}_grad"])


def up_to_sign(found, expected):
    signs = np.sign((found * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found * signs, expected, rtol=RELATIVE, atol=RELATIVE)


def learn_whitening(name):
    X = WHITEN["X_f64"]
    if name == "lw":
        return whitenlearn(X, WHITEN["qidxs"], WHITEN["pidxs"])
    if name == "stage":
        return whitenlearn(X.astype(np.float32), WHITEN["qidxs"], WHITEN["pidxs"])
    if name == "rankdef":
        count = int(WHITEN["rankdef_n"])
        return whitenlearn(X, WHITEN["qidxs"][:count], WHITEN["pidxs"][:count])
    shrink = re.fullmatch(r"pca(?:shrink(\d+))?", name)[1]
    return pcawhitenlearn(X, shrink=int(shrink) if shrink else None)


@pytest.mark.parametrize("name", sorted(k[:-6] for k in WHITEN if k.endswith("_m_f64")))
def test_whitening(name):
    m, P = learn_whitening(name)
    np.testing.assert_allclose(m, WHITEN[f"{name}_m_f64"], rtol=RELATIVE, atol=RELATIVE)
    if f"{name}_P_f64" in WHITEN:
        up_to_sign(P, WHITEN[f"{name}_P_f64"])
    for key in WHITEN:
        if match := re.fullmatch(rf"{name}_apply(?:_dim(\d+))?_f64", key):
            dimensions = int(match[1]) if match[1] else None
            up_to_sign(whitenapply(WHITEN["test_X_f64"], m, P, dimensions), WHITEN[key])
    if f"{name}_gram_f64" in WHITEN:
        Y = whitenapply(WHITEN["test_X_f64"], m, P)
        close(Y.T @ Y, WHITEN[f"{name}_gram_f64"], 1e-2)
        count = int(WHITEN[f"{name}_n"])
        q, p = (WHITEN["X_f64"][:, WHITEN[k][:count]] for k in ("qidxs", "pidxs"))
        close((q - p) @ (q - p).T / count, WHITEN[f"{name}_S_f64"], RELATIVE)


@pytest.mark.parametrize("row", EVALUATE.get("ap", []), ids=str)
def test_average_precision(row):
    assert compute_ap(row[0], row[1]) == pytest.approx(row[2], abs=1e-12)


def same(found, expected):
    expected = np.array(expected, dtype=float)
    np.testing.assert_allclose(np.array(found, dtype=float), expected, rtol=0, atol=1e-12)


def evaluation_cases():
    cases = [("gnd_old", "", EVALUATE["old"])] if "old" in EVALUATE else []
    return cases + [("gnd_new", name, truth) for name, truth in EVALUATE.get("new", {}).items()]


@pytest.mark.parametrize("gnd, protocol, expected", evaluation_cases())
def test_mean_average_precision(gnd, protocol, expected):
    truth = split_protocols("roxford5k", EVALUATE[gnd])[protocol]
    found = compute_map(np.array(EVALUATE["ranks"]), truth, EVALUATE["kappas"])
    for value, name in zip(found, ("map", "aps", "pr", "prs"), strict=True):
        same(value, expected[name])


def same_report(found, expected):
    for part, values in zip(found, (expected["avg"], expected["per_query"]), strict=True):
        assert list(part) == list(values)
        for name, value in values.items():
            same(part[name], value)


@pytest.mark.parametrize("name", sorted(EVALUATE.get("report", {})))
def test_report(name):
    truth = EVALUATE["gnd_old" if name == "old" else "gnd_new"]
    ranks = np.array(EVALUATE["ranks"])
    same_report(compute_map_and_print(name, ranks, truth), EVALUATE["report"][name])


def end_cases():
    """Suffixes of the rankings, e.g. "" and "_whitened16"."""
    return sorted(key[5:] for key in END if re.fullmatch(r"ranks(_whitened\d+)?", key))


def end_descriptors(suffix):
    vecs, qvecs = END["vecs"], END["qvecs"]
    if suffix:
        dimensions = int(re.search(r"\d+", suffix)[0])
        pairs = (END["whiten_qidxs"], END["whiten_pidxs"])
        m, P = whitenlearn(vecs.astype(np.float64), *pairs)
        vecs, qvecs = (whitenapply(v, m, P, dimensions) for v in (vecs, qvecs))
    return vecs, qvecs


@pytest.mark.parametrize("suffix", end_cases())
def test_end_to_end(suffix, capsys):
    vecs, qvecs = end_descriptors(suffix)
    ranks = np.argsort(-(vecs.T @ qvecs), axis=0, kind="stable")
    np.testing.assert_array_equal(ranks, END[f"ranks{suffix}"])
    counted = count_ranks(vecs.T, qvecs, END_TEXT["gnd"], rows_at_once=16)
    expected = {k: END_TEXT[f"{k}{suffix}"] for k in ("avg", "per_query", "printed")}
    name = re.match(r">> (\w+):", expected["printed"])[1]
    for ranking in (ranks, counted):
        same_report(compute_map_and_print(name, ranking, END_TEXT["gnd"]), expected)
        assert capsys.readouterr().out == expected["printed"]


@pytest.mark.skipif("tokyo_style" not in END_TEXT, reason="endtoend.json has no tokyo_style")
def test_end_to_end_with_one_list():
    gnd = [{"ok": g["easy"] + g["hard"], "junk": g["junk"]} for g in END_TEXT["gnd"]]
    same_report(compute_map_and_print("247tokyo1k", END["ranks"], gnd), END_TEXT["tokyo_style"])


SECOND_PART = 20  # where what is pasted begins, of which the arrays tell the length alone


@pytest.mark.parametrize("key", sorted(k for k in WHITEN if k.startswith("paste_")))
def test_concatenation(key):
    rows, size = WHITEN["X_f64"].T, len(WHITEN[key])
    dimensions = None if "none" in key else int(key.split("_")[1])
    second = rows[SECOND_PART : SECOND_PART + size]
    pasted = paste_pca_normalize([rows[:size], second], dimensions)
    np.testing.assert_allclose(pasted, WHITEN[key], rtol=RELATIVE, atol=RELATIVE)
