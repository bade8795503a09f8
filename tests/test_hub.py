"""torch.hub entry points from a local checkout."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.networks.files import save_network
from tests.conftest import PROJECT
from tests.golden.golden import fill
from tests.sections import build, cirnet, generator, single

EMBEDDINGS = ["gem_vgg16_cyclegan", "gem_vgg16_hedngan"]
LARGE_EMBEDDINGS = ["gem_resnet101_cyclegan", "gem_resnet101_hedngan"]
GENERATORS = {"cyclegan": "InstanceNorm2d", "hedngan": "BatchNorm2d"}
TRANSFORM = (
    "Pil2Numpy()",
    "ApplyClahe(clip_limit=1.0, grid_size=8, colorspace=lab)",
    "ToTensor()",
    "Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], strict_shape=True)",
)


def load(entry, **given):
    return torch.hub.load(str(PROJECT), entry, source="local", device="cpu", **given)


def picture(side=64):
    pixels = np.random.RandomState(0).randint(0, 256, (side, side + 8, 3), np.uint8)
    return Image.fromarray(pixels)


def test_entries():
    import hubconf

    public = {name: item for name, item in vars(hubconf).items() if not name.startswith("_")}
    assert public.pop("dependencies") == ["torch", "torchvision"]
    assert set(public) == {*EMBEDDINGS, *LARGE_EMBEDDINGS, *GENERATORS}
    assert all(item.__doc__ for item in public.values())


@pytest.mark.parametrize(
    ("entry", "dimensions"),
    [*[(name, 512) for name in EMBEDDINGS], *[(name, 2048) for name in LARGE_EMBEDDINGS]],
)
def test_untrained_embedding(entry, dimensions, root):
    network = load(entry, pretrained=False)
    assert network.stage == "eval" and not network.model.training
    for line in TRANSFORM:
        assert line in repr(network.transform)
    image = network.transform(picture())
    with torch.no_grad():
        assert network([image[None], image[None]]).shape == (dimensions, 2)
    assert not (root / "weights").exists()


@pytest.mark.parametrize("entry", GENERATORS)
def test_untrained_generator(entry, root):
    network = load(entry, pretrained=False)
    modules = [type(module).__name__ for module in network.model.modules()]
    assert GENERATORS[entry] in modules
    image = network.transform(picture(32))
    assert image.min() >= -1 and image.max() <= 1
    with torch.no_grad():
        assert network(image[None]).shape == (1, 3, 32, 40)


@pytest.fixture
def published(root, monkeypatch):
    """A folder that stands for the host: a small filled embedding, its whitening, a generator."""
    mirror = root / "mirror"
    mirror.mkdir()
    data = {
        "transforms": "pil2np | apply_clahe:1.0 | totensor | normalize",
        "mean_std": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
    }
    embedding = build(single(cirnet("resnet18"), wrappers="cirfaketuplebatch", data=data))
    fill(embedding.model)
    states = embedding.state_dict()
    states["net"]["network_params"]["model"]["pretrained"] = True
    save_network(states, mirror / "hedngan_embed_vgg16.pth")
    random = np.random.RandomState(0)
    whitening = {"m": random.rand(512, 1) / 30, "P": random.standard_normal((512, 512))}
    (mirror / "hedngan_embed_vgg16_lw.pkl").write_bytes(pickle.dumps(whitening))
    save_network(build(generator()).state_dict(), mirror / "cyclegan_generator_X.pth")
    monkeypatch.setenv("CIRTORCH_MIRROR", str(mirror))
    return {"embedding": embedding.eval(), "whitening": whitening}


def test_published_embedding_is_whitened_over_scales(published, root):
    network = load("gem_vgg16_hedngan", pretrained=True)
    assert (root / "weights" / "hedngan_embed_vgg16.pth").exists()
    image = network.transform(picture(96))[None]
    batch = torch.cat([image, image.flip(-1)])
    with torch.no_grad():
        vector = network(image)
        both = network(batch)
    assert vector.shape == (512,) and both.shape == (512, 2)
    assert vector.norm().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(both[:, 0], vector, atol=1e-5, rtol=1e-4)
    expected = naive_descriptor(published["embedding"].model, image, published["whitening"])
    np.testing.assert_allclose(vector.numpy(), expected, atol=1e-5)


def naive_descriptor(model, image, whitening):
    """GeM over three scales, then whitening, step by step in NumPy."""
    total = 0
    for scale in (1, 2**-0.5, 0.5):
        scaled = image
        if scale != 1:
            scaled = torch.nn.functional.interpolate(
                image, scale_factor=scale, mode="bilinear", align_corners=False
            )
        with torch.no_grad():
            total = total + model(scaled)[:, 0].double().numpy() ** 3
    vector = (total / 3) ** (1 / 3)
    vector /= np.linalg.norm(vector)
    vector = whitening["P"] @ (vector - whitening["m"][:, 0])
    return vector / np.linalg.norm(vector)


def test_published_generator_from_the_cache(published, root, monkeypatch):
    load("cyclegan", pretrained=True)
    monkeypatch.delenv("CIRTORCH_MIRROR")
    network = load("cyclegan", pretrained=True)
    image = network.transform(picture(32))[None]
    with torch.no_grad():
        assert torch.equal(network(image), build(generator()).eval()(image))


def test_missing_published_file_says_what_to_do(published, root, monkeypatch):
    monkeypatch.setattr("cirtorch.downloads.fetch._obtain", refuse)
    with pytest.raises(DataError, match="CIRTORCH_MIRROR"):
        load("hedngan", pretrained=True)


def refuse(*args):
    from cirtorch.downloads.transfer import Refused

    raise Refused("is not reachable")
