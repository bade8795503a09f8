"""Step infer: pictures and descriptors from lists of names."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.artifacts import collecting
from mdir.data.labelled import LabelledImage
from mdir.errors import UserError
from mdir.inference.batches import load_same_size
from mdir.inference.outputs.naming import image_names
from mdir.inference.outputs.pixels import to_pixels
from mdir.inference.outputs.writer import Writer
from mdir.networks.files import save_network
from mdir.registry import ComponentError, register
from mdir.stages.infer import infer
from tests.sections import DATA, build, generator, single

SIZES = {"a.png": (17, 13), "d/b.jpg": (16, 12), "c.png": (16, 12), "e.png": (9, 22)}


@register("architecture", "test_channel_means")
class ChannelMeans(torch.nn.Module):
    """Describes an image by its channel means, ``[D, B]`` as retrieval networks do."""

    def __init__(self):
        super().__init__()
        self.meta = {"in_channels": 3, "out_channels": 3, "pooling": "mac"}

    def forward(self, x):
        return x.mean(dim=(2, 3)).t()


@pytest.fixture
def pictures(root):
    folder = root / "imgs"
    for seed, (name, size) in enumerate(SIZES.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    save_network(build(generator()).state_dict(), root / "g.pth")
    return folder


def params(batch_size=1, network=None, **output):
    output = {"name": "rgb", "image_dir": "out/*.png!", "stretch_by": "meanstd", **output}
    return {
        "network": network or {"path": "g.pth", "runtime": {"wrappers": ""}},
        "output": {"inference": output, "debug": True},
        "data": {
            "test": {
                "dataset": {"name": "ImageList", "image_dir": "imgs/*"},
                "loader": {"batch_size": batch_size, "num_workers": 0},
            }
        },
    }


def read(root, name):
    return np.asarray(Image.open(root / "out" / name))


def embedding(**changes):
    network = single({"architecture": "test_channel_means"}, wrappers="", data=DATA)
    given = params(network=network, **changes)
    given["output"]["inference"] = {"name": "embedding"}
    given["data"]["test"]["dataset"] = {
        "name": "CirImageList",
        "image_dir": "imgs/*",
        "image_size": None,
    }
    return given


def test_pictures_keep_size_and_values(pictures, root):
    metadata, names = infer(params(), ([*SIZES],))
    assert names == [*SIZES]
    assert set(metadata["stats"]) == {"total_time", "avg_time"}
    network = build(generator()).eval()
    for name, (width, height) in SIZES.items():
        found = read(root, os.path.splitext(name)[0] + ".png")
        assert found.shape == (height, width, 3)
        pixels = np.asarray(Image.open(pictures / name), dtype=np.float32) / 255
        image = (torch.from_numpy(pixels).permute(2, 0, 1)[None] - 0.5) / 0.5
        with torch.no_grad():
            output = network(image)[0, :, :height, :width].numpy()
        statistics = generator()["runtime"]["data"]["mean_std"]
        assert np.abs(found.astype(int) - to_pixels(output, statistics).astype(int)).max() <= 1


@pytest.mark.parametrize("threaded", [False, True])
def test_batches_of_one_size_give_the_same_pictures(pictures, root, threaded):
    infer(params(), ([*SIZES],))
    alone = {path: path.read_bytes() for path in (root / "out").rglob("*.png")}
    for path in alone:
        path.unlink()
    infer(params(batch_size=4, **{"async": threaded}), ([*SIZES],))
    assert {path: path.read_bytes() for path in (root / "out").rglob("*.png")} == alone


def test_translations_of_one_colour_are_told_unless_their_input_is_one(root, capfd):
    (root / "imgs").mkdir()
    Image.new("RGB", (16, 12), (9, 99, 200)).save(root / "imgs/plain.png")
    pixels = np.random.RandomState(0).randint(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(root / "imgs/busy.png")
    network = build(generator())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    save_network(network.state_dict(), root / "g.pth")
    infer(params(), (["plain.png", "busy.png"],))
    told = capfd.readouterr().err
    assert f"{root}/out/busy.png has one colour and its input has more" in told
    assert "plain.png" not in told


def test_append_goes_on_where_it_stopped(pictures, root):
    infer(params(), (["c.png"],))
    kept = root / "out" / "c.png"
    kept.write_bytes(b"kept")
    _, names = infer(params(append=True), ([*SIZES],))
    assert names == [*SIZES]
    assert kept.read_bytes() == b"kept"
    assert read(root, "e.png").shape == (22, 9, 3)
    metadata, names = infer(params(append=True), ([*SIZES],))
    assert metadata == {"status": "skipped"} and names == [*SIZES]


def test_no_names(pictures):
    with pytest.raises(UserError, match="standard input"):
        infer(params(), ())
    metadata, names = infer(params(), ([],))
    assert metadata == {"status": "skipped"} and names == []


@pytest.mark.parametrize("given", ["list", "folder", "txt", "tsv"])
def test_names_as_parameter(pictures, root, given):
    (root / "list.txt").write_text("a.png\n\n d/b.jpg \n")
    (root / "list.tsv").write_text("name\na.png\nd/b.jpg\n")
    names = {"list": ["a.png", "d/b.jpg"], "folder": "imgs", "txt": "list.txt", "tsv": "list.tsv"}
    _, found = infer({**params(), "names": names[given]})
    assert found == (sorted(SIZES) if given == "folder" else ["a.png", "d/b.jpg"])
    assert (root / "out" / "d" / "b.png").exists()


@pytest.mark.parametrize("names", ["absent.txt", "absent", [], "empty.txt"])
def test_names_that_are_none(pictures, root, names):
    (root / "empty.txt").write_text("\n")
    with pytest.raises(DataError):
        infer({**params(), "names": names})


def test_never_writes_over_the_input(pictures):
    before = (pictures / "a.png").read_bytes()
    with pytest.raises(UserError, match="is the input picture"):
        infer(params(image_dir="imgs/*"), (["a.png"],))
    assert (pictures / "a.png").read_bytes() == before


def test_absolute_names_stay_in_the_folder(pictures, root):
    infer(params(), ([str(pictures / "a.png"), "c.png"],))
    assert {path.name for path in (root / "out").iterdir()} == {"a.png", "c.png"}
    assert image_names(["../../x.png"]) == ["x.png"]


@pytest.mark.parametrize(
    "names, expected",
    [
        (["/photos/a.jpg"], ["a.jpg"]),
        (["/photos/a.jpg", "/photos/b/a.jpg"], ["a.jpg", "b/a.jpg"]),
        (["/one/a.jpg", "/other/a.jpg", "/one/a.jpg"], ["one/a.jpg", "other/a.jpg", "one/a.jpg"]),
        (["/set/imgs/d/a.jpg", "b.jpg", "/far/c.jpg"], ["d/a.jpg", "b.jpg", "c.jpg"]),
        (["/set/imgs/../x.jpg"], ["x.jpg"]),
        (["/a.jpg"], ["a.jpg"]),
    ],
)
def test_absolute_names_begin_below_the_folder_that_they_share(names, expected):
    assert image_names(names, image_dir="/set/imgs") == expected


def test_absolute_names_without_a_folder_are_told_protected_and_named_alike(
    pictures, root, monkeypatch
):
    monkeypatch.chdir(root)
    names = [str(pictures / "a.png"), str(pictures / "c.png")]
    given = params(append=True)
    given["data"]["test"]["dataset"]["image_dir"] = ""
    assert infer(given, (names,))[1] == ["a.png", "c.png"]
    with collecting() as told:
        metadata, _ = infer(given, (names,))
    assert metadata == {"status": "skipped"} and set(told.files[str(pictures)]) == set(names)
    before = (pictures / "a.png").read_bytes()
    given["output"]["inference"]["image_dir"] = "imgs/*"
    with pytest.raises(UserError, match="is the input picture"):
        infer(given, (names,))
    assert (pictures / "a.png").read_bytes() == before


def test_rows_of_several_pictures(pictures, root):
    _, names = infer(params(image_dir="out/*"), ([["d/b.jpg", "c.png"], ["a.png", "a.png"]],))
    assert names == ["d%b::c.png", "a::a.png"]
    assert read(root, "d%b::c.png").shape == (12, 16, 3)


def test_two_inputs_for_one_file(pictures):
    with pytest.raises(UserError, match="would be written there"):
        infer(params(), (["a.png", "a.jpg"],))


def test_unreadable_picture_is_named_and_nothing_is_left(pictures, root):
    (pictures / "bad.png").write_text("no picture")
    with pytest.raises(DataError, match="bad.png"):
        infer(params(**{"async": True}), (["bad.png"],))
    assert not list((root / "out").rglob("*"))


def test_files_are_told(pictures, root):
    with collecting() as artifacts:
        infer(params(), (["a.png"],))
    assert str(root / "out" / "a.png") in artifacts.outputs
    assert str(root / "g.pth") in artifacts.inputs
    assert str(pictures / "a.png") in artifacts.files[str(pictures)]


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("output", "name", "rbg", "Did you mean 'rgb'"),
        ("output", "stretch_by", False, "stretch_by"),
        ("output", "stretch_by", 0, "stretch_by"),
        ("output", "async", "yes", "async"),
        ("output", "imagedir", "x", "Did you mean 'image_dir'"),
        ("data", "transforms", "pil2np | totenser", "totensor"),
        ("data", "dataset", {"name": "ImageLst"}, "ImageList"),
    ],
)
def test_mistakes_are_found_before_anything_runs(root, section, key, value, message):
    given = params()
    part = given["output"]["inference"] if section == "output" else given["data"]["test"]
    part[key] = value
    with pytest.raises(ComponentError, match=message):
        infer(given, (["a.png"],))


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_descriptors(pictures, batch_size):
    _, names, vectors = infer(embedding(batch_size=batch_size), ([*SIZES],))
    assert names == [*SIZES] and vectors.dtype == np.float64
    for name, vector in zip(names, vectors, strict=True):
        pixels = np.asarray(Image.open(pictures / name), dtype=np.float64) / 255
        np.testing.assert_allclose(vector, pixels.mean(axis=(0, 1)) * 2 - 1, atol=1e-6)


def test_descriptor_of_an_unreadable_image_is_nan(pictures):
    given = embedding(batch_size=2)
    given["data"]["test"]["dataset"]["ignore_errors"] = True
    (pictures / "bad.png").write_text("no picture")
    _, _, vectors = infer(given, (["bad.png", "a.png", "c.png"],))
    assert np.isnan(vectors[0]).all() and np.isfinite(vectors[1:]).all()


def test_descriptors_of_no_images(pictures):
    metadata, names, vectors = infer(embedding(), ([],))
    assert metadata == {"status": "skipped"} and names == [] and vectors.shape[0] == 0


def test_labels_and_boxes_need_their_columns(pictures):
    given = embedding()
    given["output"]["inference"]["use_bbxs"] = True
    with pytest.raises(UserError, match="2 columns"):
        infer(given, (["a.png"],))
    _, _, vectors = infer(given, (["a.png"], [[0, 0, 4, 4]]))
    pixels = np.asarray(Image.open(pictures / "a.png"), dtype=np.float64)[:4, :4] / 255
    np.testing.assert_allclose(vectors[0], pixels.mean(axis=(0, 1)) * 2 - 1, atol=1e-6)


def test_loaded_batches_hold_one_size_with_their_labels_and_every_image_once():
    sides = np.random.RandomState(0).choice([4, 5, 6, 7, 8], 60)
    images = [
        LabelledImage(torch.full((3, s, s), float(i)), str(i), str(i), "l")
        for i, s in enumerate(sides)
    ]
    images[7], images[9] = {}, (torch.zeros(3, 4, 4), torch.ones(3, 5, 5))
    batches = {tuple(p): b for p, b in load_same_size(images, {"num_workers": 0}, 4, "loading")}
    assert sorted(i for positions in batches for i in positions) == list(range(60))
    assert batches.pop((7,)) == {} and [b.shape[-1] for b in batches.pop((9,))] == [4, 5]
    for positions, batch in batches.items():
        assert len(positions) <= 4 and batch.name == [str(i) for i in positions]
        assert batch.tensor[:, 0, 0, 0].tolist() == list(positions)


def test_writer_raises_what_a_job_raises():
    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Writer(True) as writer:
        writer.submit(fail)


def test_grey_pictures():
    grey = np.array([[[0.0, 1.0], [-1.0, 0.5]]])
    statistics = [[0.5] * 3, [0.5] * 3]
    assert to_pixels(grey, statistics).tolist() == [[127, 255], [0, 191]]
    assert to_pixels(np.zeros((1, 2, 2)), statistics, "auto").tolist() == [[0, 0], [0, 0]]
