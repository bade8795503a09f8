"""The step that makes a network's section of weights alone."""

import pytest
import torch
from safetensors.torch import save_file

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.artifacts import collecting
from mdir.stages.photos.backbone import backbone
from tests import sections
from tests.scenario.command import run_here

MODEL = {"architecture": "timm", "name": "test_resnet", "pretrained": False, "pooling": "spoc"}
STATISTICS = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]


def step(weights, **model):
    metadata, *_ = backbone({"weights": weights, "model": {**MODEL, **model}, "seed": 3})
    return metadata


def built(metadata):
    section = {"model": metadata["model"], "initialize": metadata["initialize"]}
    runtime = {"wrappers": ""}
    return sections.build({"type": "SingleNetwork", **section, "runtime": runtime})


@pytest.fixture
def file(root):
    state = registry.make("architecture", MODEL).features.state_dict()
    torch.save(state, root / "own.pth")
    return state


def test_a_file_is_of_the_model(root, file):
    with collecting() as told:
        metadata = step("own.pth", mean_std=STATISTICS)
    assert told.inputs == [str(root / "own.pth")]
    assert metadata["mean_std"] == "[[0.1,0.2,0.3],[0.4,0.5,0.6]]"
    assert metadata["initialize"] is False and "warning" not in metadata
    network = built(metadata)
    assert torch.equal(network.model.features.conv1[0].weight, file["conv1.0.weight"])
    assert network.preprocessing["mean_std"] == STATISTICS


def test_a_name_of_timm_brings_its_model(root, file):
    """Of the scenario's model only the pooling counts: not its statistics, which are of a file."""
    (root / "weights/timm").mkdir(parents=True)
    save_file(file, root / "weights/timm/test_resnet.r160_in1k.safetensors")
    metadata = step("test_resnet.r160_in1k", name="test_vit", mean_std=STATISTICS)
    assert metadata["model"] == {
        "architecture": "timm",
        "name": "test_resnet.r160_in1k",
        "pretrained": True,
        "pooling": "spoc",
    }
    network = built(metadata)
    assert torch.equal(network.model.features.conv1[0].weight, file["conv1.0.weight"])
    assert network.preprocessing["mean_std"] == [[0.5] * 3] * 2


def test_random_weights_are_those_of_the_seed_and_told(root, capsys):
    metadata = step(None)
    assert metadata["initialize"] == {"weights": "he_normal", "seed": 3}
    assert "scores mean nothing" in metadata["warning"]
    assert "scores mean nothing" in metadata["note"] and metadata["note"] in capsys.readouterr().out
    first, second = (built(metadata).model.features.conv1[0].weight for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("resnet5", "weights: unknown timm model 'resnet5'. Did you mean 'resnet50'"),
        ("test_resnet.nowhere", "weights: timm knows no weights 'nowhere'"),
        ("other.pth", "weights: pretrained weights .*other.pth do not fit test_resnet"),
        ("empty.safetensors", "weights: .*empty.safetensors"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(root, weights, message):
    torch.save({"fc.weight": torch.zeros(2)}, root / "other.pth")
    (root / "empty.safetensors").write_bytes(b"")
    with pytest.raises(registry.ComponentError, match=message):
        step(weights)


def test_an_absent_file(root):
    with pytest.raises(DataError, match="there is no such file"):
        step("absent.safetensors")


def test_a_run_from_random_weights_begins_and_ends_with_it(tmp_path):
    (tmp_path / "s.yml").write_text(
        "go:\n  1_weights:\n    __function__: mdir.stages.photos.backbone\n    weights: null\n"
        "    model: {architecture: timm, name: test_resnet, pretrained: false}\n"
    )
    for _ in range(2):
        result = run_here("go", "s.yml", folder=tmp_path)
        assert result.returncode == 0, result.stderr
        (first,) = result.stderr.splitlines()
        assert first.startswith("warning: ") and "scores mean nothing" in first
        assert "scores mean nothing" in result.stdout.splitlines()[-1]
