"""Cars and birds as ProxyAnchor and UnifiedProxy prepare and read them."""

import pytest
import torch

from mdir.data.datasets.fine_grained import FineGrainedImages
from mdir.data.image_files import open_image
from mdir.stages.fine_grained.prepare import prepare_fine_grained
from tests.data.fine_grained_sets import SIZE, write_birds, write_cars
from tests.golden import golden

CASES = [case.values for case in golden.array_cases("unified_proxy", "data_prep*.npz", "class")]
SPLITS = ("train", "test")
WRITERS = {"car": write_cars, "cub": write_birds}


@pytest.fixture(params=CASES, ids="-".join)
def drawn(request, tmp_path):
    """``(set, its folder, the golden arrays)``."""
    file, name = request.param
    arrays = golden.load_npz("unified_proxy", file)
    WRITERS[name](tmp_path / name, arrays[f"{name}_class"])
    return name, tmp_path / name, arrays


def prepare(name, folder, **options):
    return prepare_fine_grained({"set": name, "image_dir": str(folder), **options})[0]


def columns(dataset):
    return [path.name for path in dataset.files], dataset.identities


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("reencoded", [False, True])
def test_reader(drawn, split, reencoded):
    name, folder, arrays = drawn
    if reencoded:
        prepare(name, folder, reencoded=True)
    options = {"set": name, "image_dir": str(folder), "split": split, "reencoded": reencoded}
    dataset = FineGrainedImages(lambda image: image.size, **options)
    key = f"{name}_{split}"
    assert columns(dataset) == (
        arrays[f"{key}_reader_files"].tolist(),
        arrays[f"{key}_reader_labels"].tolist(),
    )
    assert dataset.classes == sorted(arrays[f"{key}_class_keys"].tolist())
    assert {dataset.view(at) for at in range(len(dataset))} == {SIZE}


def test_data_dicts(drawn):
    name, folder, arrays = drawn
    prepare(name, folder, reencoded=True)
    stored = torch.load(folder / "uncropped_data_dicts.pth", weights_only=True)
    for split in SPLITS:
        key = f"{name}_{split}"
        assert list(stored[split]) == arrays[f"{key}_class_keys"].tolist()
        rows = [f"{label}|{path}" for label, paths in stored[split].items() for path in paths]
        assert rows == arrays[f"{key}_files"].tolist()
    for paths in (path for split in stored.values() for some in split.values() for path in some):
        assert (folder.parent / paths).is_file()


def test_cropped(drawn):
    name, folder, arrays = drawn
    prepare(name, folder, cropped=True, reencoded=True)
    paths = sorted((folder / "cropped").iterdir())
    assert [path.name for path in paths] == arrays[f"{name}_cropped_names"].tolist()
    sizes = {path.name: open_image(str(path)).size for path in paths}
    assert list(map(list, sizes.values())) == arrays[f"{name}_cropped_sizes_wh"].tolist()
    for split in SPLITS:
        dataset = FineGrainedImages(
            lambda image: image.size, set=name, image_dir=str(folder), split=split, cropped=True
        )
        for at, path in enumerate(dataset.files):
            assert dataset.view(at) == sizes[path.name]


def test_reencoding_is_that_of_pillow(drawn):
    name, folder, _ = drawn
    prepare(name, folder, reencoded=True)
    for path in (folder / "uncropped").iterdir():
        (source,) = (p for p in folder.rglob(path.name) if p.parent.name != "uncropped")
        open_image(str(source)).save(folder / "expected.jpg")
        assert path.read_bytes() == (folder / "expected.jpg").read_bytes()


def test_cases_are_there():
    golden.needs("unified_proxy", "data_prep.npz")
    assert CASES
