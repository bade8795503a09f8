"""Which functions a text may name to make a network."""

import sys

import pytest
import torchvision

from cirtorch.networks.functions import named_function
from cirtorch.utils.errors import DataError

PLUGIN = """\
import os
from os import mkdir
from torchvision.models import resnet18

def small(name, quiet=False):
    return resnet18(weights=None), name, quiet

def _private():
    pass
"""


def test_functions_of_torchvision_and_their_arguments():
    function, values = named_function(
        "python.lib://torchvision.models.get_model/name=[architecture],weights=,quiet=True", "vgg11"
    )
    assert function is torchvision.models.get_model
    assert values == {"name": "vgg11", "weights": "", "quiet": True}
    function, _ = named_function("python.lib://torchvision.models.[architecture]", "resnet18")
    assert function is torchvision.models.resnet18
    named_function("python.lib://cirtorch.networks.pretrained.off_the_shelf/name=alexnet-gem", "")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("os.system/command=touch victim", "os.system is not called; only functions of torchv"),
        ("builtins.eval/x=1", "is not called"),
        ("torchvision.datasets.utils.download_url/url=x,root=y", "is not called"),
        ("torchvision.models._utils.IntermediateLayerGetter", "is not called"),
        ("mdir_evil.build", "is not called"),
        ("cirtorch..x", "is not called"),
        ("system", "is not called"),
        ("", "is not called"),
        ("cirtorch.utils.files.os.system/command=x", "cannot be imported"),
        (
            "cirtorch.utils.files.replace_link/target=a,link=b",
            "no function replace_link that makes",
        ),
        ("cirtorch.downloads.fetch.fetch/url=a,destination=b", "has no function fetch"),
        ("mdir.networks.files.write_tensors/path=a,tensors=b", "has no function write_tensors"),
        ("mdir.networks.files.Path/x=y", "has no function Path"),
        ("torchvision.models.resnet.partial/x=y", "has no function partial"),
        ("torchvision.models.resnet81", "Did you mean 'resnet18'?"),
        ("torchvision.models.get_model/nam=vgg11", "missing a required argument: 'name'"),
        ("torchvision.models.absent.resnet18", "torchvision.models.absent cannot be imported"),
    ],
)
def test_all_others_are_refused(place, message):
    with pytest.raises(DataError) as caught:
        named_function(f"python.lib://{place}", "resnet18")
    assert message in str(caught.value)


def test_packages_that_announce_components(tmp_path, monkeypatch):
    (tmp_path / "herb").mkdir()
    (tmp_path / "herb/__init__.py").write_text("")
    (tmp_path / "herb/nets.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    small = "python.lib://herb.nets.small/name=[architecture],quiet=True"
    with pytest.raises(DataError, match="is not called"):
        named_function(small, "resnet18")
    assert "herb" not in sys.modules
    info = tmp_path / "herb-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: herb\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[mdir.components]\nherb = herb.component\n")
    function, values = named_function(small, "resnet18")
    assert function(**values)[1:] == ("resnet18", True)
    for name in ("mkdir", "os", "_private", "resnet18"):
        with pytest.raises(DataError, match="no function|is not called"):
            named_function(f"python.lib://herb.nets.{name}", "resnet18")
