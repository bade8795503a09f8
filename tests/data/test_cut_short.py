"""Pictures cut short are read, named once with their count, and refused where a scenario asks."""

import numpy as np
import pytest
from PIL import Image

from cirtorch.datasets.datahelpers import pil_loader
from cirtorch.utils.errors import DataError
from mdir.data.loading import make_dataset, make_loader
from mdir.inference.descriptors import Views
from mdir.registry import ComponentError
from mdir.stages.infer import infer
from tests.stages.test_infer import embedding

pytestmark = pytest.mark.usefixtures("untold")


@pytest.fixture
def pictures(root):
    rng, paths = np.random.RandomState(0), []
    for number in range(6):
        path = root / "pictures" / f"{number}.{'png' if number % 2 else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.randint(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
        if number in (2, 3):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        paths.append(path)
    return paths


def section(**options):
    data = {"dataset": {"name": "ImageList", "image_dir": "pictures"}, "transforms": "totensor"}
    return {**data, **options}


def test_each_is_named_once_with_the_count(pictures, capsys):
    images = [pil_loader(path) for path in pictures for _ in range(2)]
    assert np.asarray(images[4])[:20].std() > 30 and images[6].size == (80, 60)
    lines = capsys.readouterr().err.splitlines()
    counts = [int(line.rpartition("(")[2].split()[0]) for line in lines]
    assert counts[1] == counts[0] + 1
    assert lines == [
        f"Warning: {path} is cut short and read as far as it goes ({count} so far)"
        for path, count in zip(pictures[2:4], counts, strict=True)
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_tell_each_once_and_strict_images_refuses(pictures, workers, capfd):
    names = [path.name for path in pictures]
    loader = {"batch_size": 2, "num_workers": workers}
    dataset = make_dataset(section(), None, (names,))
    for _ in range(2):
        assert len(list(make_loader(dataset, {"loader": loader}))) == 3
    assert capfd.readouterr().err.count("is cut short and read") == 2
    strict = make_dataset(section(strict_images=True), None, (names,))
    for one in (strict, Views(strict)):
        if one is not strict:
            strict.view = strict.__getitem__
        batches = iter(make_loader(one, {"loader": loader}))
        next(batches)
        with pytest.raises(DataError, match=r"2\.jpg: is cut short, which strict_images does not"):
            next(batches)


def test_a_scenario_reaches_it(pictures, root):
    params = embedding()
    params["data"]["test"]["dataset"]["image_dir"] = "pictures"
    names = ([path.name for path in pictures],)
    infer(params, names)
    params["data"]["test"]["strict_images"] = True
    with pytest.raises(DataError, match=r"pictures/2\.jpg: is cut short"):
        infer(params, names)
    params["data"]["test"]["strict_images"] = "very"
    with pytest.raises(ComponentError, match="strict_images: expected true or false, got 'very'"):
        infer(params, names)
