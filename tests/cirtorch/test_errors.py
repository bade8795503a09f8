import pytest

from cirtorch.utils.errors import suggest


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("resnet51", {"alexnet": 256, "resnet50": 2048}, " Did you mean 'resnet50'?"),
        (2010, ["first", 2011], " Did you mean '2011'?"),
        ("resnet", ["vgg"], ""),
        ("resnet", [], ""),
    ],
)
def test_the_nearest_name(name, known, hint):
    assert suggest(name, known) == hint
