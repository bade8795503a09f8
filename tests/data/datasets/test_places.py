"""The folders of a place recognition set: which images, in which order, and what is refused."""

import pytest
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.data.datasets.places import Places
from mdir.errors import UserError


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)


@pytest.fixture
def city(root):
    write(root / "set/database", "@1@1@b.jpg", "sub/@2@1@a.PNG")
    write(root / "set/queries", "@1@2@q.jpeg")
    return root / "set"


def places(**options):
    return Places(lambda image: image, set="folder", image_dir="set", **options)


def test_images_and_items(city, capsys):
    write(city / "database", "@0@0@c.webp")
    found = places()
    assert found.names == ["database/@1@1@b.jpg", "database/sub/@2@1@a.PNG", "queries/@1@2@q.jpeg"]
    assert "1 images are left out, whose names do not end in .jpg" in capsys.readouterr().err
    image, about = found[2]
    assert image.size == (4, 4) and about["position"].tolist() == [1, 2] and found.database == 2
    write(city / "database", "@1@3@d.jpg")
    assert places().digest != found.digest


def test_the_list_beside_a_folder_takes_its_place(city):
    (city / "database_images_paths.txt").write_text("sub/@2@1@a.PNG\n\n@1@1@b.jpg\n")
    assert places().names[:2] == ["database/sub/@2@1@a.PNG", "database/@1@1@b.jpg"]
    (city / "database_images_paths.txt").write_text("@1@1@b.jpg\n@9@9@x.jpg\n")
    with pytest.raises(DataError, match=r"1 of 2 images are not in .*database:\n  @9@9@x.jpg"):
        places()
    (city / "database_images_paths.txt").write_text("@1@1@b.jpg\n@1@1@b.jpg\n")
    with pytest.raises(DataError, match=r"names twice:\n  @1@1@b.jpg"):
        places()


def test_pictures_of_ones_own_are_turned_as_their_camera_noted(city):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(city / "queries" / "@1@2@q.jpeg", exif=exif)
    assert places().view(2).size == (2, 4)


def test_queries_in_the_database_are_told(city, capsys):
    places(queries={"own": "database/sub"})
    told = capsys.readouterr().err
    assert "1 of 1 queries are in the database and find themselves, such as @2@1@a.PNG" in told


def test_folders_of_queries_that_overlap_or_are_absent(city, capsys):
    write(city / "queries/night", "@5@5@n.jpg")
    with pytest.raises(UserError, match="queries/night/@5@5@n.jpg is in two folders of queries"):
        places(queries={"all": "queries", "night": "queries/night"})
    with pytest.raises(DataError, match="queries_rain: there is no such folder"):
        places(queries={"rain": "queries_rain"})
    with pytest.raises(UserError, match="queries names no folder"):
        places(queries={})
    with pytest.raises(UserError, match="have the conditions of their folders .night."):
        places(queries={"night": "queries/night"}, conditions="note")


def test_conditions_of_a_set_that_are_absent_are_told(root, capsys):
    folder = root / "data/svox/images/test"
    write(folder / "gallery", "@1@1@.jpg")
    write(folder / "queries_night", "@1@1@.jpg")
    found = Places(None, set="svox", image_dir="data/svox")
    assert {name: group.tolist() for name, group in found.conditions.items()} == {"night": [0]}
    assert "no queries of overcast, rain, snow, sun" in capsys.readouterr().err


def told(**options):
    section = {"name": "places", "set": "folder", "image_dir": "set", **options}
    problems = registry.check(registry.Section("dataset"), section)
    return [(".".join(problem.path), problem.message) for problem in problems]


def test_a_set_that_is_there_without_positions_is_told_before_anything_runs(city):
    assert told() == [] and told(positions="later.csv") == [] and told(image_dir="later") == []
    (city.parent / "few.csv").write_text("file,east,north\ndatabase/@1@1@b.jpg,1,1\n")
    (city.parent / "feet.csv").write_text("file,x,y\ndatabase/@1@1@b.jpg,1,1\n")
    write(city / "night", "a.jpg")
    for options, message in (
        ({"queries": {"day": "queries", "night": "night"}}, "night/a.jpg: its name does not tell"),
        ({"positions": "few.csv"}, "queries/@1@2@q.jpeg: is not in"),
        ({"positions": "feet.csv"}, "either east, north or latitude, longitude; got file, x, y"),
        ({"positions": "exif"}, "@1@1@b.jpg: its EXIF data tell no GPS position"),
    ):
        ((key, text),) = told(**options)
        assert key == "positions" and message in text
