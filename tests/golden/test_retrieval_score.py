"""Golden vectors from end to end: descriptors of images to the reported scores."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from mdir import registry
from mdir.networks.single import SingleNetwork
from tests.golden.golden import load_json, load_npz

END = load_json("retrieval", "endtoend.json", {})
LAYOUTS = {"revisited": "roxford5k", "classic": "247tokyo1k"} if "gnd" in END else {}
RUNTIME = {"wrappers": "", "data": {"transforms": "pil2np | totensor"}}


class Descriptors(torch.nn.Module):
    """Looks up the descriptor of an image: red is its number, green 255 for a query."""

    def __init__(self, vecs, qvecs):
        super().__init__()
        self.vectors = [torch.from_numpy(vecs), torch.from_numpy(qvecs)]
        self.meta = {"in_channels": 3, "out_channels": len(vecs)}

    def forward(self, x):
        number, kind = (x[0, :2, 0, 0] * 255).round().long().tolist()
        return self.vectors[kind // 255][:, number : number + 1]


def truth(layout):
    if layout == "revisited":
        return END["gnd"]
    return [{"bbx": g["bbx"], "ok": g["easy"] + g["hard"], "junk": g["junk"]} for g in END["gnd"]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_score(layout, root, capsys):
    arrays = load_npz("retrieval", "endtoend.npz")
    folder = root / "data" / "test" / LAYOUTS[layout]
    (folder / "jpg").mkdir(parents=True)
    names = {}
    for kind, (key, count) in enumerate((k, arrays[k].shape[1]) for k in ("vecs", "qvecs")):
        names[key] = [f"{key}{number}" for number in range(count)]
        for number, name in enumerate(names[key]):
            picture = Image.new("RGB", (64, 64), (number, 255 * kind, 0))
            picture.save(folder / "jpg" / f"{name}.jpg", "png")
    content = {"imlist": names["vecs"], "qimlist": names["qvecs"], "gnd": truth(layout)}
    (folder / f"gnd_{LAYOUTS[layout]}.pkl").write_bytes(pickle.dumps(content))
    model = Descriptors(arrays["vecs"], arrays["qvecs"])
    network = SingleNetwork(model, {"model": {}, "runtime": RUNTIME})
    section = {"type": "cirdatasetap", "dataset": LAYOUTS[layout], "image_size": None}
    result = registry.build("score", section)(network)
    expected = END if layout == "revisited" else END["tokyo_style"]
    assert result.averages == pytest.approx(expected["avg"], abs=1e-9)
    for name, values in expected["per_query"].items():
        values = [np.nan if value is None else value for value in values]
        np.testing.assert_allclose(result.per_query[name], values, atol=1e-9)
    if layout == "revisited":
        assert END["printed"].strip() in capsys.readouterr().out
    for query, ranking in enumerate(result.rankings):
        first = arrays["ranks"][: len(ranking["found"]), query]
        assert [answer["name"] for answer in ranking["found"]] == [f"vecs{i}" for i in first]
