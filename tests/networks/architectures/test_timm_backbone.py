"""Embeddings on timm's models: maps and tokens, sizes, weights, normalization, mistakes."""

import csv
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.data.datasets.images import CirImageList
from mdir.data.transforms.parse import parse_transforms
from mdir.errors import UserError
from mdir.inference.descriptors import extract_descriptors
from mdir.learning.validation import Setting, SingleValidation
from mdir.networks.architectures.parts.timm_models import fitting_state
from mdir.networks.factory import load_network, network_from_state
from mdir.networks.files import save_network
from mdir.scores.cirdatasetap import CirDatasetAp
from mdir.scores.retrieval_sets import load_table_set
from mdir.stages.photos.photos import photos as photographs
from tests import sections
from tests.conftest import PROJECT

HALF = [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
IMAGENET = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]


def section(name="test_resnet", **params):
    return {"architecture": "timm", "name": name, "pretrained": False, **params}


def build(name="test_resnet", **params):
    torch.manual_seed(0)
    return registry.build("architecture", section(name, **params)).eval()


def images(*size, count=2):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("params", "length"),
    [
        ({}, 96),
        ({"pooling": {"type": "gem", "p": 4.5}}, 96),
        ({"pooling": "gemmp"}, 96),
        ({"pooling": "mac"}, 96),
        ({"pooling": "spoc"}, 96),
        ({"pooling": "rmac"}, 96),
        ({"pooling": {"type": "rgem", "levels": 2}}, 96),
        ({"pooling": "median", "layer": 2}, 48),
        ({"projection": 7, "projection_bias": False}, 7),
        ({"name": "test_vit"}, 64),
        ({"name": "test_vit", "pooling": "cls", "layer": 0}, 64),
        ({"name": "swin_tiny_patch4_window7_224"}, 768),
        ({"name": "hiera_tiny_224", "input_size": [224, 224]}, 768),
    ],
)
def test_unit_columns_of_any_size(params, length):
    model = build(**params)
    with torch.no_grad():
        columns = model(images(75, 90))
    assert columns.shape == (length, 2) and model.meta["out_channels"] == length
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_dinov3_qkvb"])
def test_tokens_of_patches_alone_are_the_map(name):
    """Class and register tokens stand apart; places are those that timm itself gives."""
    model = build(name)
    x = images(80, 112)
    with torch.no_grad():
        found, prefix = model.feature_map(x)
        ((expected, tokens),) = model.features.forward_intermediates(
            x, indices=1, return_prefix_tokens=True, norm=True, intermediates_only=True
        )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(prefix, tokens)
    assert found.shape[2:] == (5, 7) and prefix.shape[1] == model.features.num_prefix_tokens


def test_cls_is_the_class_token():
    model = build("test_vit", pooling="cls")
    x = images(160, 160)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.features.forward_features(x)[:, 0])
        torch.testing.assert_close(model(x), expected.T, atol=1e-5, rtol=0)


def test_sides_go_to_the_nearest_multiple_of_a_patch():
    seen = []
    model = build("test_vit")
    model.features.forward_features = lambda x: (
        seen.append(tuple(x.shape[2:])) or torch.rand(1, 1 + x.shape[2] * x.shape[3] // 256, 64)
    )
    for size in ((7, 160), (167, 169), (24, 40)):
        model(images(*size, count=1))
    assert seen == [(16, 160), (160, 176), (32, 32)]  # halves go to the even factor


def test_normalization_is_that_of_the_weights():
    network = sections.build(sections.single(section(), wrappers=""))
    assert network.preprocessing["mean_std"] == HALF
    assert network.preprocessing["transforms"] == "pil2np | totensor | normalize"
    told = section("resnet10t", mean_std=HALF)
    assert sections.build(sections.single(told, wrappers="")).preprocessing["mean_std"] == HALF
    other = {"data": {"transforms": "pil2np | totensor | normalize", "mean_std": IMAGENET}}
    with pytest.raises(registry.ComponentError, match=r"runtime.data.mean_std: .*0.5, 0.5, 0.5"):
        sections.build(sections.single(section(), wrappers="", **other))
    with pytest.raises(UserError, match="takes images of the normalization"):
        network.overlay_params({"runtime": other})
    with pytest.raises(UserError, match="takes images of the normalization"):
        network.require_normalization(IMAGENET)
    bare = sections.single(section(), wrappers="", data={"transforms": "pil2np | totensor"})
    (warned,) = registry.check(registry.Section("network"), bare)
    assert warned.warns and "normalize" in warned.message


def test_another_runtime_keeps_the_transforms_of_the_network(monkeypatch):
    """A validation with an overlay of wrappers alone reads images as the network says."""
    told = {"transforms": "pil2np | apply_clahe:1.0 | totensor | normalize"}
    network = sections.build(sections.single(section(), wrappers="", data=told))
    made = []
    monkeypatch.setattr("mdir.learning.validation.make_score", lambda *given: made.append(given))
    SingleValidation(
        Setting(network, {}),
        data=None,
        criterion={"type": "cirdatasetap"},
        network_overlay={"runtime": {"wrappers": "cirmultiscale:True"}},
        frequency=None,
    )
    assert made == [({"type": "cirdatasetap"}, {**told, "mean_std": HALF})]


@pytest.mark.parametrize("wrappers", ["", f"meanstd_post:{HALF}:{IMAGENET}"])
def test_a_generator_before_it_has_to_give_its_normalization(wrappers):
    generator = sections.generator(wrappers=wrappers.replace(" ", ""))
    members = {"augment": generator, "embed": sections.single(section(), wrappers="")}
    sequence = {"type": "SequentialNetwork", "sequence": "augment,embed", **members}
    if wrappers:
        with pytest.raises(UserError, match="takes images of the normalization"):
            sections.build(sequence)
    else:
        assert sections.build(sequence).preprocessing["mean_std"] == HALF


def test_training_as_of_the_published_networks():
    network = sections.build(sections.single(section(projection=4), wrappers="cirfaketuplebatch"))
    network.train()
    norms = [m for m in network.model.modules() if "BatchNorm" in type(m).__name__]
    assert norms and not any(norm.training for norm in norms)
    features, pool, projection = network.parameters({"lr": 0.1})
    assert pool == {"params": [network.model.pool.p], "lr": 1.0, "weight_decay": 0}
    assert "lr" not in features and len(projection["params"]) == 2
    columns = network([[images(64, 64, count=1), images(48, 80, count=1)]])
    assert columns.shape == (4, 2)
    columns.sum().backward()
    assert all(p.grad is not None for p in projection["params"])
    assert not any(p.requires_grad for p in network.freeze().model.parameters())


def test_several_scales_use_the_exponent_of_gem():
    network = sections.build(sections.single(section(), wrappers="cirmultiscale:True")).eval()
    assert network.model.pool.p.item() == 3
    vectors = extract_descriptors(network, list(images(96, 96)))
    assert vectors.shape == (96, 2)


def test_a_file_of_its_own_builds_it_again(root):
    torch.manual_seed(1)
    chosen = section("test_vit", pooling="cls", projection=5, options={"img_size": 96}, layer=1)
    network = sections.build(sections.single(chosen, wrappers="")).eval()
    save_network(network.state_dict(), root / "net.pth")
    again = load_network({"path": "net.pth"}, "cpu").eval()
    torch.testing.assert_close(again(images(64, 96)), network(images(64, 96)))
    assert again.preprocessing == network.preprocessing


def test_weights_of_files(root):
    whole = build("test_resnet").features.state_dict()
    whole = {key: torch.rand_like(value, dtype=torch.float32) for key, value in whole.items()}
    classifier = {"fc.weight": torch.rand(10, 96), "fc.bias": torch.rand(10)}
    torch.save({"state_dict": {f"module.{k}": v for k, v in (whole | classifier).items()}},
               root / "a.pth")  # fmt: skip
    save_file(whole | classifier, root / "b.safetensors")
    for file in ("a.pth", "b.safetensors"):
        model = build(pretrained=file)
        assert torch.equal(model.features.conv1[0].weight, whole["conv1.0.weight"])


def test_positions_are_fitted_to_another_size(root):
    torch.save(build("test_vit").features.state_dict(), root / "vit.pth")
    model = build("test_vit", pretrained="vit.pth", options={"img_size": 96})
    assert model.features.pos_embed.shape[1] < build("test_vit").features.pos_embed.shape[1]


def test_weights_that_do_not_fit_are_listed_before_anything_runs(root):
    state = build().features.state_dict()
    state["conv1.0.weight"] = torch.rand(1, 2, 3, 3)
    state["further"] = state.pop("layer1.0.conv1.weight")
    torch.save(state, root / "other.pth")
    problems = list(
        registry.check(registry.Section("architecture"), section(pretrained="other.pth"))
    )
    (problem,) = problems
    assert problem.path == ("pretrained",)
    assert "conv1.0.weight is [1, 2, 3, 3] in the file and [" in problem.message
    assert "layer1.0.conv1.weight is missing in the file" in problem.message
    assert "further is not in the model" in problem.message
    with pytest.raises(DataError, match="do not fit test_resnet"):
        fitting_state(build().features, str(root / "other.pth"))


@pytest.mark.parametrize("content", [b"", b"no tensors at all"])
@pytest.mark.parametrize("name", ["net.safetensors", "net.bin"])
def test_files_that_are_none(root, name, content):
    (root / name).write_bytes(content)
    with pytest.raises(registry.ComponentError, match=f"pretrained: .*{name}"):
        build(pretrained=name)
    with pytest.raises(DataError, match="there is no such file"):
        build(pretrained=f"absent-{name}")


def test_published_weights_come_from_the_mirror_or_tell_what_to_do(root, monkeypatch, tmp_path):
    state = build("test_vit").features.state_dict()
    place = tmp_path / "mirror/huggingface.co/timm/test_vit.r160_in1k/resolve/main"
    place.mkdir(parents=True)
    save_file(state, place / "model.safetensors")
    monkeypatch.setenv("CIRTORCH_MIRROR", str(tmp_path / "mirror"))
    torch.manual_seed(5)
    model = registry.build("architecture", section("test_vit", pretrained=True))
    torch.testing.assert_close(model.features.pos_embed, state["pos_embed"])
    assert (root / "weights/timm/test_vit.r160_in1k.safetensors").is_file()
    with monkeypatch.context() as offline:
        offline.setattr("mdir.networks.architectures.parts.timm_models.fetch", _no_net)
        with pytest.raises(DataError, match=r"(?s)no net.*pretrained: FILE") as failure:
            registry.build("architecture", section("test_resnet", pretrained=True))
    assert "test_resnet.r160_in1k" in str(failure.value)
    with pytest.raises(DataError, match="timm has no weights of mixer_s16_224"):
        registry.build(
            "architecture", section("mixer_s16_224", pretrained=True, input_size=[224, 224])
        )


def _no_net(url, place):
    raise DataError(f"no net for {url}")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": "resnet5"}, "name: unknown timm model 'resnet5'. Did you mean 'resnet50'"),
        ({"name": "DINOv2"}, r"unknown timm model 'DINOv2'. Did you mean 'vit_\w+_dinov2'"),
        ({"name": "hf-hub:some/model"}, "name: unknown timm model"),
        ({"name": "test_vit.nowhere"}, "name: timm knows no weights 'nowhere'.*r160_in1k"),
        ({"pooling": "gme"}, "pooling: unknown pooling 'gme'. Did you mean 'gem'"),
        ({"pooling": {"type": "gem", "p": 0}}, "pooling.p: expected more than 0"),
        ({"pooling": {"type": "gem", "q": 3}}, "pooling.q: unknown parameter 'q'"),
        ({"pooling": "cls"}, "pooling: cls needs a class token, test_resnet has none"),
        ({"options": {"deep": 1}}, "options: timm cannot make .*'deep'"),
        ({"options": {"checkpoint_path": "x"}}, "options: 'checkpoint_path' is not an option"),
        ({"name": "test_vit", "layer": 6}, "layer: expected -6 to 5, got 6"),
        ({"name": "hiera_tiny_224"}, r"input_size: .* 224 x 224 .*say input_size: \[224, 224\]"),
        ({"name": "test_vit", "input_size": [100, 96]}, "input_size: .*multiples of 16"),
        ({"mean_std": [[0.5], [0.5]]}, "mean_std: expected .means"),
        ({"mean_std": [[0.5] * 3, [0.0] * 3]}, "mean_std: a standard deviation"),
        ({"projection": -1}, "projection: expected 0 or more"),
    ],
)
def test_mistakes(params, message):
    with pytest.raises(registry.ComponentError, match=message):
        build(**params)


def test_poolings_of_other_packages(monkeypatch):
    class Both(torch.nn.Module):
        """Maximum of the map and the class token."""

        def __init__(self, channels):
            super().__init__()
            self.channels = channels

        def forward(self, features, prefix):
            assert features.shape[1] == self.channels
            return torch.cat([features.amax((2, 3)), prefix[:, 0]], dim=1)

    monkeypatch.setitem(registry.KINDS["pooling"].components, "both", Both)
    assert build("test_vit", pooling="both")(images(64, 64)).shape == (128, 2)
    with pytest.raises(registry.ComponentError, match="both needs tokens beside those of patches"):
        build("test_resnet", pooling="both")


def test_what_is_stored_cannot_name_another_place(root):
    """A file of a network is rebuilt without reading or fetching what its section names."""
    network = sections.build(sections.single(section("test_vit"), wrappers=""))
    state = network.state_dict()
    state["net"]["network_params"]["model"]["pretrained"] = "/absent/file.pth"
    network_from_state(state)


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of real weights (``WEIGHTS_ROOT``, default ``../shared/data/weights``)."""
    default = PROJECT.parent / "shared" / "data" / "weights"
    file = Path(os.environ.get("WEIGHTS_ROOT", default)) / "mobilenet_v1_imagenet.safetensors"
    if not file.exists():
        pytest.skip(f"weights are absent: {file} (set WEIGHTS_ROOT)")
    return file


@pytest.fixture
def mobilenet(weights, photos, root):
    """The network, and day and night photographs as the step ``photos`` lists them."""
    photographs({"photos": str(photos), "directory": "lists"})
    statistics = [[0.50196] * 3, [0.50196] * 3]
    options = {"pad_type": "same"}
    model = section(
        "mobilenetv1_100", options=options, pretrained=str(weights), mean_std=statistics
    )
    return sections.build(sections.single(model, wrappers="")).eval()


def tables(photos):
    lists = {"queries": "lists/night_to_day.tsv", "db": "lists/db.tsv"}
    return {"name": "night_to_day", **lists, "imgdir": f"{photos}/*"}


def test_real_weights_find_real_photographs(mobilenet, photos):
    """At 256 pixels; random weights of the same network give 3 to 10."""
    score = CirDatasetAp(dataset=tables(photos), image_size=256)
    assert score(mobilenet).averages["map"] == pytest.approx(0.378, abs=0.02)


@pytest.mark.slow
def test_real_weights_at_three_sizes_as_another_implementation_has_them(mobilenet, photos):
    """41.6 by night and 75.5 by day, plain average precision; sizes come by other filters there."""
    found = load_table_set(**tables(photos))
    transform = parse_transforms(*mobilenet.preprocessing.values())
    described = [
        sum(
            extract_descriptors(
                mobilenet, CirImageList(transform, (paths,), image_dir="", image_size=size)
            )
            for size in (512, 362, 256)
        )
        for paths in (found.image_paths, found.query_paths)
    ]
    database, queries = (torch.nn.functional.normalize(columns, dim=0) for columns in described)
    night = [truth["ok"] for truth in found.gnd]
    assert mean_precision(queries.T @ database, night) == pytest.approx(0.416, abs=0.03)
    with open(photos / "index.csv", newline="") as file:
        place = {row["path"]: row["landmark"] for row in csv.DictReader(file)}
    names = found.images
    same = [
        [
            at
            for at, other in enumerate(names)
            if other != name and place[other] == place[name] != ""
        ]
        for name in names
    ]
    similar = database.T @ database
    similar.fill_diagonal_(-2)  # a photograph does not look itself up
    asked = [row for row, others in enumerate(same) if others]
    assert len(asked) == 42
    day = mean_precision(similar[asked], [same[row] for row in asked])
    assert day == pytest.approx(0.755, abs=0.03)


def mean_precision(similarities, right):
    values = []
    for row, positives in zip(similarities, right, strict=True):
        order = row.argsort(descending=True, stable=True).tolist()
        ranks = sorted(order.index(one) for one in positives)
        values.append(sum((i + 1) / (rank + 1) for i, rank in enumerate(ranks)) / len(ranks))
    return sum(values) / len(values)
