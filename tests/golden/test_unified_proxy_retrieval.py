"""The pictures that UnifiedProxy's viewer leaves of a query."""

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.stages.fine_grained.retrieve import BORDER, retrieve
from tests.golden import golden


def test_cases_are_there():
    assert golden.needs("unified_proxy", "retrieval.npz")


@pytest.mark.parametrize("name", golden.files("unified_proxy", "retrieval*.npz"))
def test_pictures(name, tmp_path):
    arrays = golden.load_npz("unified_proxy", name)
    features, labels = arrays["features"], arrays["labels"].tolist()
    images = [str(tmp_path / f"{index:04d}.jpg") for index in range(len(labels))]
    for index, path in enumerate(images):
        pixels = np.random.RandomState(index).randint(0, 255, (30, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    base = {"test_images": images, "test_labels": labels}
    torch.save(base | {"test_features": torch.from_numpy(features)}, tmp_path / "data_base.pth")
    query = int(arrays["query_index"])
    found, *_ = retrieve(
        {
            "query_img_name": images[query],
            "data_base": "data_base.pth",
            "retrieval_num": int(arrays["retrieval_num"]),
            "directory": str(tmp_path),
        }
    )
    written = sorted((tmp_path / f"{query:04d}").iterdir())
    assert str(written[0].parent) == found["folder"]
    assert [path.name for path in written] == arrays["files"].tolist()
    for path, row in zip(written, arrays["size_and_topstrip_rgb"], strict=True):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), float)
        assert pixels.shape == (*row[:2], 3)
        if path.name != "query_img.jpg":  # its pixels are those of images that the set lacks
            assert pixels[:BORDER].mean((0, 1)) == pytest.approx(row[2:], abs=15)
