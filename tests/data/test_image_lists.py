"""One rule says which images a folder holds, wherever a folder of images can be given."""

import os

import numpy as np
import pytest
from PIL import Image

from cirtorch.datasets.imagefiles import IMAGE_SUFFIXES, images_of, list_images
from cirtorch.utils.errors import DataError
from cirtorch.utils.fingerprints import differences, fingerprint
from mdir import registry
from mdir.data.datasets.two_domains import TwoDomains
from mdir.data.image_files import open_image
from mdir.inference.names import name_columns
from mdir.photos.index import read_photos
from mdir.report.pictures import PictureFolder
from mdir.report.translations import translation_strips
from mdir.scores.translations import ImageSource
from tests.data.odd_folder import BELOW, FLAT, GREY, odd_folder

FLAT = sorted([*FLAT, GREY])
ALL = sorted([*FLAT, *BELOW])


@pytest.fixture
def odd(root):
    return odd_folder(root / "odd")


@pytest.fixture
def empty(root):
    folder = root / "empty"
    (folder / "sub").mkdir(parents=True)
    (folder / "notes.txt").write_text("no image")
    (folder / "._a.jpg").write_bytes(b"Mac OS X")
    return folder


def test_the_list(odd):
    os.mkfifo(odd / "pipe.jpg")
    assert list_images(odd) == FLAT
    assert list_images(odd, recursive=True) == ALL
    assert images_of(odd) == (str(odd), ALL)


def test_a_link_that_leads_nowhere_is_told_by_who_opens_it(odd, root):
    os.symlink(odd / "nowhere.jpg", odd / "broken.jpg")
    os.symlink("itself.jpg", odd / "itself.jpg")
    broken = ["broken.jpg", "itself.jpg"]
    assert list_images(odd) == sorted([*FLAT, *broken])
    assert set(broken) <= set(ImageSource({"dataset": {"image_dir": "odd"}}).names)
    for name in broken:
        with pytest.raises(DataError, match=f"odd/{name}"):
            open_image(str(odd / name))
    (root / "set" / "day").mkdir(parents=True)
    (root / "set" / "night").mkdir()
    for domain in ("day", "night"):
        os.symlink(odd, root / "set" / domain / "train")
    with pytest.raises(DataError, match=r"(?s)4 unreadable images.*broken.jpg"):
        TwoDomains(lambda image: image.size, image_dir="set")


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_what_is_listed_can_be_read(tmp_path, suffix):
    pixels = np.full((5, 7), 200, np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"x{suffix}")
    (name,) = list_images(tmp_path)
    np.testing.assert_allclose(np.asarray(open_image(str(tmp_path / name)))[..., 0], pixels, atol=2)


def test_folder_to_train_on(odd):
    section = {"name": "RandomDomainsPair", "image_dir": "", "size": None}
    section |= {"dataset_X": "odd", "dataset_Y": str(odd)}
    pairs = registry.build("dataset", section, lambda x, y: (x.size, y.size), ())
    assert pairs.paths_X == pairs.paths_Y == [str(odd / name) for name in ALL]
    np.random.seed(0)
    pairs.prepare_epoch(None)
    assert [pairs[i] for i in range(len(pairs))] == [((32, 24), (32, 24))] * len(ALL)


def test_unpaired_images_may_share_a_stem(odd):
    Image.open(odd / "a.jpg").save(odd / "a.png")
    section = {"name": "RandomDomainsPair", "image_dir": "", "size": None}
    section |= {"dataset_X": "odd", "dataset_Y": "odd"}
    assert len(registry.build("dataset", section, None, ())) == len(ALL) + 1


def test_folder_of_a_score(odd):
    assert ImageSource({"dataset": {"image_dir": "odd"}}).names == ALL
    assert ImageSource({"dataset": {"image_dir": f"{odd}/*.png"}}).names == ALL


def test_folder_of_names(odd):
    assert name_columns("odd", "odd/*") == [ALL]
    assert name_columns("odd", None) == [[str(odd / name) for name in ALL]]


def test_folder_of_photographs(tmp_path):
    album, city = tmp_path / "album", odd_folder(tmp_path / "odd")
    album.mkdir()
    for name in ("city", ".trash"):
        os.symlink(city, album / name)
    (album / "city" / "night").mkdir()
    Image.open(city / "a.jpg").save(city / "night" / "n.TIF", "TIFF")
    (city / "night" / "._n.jpg").write_bytes(b"Mac OS X")
    found = [(photo.name, photo.condition) for photo in read_photos(album)]
    assert found == [*((f"city/{name}", "day") for name in FLAT), ("city/night/n.TIF", "night")]


def test_folders_of_two_domains(odd, root):
    for domain in ("day", "night"):
        (root / "set" / domain).mkdir(parents=True)
        os.symlink(odd, root / "set" / domain / "train")
    dataset = TwoDomains(lambda image: image.size, image_dir="set")
    assert [path.name for path in dataset.files] == FLAT * 2
    assert dataset[0][0] == [(32, 24)] * 2


def test_folder_of_translations(odd, tmp_path):
    strips = translation_strips(f"{odd}/*", odd, PictureFolder(tmp_path / "report"), 99)
    assert [strip.title for strip in strips] == ALL


def test_lists_without_images_are_told(empty, root):
    section = {"name": "RandomDomainsPair", "image_dir": "", "size": None}
    section |= {"dataset_X": "empty", "dataset_Y": "empty"}
    for call in (
        lambda: list_images(empty, recursive=True),
        lambda: images_of(empty),
        lambda: registry.build("dataset", section, None, ()),
        lambda: ImageSource({"dataset": {"image_dir": "empty"}}),
        lambda: name_columns("empty", None),
    ):
        with pytest.raises(DataError) as error:
            call()
        assert str(error.value) == (
            f"{empty}: holds no image (.jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff, .ppm, .pgm)"
        )
    with pytest.raises(DataError, match="none: there is no such folder of images"):
        list_images(root / "none")
    with pytest.raises(DataError, match="none: there is no such list or folder of images"):
        images_of(root / "none")
    (root / "blank.txt").write_text("\n \n")
    for call in (images_of, lambda path: name_columns(str(path), None)):
        with pytest.raises(DataError, match="blank.txt: the list names no image"):
            call(root / "blank.txt")


def test_the_journal_sees_what_lies_behind_links(odd, root):
    recorded = fingerprint(str(odd))
    assert set(ALL) <= set(recorded["files"])
    assert differences(str(odd), recorded) == []
    far = root / "elsewhere" / "linked" / "far" / "deep.png"
    far.write_bytes(b"changed")
    assert differences(str(odd), recorded) == [f"changed: {odd}/linked/far/deep.png"]


def test_marks_and_spaces_of_editors_are_no_names(odd, root):
    content = "\ufeffa0.png \r\n\r\n  b c.png\t\r\n"
    (root / "list.txt").write_bytes(content.encode())
    assert images_of(root / "list.txt") == (str(root), ["a0.png", "b c.png"])
    assert name_columns(str(root / "list.txt"), None) == [["a0.png", "b c.png"]]
    (root / "list.lst").write_bytes("\ufeffa0.png \r\nb c.png\r\n".encode())
    assert name_columns(str(root / "list.lst"), None) == [["a0.png", "b c.png"]]
