"""Extraction in batches against the published loop over single images."""

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from PIL import Image

from cirtorch.datasets.genericdataset import ImagesFromList
from cirtorch.layers.pooling import GeM, Rpool
from cirtorch.networks import extraction
from cirtorch.networks.imageretrievalnet import (
    extract_local_vectors,
    extract_ms,
    extract_regional_vectors,
    extract_ss,
    extract_vectors,
)
from cirtorch.utils.errors import DataError
from tests.cirtorch.world import TRANSFORM, draw, tiny_network

SCALES = [1, 2**-0.5, 0.5]
BOXES = [None, (1, 2, 20.5, 21.5), [], (0, 0, 30, 20), None, (3, 3, 9, 9), None]


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{i}.jpg" for i in range(7)]
    for i, path in enumerate(paths):
        draw(path, i)
    return [str(path) for path in paths]


def naive_vectors(net, images, imsize, transform, boxes, ms, msp):
    dataset = ImagesFromList("", images, imsize, boxes, transform)
    columns = []
    with torch.no_grad():
        for image in dataset:
            v = torch.zeros(net.meta["outputdim"])
            for s in ms:
                scaled = image[None]
                if s != 1:
                    scaled = F.interpolate(
                        scaled, scale_factor=s, mode="bilinear", align_corners=False
                    )
                v += net(scaled).pow(msp).squeeze()
            v = (v / len(ms)).pow(1 / msp)
            columns.append(v if list(ms) == [1] else v / v.norm())
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("boxes", [None, BOXES])
@pytest.mark.parametrize("ms, msp", [([1], 1), (SCALES, 1), (SCALES, 2.5), ([0.5], 1), ((1,), 3)])
@pytest.mark.parametrize("pixels", [1, 3000, 10**6])
def test_vectors_equal_the_loop(images, boxes, ms, msp, pixels, monkeypatch, capsys):
    monkeypatch.setattr(extraction, "PIXELS_ON_CPU", pixels)
    net = tiny_network()
    vecs = extract_vectors(net, images, 36, TRANSFORM, boxes, ms, msp, print_freq=3)
    expected = naive_vectors(net, images, 36, TRANSFORM, boxes, ms, 1 if ms == (1,) else msp)
    assert vecs.shape == (8, 7) and vecs.dtype == torch.float32 and not vecs.requires_grad
    torch.testing.assert_close(vecs, expected, atol=1e-5, rtol=0)
    assert capsys.readouterr().out.endswith("\r>>>> 7/7 done...\n")


def test_any_transform_and_any_output_size(images):
    transform = T.Compose([T.Grayscale(3), T.ToTensor()])
    net = tiny_network()
    net.whiten = torch.nn.Linear(8, 5)
    vecs = extract_vectors(net, images, None, transform)
    assert vecs.shape == (5, 7)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_scales_of_tiny_images_keep_a_pixel(tmp_path, size):
    draw(tmp_path / "x.png", 0, size)
    net = tiny_network()
    vecs = extract_vectors(net, [str(tmp_path / "x.png")], 64, TRANSFORM, ms=SCALES, msp=2)
    torch.testing.assert_close(vecs.norm(dim=0), torch.ones(1))


def test_batches_too_large_for_memory_are_halved(images, monkeypatch):
    net = tiny_network()
    expected = extract_vectors(net, images, 36, TRANSFORM)
    forward, sizes = net.forward, []

    def limited(x):
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError
        return forward(x)

    monkeypatch.setattr(net, "forward", limited)
    torch.testing.assert_close(extract_vectors(net, images, 36, TRANSFORM), expected)
    assert max(sizes) > 1


def test_single_images(images):
    net = tiny_network()
    x = TRANSFORM(ImagesFromList("", images, 36)[0])[None]
    with torch.no_grad():
        torch.testing.assert_close(extract_ss(net, x), net(x)[:, 0])
        expected = naive_vectors(net, images[:1], 36, TRANSFORM, None, SCALES, 2)[:, 0]
        torch.testing.assert_close(extract_ms(net, x, SCALES, 2), expected)


def test_local_and_regional_vectors(images):
    net = tiny_network()
    local = extract_local_vectors(net, images, 40, TRANSFORM)
    assert [v.shape[0] for v in local] == [8] * 7 and local[0].shape[1] == 20 * 15
    torch.testing.assert_close(local[0].norm(dim=0).max(), torch.tensor(1.0), atol=1e-4, rtol=0)
    net.pool = Rpool(GeM())
    regional = extract_regional_vectors(net, images, 40, TRANSFORM, ms=[1])
    x = TRANSFORM(ImagesFromList("", images, 40)[3])[None]
    with torch.no_grad():
        expected = net.pool(net.features(x), aggregate=False)[0, :, :, 0, 0].t()
    torch.testing.assert_close(regional[3], expected)
    with pytest.raises(DataError, match="one scale"):
        extract_local_vectors(net, images, 40, TRANSFORM, ms=SCALES)


def test_a_broken_image_is_named(images):
    with pytest.raises(DataError, match="absent.jpg"):
        extract_vectors(tiny_network(), [*images, "absent.jpg"], 36, TRANSFORM)


@pytest.mark.parametrize("extract", [extract_vectors, extract_local_vectors])
def test_an_image_too_narrow_for_the_network_is_named(images, tmp_path, extract):
    Image.new("RGB", (1600, 100)).save(tmp_path / "narrow.png")
    net = tiny_network()
    net.features = torch.nn.Conv2d(3, 8, 11)
    with pytest.raises(DataError, match="narrow.png: as an input of 96 x 6 pixels the network"):
        extract(net, [*images, str(tmp_path / "narrow.png")], 96, TRANSFORM)
