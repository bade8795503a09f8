"""Scores of generators: pictures, FID and KID, edges."""

import numpy as np
import pytest
import scipy.linalg
import torch
import torchvision
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.errors import UserError
from mdir.networks.factory import initialize_network
from mdir.registry import Section
from mdir.scores.edges import correlation, gradient_magnitude
from mdir.scores.measures.set_distances import frechet_distance, kernel_distance
from tests import sections

HALF = [[0.5] * 3, [0.5] * 3]
DATA = sections.DATA


def write_images(folder, count, seed, size=(30, 22)):
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.RandomState(seed)
    for index in range(count):
        pixels = generator.randint(0, 256, (*reversed(size), 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.a.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def section(folder):
    data = {"dataset": {"name": "InferImageList", "image_dir": str(folder)}, **DATA}
    return {**data, "loader": {"num_workers": 0}}


def single(architecture="identity", **params):
    seeded = {"weights": "normal_p2p", "seed": 0} if params else False
    return sections.single({"architecture": architecture, **params}, seeded, wrappers="", data=DATA)


def network(sections):
    if "type" not in sections:
        sections = {"type": "NetworkSet", **sections}
    return initialize_network(sections, "cpu")


GENERATOR = single("official_resnet_generator", input_nc=3, output_nc=3, ngf=2, n_blocks=1)


@pytest.mark.parametrize(
    "sections, net_name",
    [
        (GENERATOR, None),
        ({"generator_X": GENERATOR, "other": single()}, None),
        ({"generator": GENERATOR, "other": single()}, None),
        ({"other": single(), "mine": GENERATOR}, "mine"),
        ({"set": {"type": "NetworkSet", "mine": GENERATOR}, "generator_X": single()}, "mine"),
    ],
)
def test_visual(tmp_path, sections, net_name):
    score = registry.build(
        "score",
        {"type": "visual", "data": section(write_images(tmp_path, 3, 0)), "net_name": net_name},
    )
    result = score(network(sections).eval())
    labels = [label for name in ("0.a", "1.a", "2.a") for label in (f"{name}/input", name)]
    assert list(result.images) == labels
    assert result.averages == {}
    assert score.decisive is None
    generator = network(GENERATOR).eval()
    pixels = np.asarray(Image.open(tmp_path / "0.a.png")).astype(np.float32) / 255
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = generator((image - 0.5) / 0.5)[0, :, :22, :30] * 0.5 + 0.5
    torch.testing.assert_close(result.images["0.a"], expected.clamp(0, 1))
    torch.testing.assert_close(result.images["0.a/input"], image[0])


def test_visual_keeps_images_apart_that_differ_by_their_suffix_alone(tmp_path):
    for name, level in {"v.png": 10, "v.jpg": 200, "w.png": 90, "v.png.png": 40}.items():
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(tmp_path / name)
    score = registry.build("score", {"type": "visual", "data": section(tmp_path)})
    shown = score(network(single()).eval()).images
    assert {name: round(255 * float(image.mean())) for name, image in shown.items()} == {
        **dict.fromkeys(("v.jpg/input", "v.jpg"), 200),
        **dict.fromkeys(("v.png/input", "v.png"), 10),
        **dict.fromkeys(("v.png.png/input", "v.png.png"), 40),
        **dict.fromkeys(("w/input", "w"), 90),
    }


def test_visual_says_what_it_cannot_find(tmp_path):
    folder = write_images(tmp_path / "images", 1, 0)
    score = registry.build("score", {"type": "visual", "data": section(folder), "net_name": "x"})
    with pytest.raises(UserError, match="no network 'x'.* generator_X"):
        score(network({"generator_X": GENERATOR}))
    (tmp_path / "empty").mkdir()
    for name, message in (("none", "no such folder"), ("empty", "holds no image")):
        with pytest.raises(DataError, match=message):
            registry.build("score", {"type": "visual", "data": section(tmp_path / name)})


def features(count, dimensions, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) + shift


@pytest.mark.parametrize("counts", [(50, 60), (8, 9), (40, 7)])
def test_frechet_distance(counts):
    first, second = features(counts[0], 12, 0), features(counts[1], 12, 1, 0.5) * 1.5
    covariances = [np.cov(x.numpy(), rowvar=False) for x in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1] + 1e-12 * np.eye(12)).real
    difference = (first.mean(0) - second.mean(0)).numpy()
    expected = difference @ difference + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-3)


def test_frechet_distance_of_a_set_to_itself_is_zero():
    assert frechet_distance(features(30, 12, 0), features(30, 12, 0)) == pytest.approx(0, abs=1e-9)


def naive_squared_mmd(x, y):
    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n = len(x)
    same = sum(kernel(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j)
    cross = sum(kernel(a, b) for a in x for b in y)
    return same / (n * (n - 1)) - 2 * cross / n**2


def test_kernel_distance():
    first, second = features(7, 5, 0), features(7, 5, 1, 0.4)
    mean, deviation = kernel_distance(first, second)
    assert mean == pytest.approx(naive_squared_mmd(first, second))
    assert deviation == 0
    mean, deviation = kernel_distance(features(40, 5, 0), features(30, 5, 1, 0.4), 20, 25)
    assert mean > 0
    assert deviation > 0


def test_one_image_is_no_set():
    with pytest.raises(DataError, match="2 or more images"):
        frechet_distance(features(1, 5, 0), features(4, 5, 0))


def fid(tmp_path, **params):
    folders = write_images(tmp_path / "x", 4, 0), write_images(tmp_path / "y", 5, 1)
    data = {"data": section(folders[0]), "target": section(folders[1])}
    sizes = {"backbone": "resnet18", "image_size": 32}
    return registry.build("score", {"type": "fid", **data, **sizes, **params})


def test_fid_with_local_weights(tmp_path):
    torch.manual_seed(3)
    path = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    score = fid(tmp_path, weights=str(path))
    result = score(network(single()).eval())
    assert result.averages["fid"] == -result.averages["negative_fid"] > 0
    assert result.protocol["translated_images"] == 4
    assert result.protocol["real_images"] == 5
    assert "resnet18.pth (sha256 " in result.protocol["feature_weights"]
    assert "32x32" in result.protocol["resize"]
    again = fid(tmp_path, weights=str(path), data=section(tmp_path / "y"))
    assert again(network(single()).eval()).averages["fid"] == pytest.approx(0, abs=1e-6)


def test_random_features_need_a_word(tmp_path):
    with pytest.raises(UserError, match="allow_random_features"):
        fid(tmp_path, weights=None)
    scores = [fid(tmp_path, weights=None, allow_random_features=True) for _ in range(2)]
    numbers = [score(network(single()).eval()).averages["fid"] for score in scores]
    assert numbers[0] == numbers[1]


def test_backbones_are_checked_before_anything_is_loaded(tmp_path):
    wrong = {"type": "fid", "backbone": "resnet19", "weights": None, "data": section(tmp_path)}
    (problem,) = registry.check(Section("score"), {**wrong, "target": section(tmp_path)})
    assert problem.path == ("backbone",)
    assert "resnet18" in problem.message


def test_edges_of_an_identity_are_kept(tmp_path):
    data = section(write_images(tmp_path, 2, 0))
    score = registry.build(
        "score", {"type": "edge_consistency", "data": data, "detector": "gradient"}
    )
    result = score(network(single()).eval())
    assert result.averages == pytest.approx({"correlation": 1, "l1": 0})
    changed = score(network(GENERATOR).eval())
    assert changed.averages["correlation"] < 0.9
    assert len(changed.per_query["l1"]) == 2


def test_edges_by_a_detector(tmp_path):
    data = section(write_images(tmp_path, 1, 0))
    detector = {"type": "SingleNetwork", "model": {"architecture": "hed_interpolation"}}
    detector |= {"initialize": False, "runtime": {"wrappers": "rgb2bgr_pre"}}
    params = {"type": "edge_consistency", "data": data, "detector": detector}
    result = registry.build("score", params)(network(single()).eval())
    assert result.averages == pytest.approx({"correlation": 1, "l1": 0})
    assert result.protocol["images"] == 1


def test_correlation_against_numpy():
    first, second = features(3, 50, 0), features(3, 50, 1)
    second[2] = 1
    expected = [np.corrcoef(first[i], second[i])[0, 1] for i in range(2)]
    np.testing.assert_allclose(correlation(first, second)[:2], expected)
    assert float(correlation(first, second)[2]) == 0


def test_gradient_of_a_ramp():
    ramp = (torch.arange(8.0) / 10).repeat(6, 1)[None, None].repeat(1, 3, 1, 1)
    torch.testing.assert_close(gradient_magnitude(ramp)[0, 0, :, 1:-1], torch.full((6, 6), 0.1))


@pytest.mark.parametrize("score", ["fid", "edge_consistency", "visual"])
def test_translations_without_pixels_are_named(tmp_path, score):
    params = {"data": section(write_images(tmp_path / "x", 3, 0))}
    if score == "fid":
        params |= {"target": params["data"], "backbone": "resnet18", "image_size": 32}
        params |= {"weights": None, "allow_random_features": True}
    if score == "edge_consistency":
        params["detector"] = "gradient"
    net = network(GENERATOR).eval()
    with torch.no_grad():
        for weight in net.model.parameters():
            weight.fill_(float("nan"))
    with pytest.raises(DataError, match="the generator gives NaN or infinity for 0.a.png"):
        registry.build("score", {"type": score, **params})(net)


def test_features_of_a_set_are_numbers():
    broken = features(4, 3, 0)
    broken[1] = float("nan")
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(DataError, match=r"1 of 4 images \(1\)"):
            distance(features(4, 3, 1), broken)
