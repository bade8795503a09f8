"""Golden retrieval numbers of embedding networks and image loading."""

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.datasets.genericdataset import ImagesFromList
from cirtorch.networks.imageretrievalnet import init_network
from tests.golden.golden import fill, load_json, load_npz, normal

TOLERANCE = 1e-4
META = load_json("retrieval", "meta.json", {})
EMBED = {
    "embed": load_npz("retrieval", "embed.npz"),
    "embed_cirtorch": load_npz("retrieval", "embed_cirtorch.npz"),
}
KEYS = {
    "embed": load_json("retrieval", "state_dict_keys.json", {}),
    "embed_cirtorch": load_json("retrieval", "state_dict_keys_cirtorch.json", {}),
}
# first input seed of a kind, after the set's base seed
OFFSETS = {"embed": 200, "embed_cirtorch": 250}
LOADING = load_npz("retrieval", "loading.npz")
LOADING_CASES = load_json("retrieval", "loading.json", {})


def build(config, dtype=torch.float32):
    architecture, pooling, *options = config.split("-")
    names = {"w": "whitening", "lw": "local_whitening", "r": "regional"}
    params = {"architecture": architecture, "pooling": pooling, "pretrained": False}
    return init_network(params | {names[o]: True for o in options}).to(dtype).eval()


@pytest.mark.parametrize("kind, config", [(k, c) for k in KEYS for c in KEYS[k]])
def test_state_keys_and_shapes(kind, config):
    state = build(config).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == KEYS[kind][config]
    assert list(state) == list(KEYS[kind][config])


def embed_cases():
    return [
        (kind, i, config)
        for kind, arrays in EMBED.items()
        for i, config in enumerate(META.get(kind, {}).get("configs", []))
        if f"{config}_out" in arrays
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind, i, config", embed_cases())
def test_embedding(kind, i, config, dtype):
    x = torch.from_numpy(normal(META["seed"] + OFFSETS[kind] + i, META[kind]["input"])).to(dtype)
    corner = EMBED[kind][f"{config}_x"]
    np.testing.assert_array_equal(x[:, :, : corner.shape[2], : corner.shape[3]], corner)
    with torch.no_grad():
        out = fill(build(config, dtype))(x)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, EMBED[kind][f"{config}_out"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("j", range(len(LOADING_CASES.get("cases", []))))
def test_loading(j, tmp_path):
    imsize, box = LOADING_CASES["cases"][j]
    Image.fromarray(LOADING["img"]).save(tmp_path / "image.png")
    boxes = None if box is None else [box]
    loaded = ImagesFromList(str(tmp_path), ["image.png"], imsize, boxes)[0]
    np.testing.assert_array_equal(np.asarray(loaded), LOADING[f"load{j}"])


@pytest.mark.parametrize("cid, root, path", LOADING_CASES.get("cid2filename", []))
def test_paths_of_training_images(cid, root, path):
    assert cid2filename(cid, root) == path
