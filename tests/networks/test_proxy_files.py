"""Models of UnifiedProxy become networks, and ours take their form."""

from types import MappingProxyType

import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.errors import UserError
from mdir.networks.factory import load_network
from mdir.networks.files import read_network_files
from mdir.networks.proxy_files import to_proxy
from mdir.stages.convert import convert
from tests import sections
from tests.networks.published_proxy_model import Model, published_model

SECTION = {
    "architecture": "proxy_embedding",
    "backbone": "resnet18",
    "feature_dim": 6,
    "classes": 4,
    "pretrained": False,
}
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def publish(path, backbone="resnet18", changed=MappingProxyType({})):
    state = published_model(backbone).state_dict() | dict(changed)
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    return str(path)


def loaded(path, told=None):
    """As it is, or by a section with what the file does not tell."""
    section = {"path": path}
    if told is not None:
        section |= {"type": "SingleNetwork", "model": SECTION | told, "runtime": {"wrappers": ""}}
    return load_network(section, "cpu").eval()


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "googlenet"])
def test_a_published_file_is_read(tmp_path, capsys, backbone):
    network = loaded(publish(tmp_path / "car_model.pth", backbone))
    model = network.network_params["model"]
    assert (model["backbone"], model["feature_dim"], model["classes"]) == (backbone, 6, 4)
    told = capsys.readouterr().err
    assert "tells neither pooling nor layer_norm" in told
    assert "Images are seen as there, resize:256 | center_crop:224:even" in told
    with torch.no_grad():
        rows, cosines = published_model(backbone)(IMAGES)
        columns = network(IMAGES)
        torch.testing.assert_close(columns.T, rows)
        torch.testing.assert_close(network.model.cosines(columns), cosines)
    assert network.runtime["data"]["mean_std"][0] == [0.485, 0.456, 0.406]


def test_files_of_bn_inception_are_of_bgr_images(tmp_path):
    network = sections.build(
        sections.single(SECTION | {"backbone": "inception"}, wrappers="")
    ).eval()
    path = tmp_path / "cub_model.pth"
    torch.save(to_proxy(network.state_dict()["net"]), path)
    again = loaded(str(path))
    assert again.runtime["data"]["mean_std"] == [[104.0, 117.0, 128.0], [1.0, 1.0, 1.0]]
    assert again.runtime["data"]["transforms"].startswith("bgr | ")
    assert torch.equal(again(IMAGES), network(IMAGES))


def test_counters_of_a_profiler_are_no_weights(tmp_path):
    zero = torch.zeros(1)
    counted = {"total_ops": zero, "backbone.layer1.total_params": zero}
    path = publish(tmp_path / "car_model.pth", changed=counted)
    weights = read_network_files(path)["net"]["model_state"]
    assert list(weights) == list(published_model("resnet18").state_dict())


def test_a_section_says_what_the_file_does_not(tmp_path, capsys):
    path = publish(tmp_path / "car_model.pth")
    told = {"pooling": "avg+max", "layer_norm": False}
    for network in (
        loaded(path, told),
        sections.build(
            {
                "type": "SingleNetwork",
                "path": path,
                "model": SECTION | told,
                "runtime": {"wrappers": ""},
            }
        ).eval(),
    ):
        assert network.network_params["model"] == SECTION | told
        ours = sections.build(sections.single(SECTION | told, wrappers="")).eval()
        ours.model.load_state_dict(published_model("resnet18").state_dict())
        assert torch.equal(network(IMAGES), ours(IMAGES))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "told, message",
    [
        ({"backbone": "googlenet"}, "car_model.pth: its backbone is resnet18, and not googlenet"),
        ({"classes": 98}, "car_model.pth: its classes is 4, and not 98"),
        ({"feature_dim": 64}, "car_model.pth: its feature_dim is 6, and not 64"),
    ],
)
def test_a_section_of_another_network(tmp_path, told, message):
    path = publish(tmp_path / "car_model.pth")
    with pytest.raises(DataError, match=message):
        loaded(path, told)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"refactor.weight": None}, "which has a matrix refactor.weight"),
        ({"fc.weight": torch.zeros(4)}, "which has a matrix fc.weight"),
        ({"fc.weight": torch.zeros(4, 5)}, r"proxies \(fc.weight\) are of 5 dimensions, .* of 6"),
        ({"epoch": 3}, "it holds more than weights by name"),
        ({3: torch.zeros(1)}, "it holds more than weights by name"),
        ({"backbone.layer1.2.conv1.weight": torch.zeros(1)}, "are of no known network"),
    ],
)
def test_other_files_are_refused(tmp_path, changed, message):
    path = publish(tmp_path / "car_model.pth", changed=changed)
    with pytest.raises(DataError, match=f"car_model.pth: .*{message}"):
        read_network_files(path)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"backbone.bn1.running_var": None}, "Missing.*backbone.bn1.running_var"),
        ({"backbone.extra": torch.zeros(1)}, "Unexpected.*backbone.extra"),
        ({"refactor.weight": torch.zeros(6, 9)}, r"refactor.weight.*\[6, 9\].*\[6, 512\]"),
    ],
)
def test_weights_that_do_not_fit_are_named_in_a_line(tmp_path, changed, message):
    path = publish(tmp_path / "car_model.pth", changed=changed)
    with pytest.raises(UserError, match=f"car_model.pth.*do not fit.*{message}") as caught:
        loaded(path)
    assert "\n" not in str(caught.value)


def test_there_and_back_bit_by_bit(root):
    publish(root / "car_resnet18_model.pth")
    published = torch.load(root / "car_resnet18_model.pth", weights_only=True)
    for source, target in (
        ("car_resnet18_model.pth", "ours.pth"),
        ("ours.pth", "ours.safetensors"),
        ("ours.safetensors", "again_model.pth"),
    ):
        convert({"source": source, "target": target}, {})
    ours = torch.load(root / "ours.pth", weights_only=True)
    assert ours["network_params"]["model"]["architecture"] == "proxy_embedding"
    again = torch.load(root / "again_model.pth", weights_only=True)
    assert list(again) == list(published)
    assert all(torch.equal(again[key], value) for key, value in published.items())
    model = Model("resnet18", 6, 4)
    model.load_state_dict(again)
    with torch.no_grad():
        rows, _ = model.eval()(IMAGES)
        torch.testing.assert_close(loaded(str(root / "ours.pth"))(IMAGES).T, rows)


@pytest.mark.parametrize(
    "told, published",
    [
        ({}, True),
        ({"pooling": "avg+max", "layer_norm": False}, True),
        ({"pooling": "avg"}, False),
        ({"layer_norm": False}, False),
    ],
)
def test_networks_that_no_published_program_has(told, published):
    state = sections.build(sections.single(SECTION | told, wrappers="")).state_dict()["net"]
    if published:
        assert list(to_proxy(state)) == list(state["model_state"])
        return
    with pytest.raises(DataError, match="is in none of the published programs"):
        to_proxy(state)
