"""Golden retrieval numbers of embedding networks and image loading."""

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.datasets.genericdataset import ImagesFromList
from cirtorch.networks.imageretrievalnet import init_network
from tests.golden.golden import fill, load_json, load_npz
from tests.golden.retrieval_embeddings import embedding_cases, embedding_input, key_cases

TOLERANCE = 1e-4
LOADING = load_npz("retrieval", "loading.npz")
LOADING_CASES = load_json("retrieval", "loading.json", {})


def build(config, dtype=torch.float32):
    architecture, pooling, *options = config.split("-")
    names = {"w": "whitening", "lw": "local_whitening", "r": "regional"}
    params = {"architecture": architecture, "pooling": pooling, "pretrained": False}
    return init_network(params | {names[o]: True for o in options}).to(dtype).eval()


@pytest.mark.parametrize("name, config", key_cases())
def test_state_keys_and_shapes(name, config):
    expected = load_json("retrieval", name)[config]
    state = build(config).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == expected
    assert list(state) == list(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name, config", embedding_cases())
def test_embedding(name, config, dtype):
    x = torch.from_numpy(embedding_input(name, config)).to(dtype)
    with torch.no_grad():
        out = fill(build(config, dtype))(x)
    assert out.dtype == dtype
    expected = load_npz("retrieval", name)[f"{config}_out"]
    np.testing.assert_allclose(out, expected, rtol=0, atol=TOLERANCE)


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
