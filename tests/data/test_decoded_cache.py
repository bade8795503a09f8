"""The cache of decoded images: the same bits with it, and every doubt leads back to the file."""

import errno
import multiprocessing
import os
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data import decoded_cache
from mdir.data.decoded_cache import CachedCompose, DecodedCache, pack, unpack
from mdir.data.image_files import load_image, open_image, open_through
from mdir.data.loading import make_dataset, make_loader
from mdir.data.sections import check_data_section, without_speed
from mdir.data.transforms.geometry import CenterCrop
from mdir.data.transforms.parse import parse_transforms
from mdir.registry import Problem
from mdir.scenario.journal import why_again
from tests.data.datasets.test_tuples import PARAMS, database  # noqa: F401
from tests.data.fine_grained_sets import turn
from tests.methods.tiny_proxies import dataset as classes
from tests.methods.tiny_proxies import write_classes
from tests.methods.tiny_reid import data_section as persons
from tests.methods.tiny_reid import write_market
from tests.scores.test_place_recall import write_city

pytestmark = pytest.mark.usefixtures("untold")
MEAN_STD = ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
SIZES = [(40, 30), (31, 47), (9, 8), (1, 50)]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process that knows of no cache yet."""
    monkeypatch.setattr(decoded_cache, "_closed", {})
    monkeypatch.setattr(decoded_cache, "_counted", set())


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that are decoded from now on."""
    names, begin = [], decoded_cache.Opened.__init__

    def opened(self, image, name, is_kept):
        if not is_kept:
            names.append(name)
        begin(self, image, name, is_kept)

    monkeypatch.setattr(decoded_cache.Opened, "__init__", opened)
    return names


def noise(size, seed=0, dtype=np.uint8, channels=3):
    shape = (size[1], size[0], channels) if channels else size[::-1]
    return np.random.RandomState(seed).randint(0, np.iinfo(dtype).max + 1, shape, dtype)


def paint(folder):
    """Pictures of many kinds and sizes; returns their paths."""
    folder.mkdir(parents=True)
    for number, size in enumerate(SIZES):
        name = folder / f"{number}"
        Image.fromarray(noise(size, number)).save(f"{name}.jpg")
        Image.fromarray(noise(size, number)).save(f"{name}.png")
        Image.fromarray(noise(size, number, channels=0)).save(f"{name}-grey.jpg")
        Image.fromarray(noise(size, number, np.uint16, channels=0)).save(f"{name}-16.png")
        Image.fromarray(noise(size, number, channels=4)).save(f"{name}-clear.png")
        Image.fromarray(noise(size, number)).convert("P").save(f"{name}-palette.gif")
        Image.fromarray(noise(size, number)).convert("CMYK").save(f"{name}-cmyk.tif")
        np.save(f"{name}.npy", noise(size, number))
    return sorted(map(str, folder.iterdir()))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("cache") / "pictures")


def cached(text, gib=1, mean_std=MEAN_STD):
    return CachedCompose(parse_transforms(text, mean_std).transforms, DecodedCache(gib))


def outcome(transform, *reading):
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    try:
        result = transform(open_through(transform, *reading))
    except Exception as error:
        return type(error), str(error)
    if isinstance(result, Image.Image):
        return result.mode, result.size, result.tobytes()
    strides = result.stride() if isinstance(result, torch.Tensor) else result.strides
    strides = [step for step, size in zip(strides, result.shape, strict=True) if size > 1]
    return type(result), str(result.dtype), tuple(result.shape), strides, bytes(np.asarray(result))


LEADING = ["pil2np", "downscale:20", "resize:12", "resize_to:11_13", "pad:3", "center_crop:8_7",
           "center_crop:8:even", "square_crop", "bgr", "ratio_crop:9_8", "totensor"]  # fmt: skip
FOLLOWING = ["mirror", "random_crop:5_6", "normalize", "np_invert_chan:1", "multiply:255", "clahe",
             "random_resized_crop:7", "color_jitter", "scalecrop:6_6:0.9_1.0"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    leading=st.lists(st.sampled_from(LEADING), max_size=4),
    following=st.lists(st.sampled_from(FOLLOWING), max_size=2),
    size=st.sampled_from([None, float("inf"), 25.5, 16, 3]),
    box=st.sampled_from([None, (2, 1, 9, 8), (-3.5, 2.5, 6, 30), (5, 5, 4, 9)]),
    mode=st.sampled_from(["RGB", "L", "1"]),
    which=st.integers(0, 31),
)
def test_bits_are_those_of_the_plain_pipeline(
    pictures, tmp_path_factory, leading, following, size, box, mode, which
):
    text = " | ".join([*leading, *following])
    try:
        plain = parse_transforms(text, MEAN_STD)
    except DataError:
        return
    folder = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CIRTORCH_ROOT", str(folder))
        reading = load_image, pictures[which], size, box, False, False, mode
        expected = outcome(plain, *reading)
        for _ in range(2):
            assert outcome(cached(text), *reading) == expected


def test_the_second_time_nothing_is_decoded(root, pictures, decoded):
    images = [path for path in pictures if not path.endswith(".npy")]
    for text in ("pil2np | totensor | normalize", "downscale:20 | mirror", ""):
        for count in (len(images), 0):
            del decoded[:]
            for path in images:
                outcome(cached(text), load_image, path, 25)
            assert len(decoded) == count
    assert len(list((root / "cache/decoded").rglob("??/*"))) == 3 * len(images)


def test_ordinary_images_go_through_the_whole_pipeline(root, pictures):
    text = "pil2np | center_crop:4 | totensor | normalize"
    both, plain = cached(text), parse_transforms(text, MEAN_STD)
    path = pictures[0]
    kept = [both(open_through(both, load_image, path, 25)) for _ in range(2)][1]
    mixed = both(load_image(path, 25), open_through(both, load_image, path, 25))
    for image in (kept, both(load_image(path, 25)), *mixed):
        assert torch.equal(image, plain(load_image(path, 25)))


def test_arguments_and_transforms_have_images_of_their_own(root, pictures):
    path = next(path for path in pictures if path.endswith("0.png"))
    for size in (25, 16):
        for upright in (False, True):
            for box in (None, (1, 2, 20, 21)):
                for text in ("pil2np", "pil2np | center_crop:4", "pil2np | center_crop:4:even"):
                    reading = load_image, path, size, box, False, upright
                    for _ in range(2):
                        found = outcome(cached(text), *reading)
                        assert found == outcome(parse_transforms(text), *reading)


def test_a_changed_picture_is_read_again(root):
    paint(root / "pictures")
    path = str(root / "pictures/0.jpg")
    plain, status = parse_transforms("pil2np"), os.stat(path)
    before = outcome(cached("pil2np"), open_image, path)
    Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path, quality=75)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # only the status tells
    after = outcome(cached("pil2np"), open_image, path)
    assert after == outcome(plain, open_image, path) != before
    os.unlink(path)
    assert "there is no such image" in outcome(cached("pil2np"), open_image, path)[1]


def test_a_cut_out_of_another_file_is_read_again(root):
    """``load_images_with_bbx``: the picture and the file of the box both count."""
    folder = root / "x"
    folder.mkdir()
    Image.fromarray(noise((30, 20))).save(folder / "a.png")
    part = {"name": "CirImageList", "image_dir": "x*.png", "image_size": 20}
    part = {**part, "load_images_with_bbx": True}
    for seed in (1, 2):
        Image.fromarray(noise((10, 10), seed)).save(folder / "a.0_0_10_10.png")
        for _ in range(2):
            section = {"dataset": part, "transforms": "totensor", "decoded_cache": 1}
            item = make_dataset(section, None, (["a.png"], [[0, 0, 10, 10]]))[0]
            shrunk = Image.fromarray(noise((10, 10), seed))
            shrunk.thumbnail((6, 6), Image.Resampling.LANCZOS)
            assert torch.equal(item.tensor, parse_transforms("totensor")(shrunk))


@pytest.mark.parametrize("damage", ["short", "empty", "bit", "shape", "magic", "folder"])
def test_a_damaged_file_is_decoded_and_made_anew(root, pictures, damage, decoded):
    path, text = pictures[1], "pil2np | totensor"
    expected = outcome(cached(text), load_image, path, 25)
    (file,) = (root / "cache/decoded").rglob("??/*")
    whole = file.read_bytes()
    damaged = bytearray(whole)
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        places = {"bit": -1, "shape": 25, "magic": 5}
        if damage in places:
            damaged[places[damage]] ^= 1
        file.write_bytes(damaged[: {"short": 50, "empty": 0}.get(damage)])
    assert [outcome(cached(text), load_image, path, 25) for _ in range(2)] == [expected] * 2
    assert len(decoded) == (3 if damage == "folder" else 2)
    assert damage == "folder" or file.read_bytes() == whole


def test_images_that_8_bits_are_too_few_for_are_not_packed():
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3)
    assert pack(values) is None and pack(values.astype(np.float64)) is None
    for odd in (np.nan, -0.0, 1.5, -1 / 255, 256 / 255):
        assert pack(np.full((2, 2, 3), odd, np.float32)) is None
    assert pack(Image.new("I;16", (3, 3))) is None
    levels = np.arange(256, dtype=np.float32).reshape(16, 16, 1) / np.float32(255)
    assert np.array_equal(unpack(pack(levels)), levels)
    assert torch.equal(unpack(pack(torch.from_numpy(levels))), torch.from_numpy(levels))


class Shifted(CenterCrop):
    """A transform of somebody's own, made of one of ours."""

    def apply(self, image):
        return super().apply(image) + np.float32(np.random.rand())


def test_transforms_made_of_ours_are_not_taken_for_them(root, pictures):
    pipeline = CachedCompose([*parse_transforms("pil2np").transforms, Shifted(size="4")],
                             DecodedCache(1))  # fmt: skip
    images = [pipeline(open_through(pipeline, open_image, pictures[1])) for _ in range(3)]
    assert not np.array_equal(images[1], images[2])


GIB = 2**30


def names_of(paths):
    return ([os.path.basename(path) for path in paths if not path.endswith(".npy")],)


def listed(**options):
    data = {"name": "ImageList", "image_dir": "pictures"}
    return {"dataset": data, "transforms": "resize_to:16 | totensor", **options}


def stored(root):
    return [file for file in (root / "cache/decoded").rglob("*") if file.is_file()]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_cache_says_so_once_and_keeps_its_bound(root, workers, capfd):
    names, limit = names_of(paint(root / "pictures")), 5500
    loader = {"batch_size": 2, "num_workers": workers}
    other = root / "cache/decoded/other"
    other.parent.mkdir(parents=True)
    other.write_bytes(bytes(1000))
    plain = list(make_loader(make_dataset(listed(), None, names), {"loader": loader}))
    for _ in range(2):
        dataset = make_dataset(listed(decoded_cache=limit / GIB), None, names)
        for epoch in range(2):
            batches = list(make_loader(dataset, {"loader": loader}, epoch=epoch))
            assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(batches, plain, strict=True))
    told = capfd.readouterr().err
    assert told.count("no more are kept") == told.count("Warning") == 1
    assert "cache/decoded holds 0.00 GiB of decoded images, and decoded_cache admits" in told
    assert "Raise decoded_cache, or remove the folder" in told
    kept = [file for file in stored(root) if file.parent != other.parent]
    assert len(kept) == 5 and sum(file.stat().st_size for file in stored(root)) <= limit
    assert other.read_bytes() == bytes(1000)


def test_what_was_removed_makes_room(root, capfd):
    names = names_of(paint(root / "pictures"))
    list(make_dataset(listed(decoded_cache=3000 / GIB), None, names))
    first = stored(root)
    for file in first:
        file.unlink()
    list(make_dataset(listed(decoded_cache=6000 / GIB), None, names))
    assert len(stored(root)) == 7 + 1  # images of 800 bytes, and their total
    assert capfd.readouterr().err.count("no more are kept") == 2


@pytest.mark.parametrize("total", ["", "many", "-" * 30])
def test_a_lost_total_is_counted_again(root, total):
    names = names_of(paint(root / "pictures"))
    list(make_dataset(listed(decoded_cache=3000 / GIB), None, names))
    (root / "cache/decoded/total").write_text(total)
    count = len(stored(root))
    decoded_cache._closed.clear()
    list(make_dataset(listed(decoded_cache=3000 / GIB), None, names))
    assert len(stored(root)) == count == 4


def fill(names, root, gate):
    gate.wait()
    dataset = make_dataset(listed(decoded_cache=1), None, names)
    for _ in range(2):
        list(dataset)


def test_several_runs_fill_it_at_once(root):
    names = names_of(paint(root / "pictures"))
    fork = multiprocessing.get_context("fork")
    gate = fork.Barrier(3)
    runs = [fork.Process(target=fill, args=(names, root, gate)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * 3
    sizes = {file.name: file.stat().st_size for file in stored(root)}
    total = int((root / "cache/decoded/total").read_text())
    assert sizes.pop("total") == 20 and len(sizes) == len(names[0])
    assert total - 20 <= sum(sizes.values()) <= total


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_that_cannot_be_written(root, code, workers, monkeypatch, capfd):
    """What is there is used, the rest is decoded, and a line says why."""
    names, loader = names_of(paint(root / "pictures")), {"batch_size": 2, "num_workers": workers}
    plain = list(make_loader(make_dataset(listed(), None, names), {"loader": loader}))
    make_dataset(listed(decoded_cache=1), None, names)[0]
    files = stored(root)

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(decoded_cache, "atomic_write", refuse)
    dataset = make_dataset(listed(decoded_cache=1), None, names)
    for _ in range(2):
        batches = list(make_loader(dataset, {"loader": loader}))
        assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(batches, plain, strict=True))
    told = capfd.readouterr().err
    assert told.count("Warning") == 1 and os.strerror(code) in told
    assert "no decoded images are kept there" in told
    assert stored(root) == files


def test_a_folder_that_cannot_be_made(root, capfd):
    names = names_of(paint(root / "pictures"))
    (root / "cache").write_text("")
    dataset = make_dataset(listed(decoded_cache=1), None, names)
    assert len(list(dataset)) == len(names[0])
    assert capfd.readouterr().err.count("no decoded images are kept there") == 1


def test_what_is_told_of_a_file_is_told_by_every_run(root, monkeypatch, capfd):
    paths = paint(root / "pictures")
    cut, turned = (path for path in paths if path.endswith(("0.jpg", "1.jpg")))
    with open(cut, "r+b") as file:
        file.truncate(os.path.getsize(cut) - 20)
    turn(root / "pictures/1.jpg")
    transform = cached("totensor")
    for _ in range(2):
        for path in (cut, turned):
            transform(open_through(transform, open_image, path))
    assert not stored(root)
    told = capfd.readouterr().err
    assert f"{cut} is cut short" in told and f"{turned} was taken with the camera turned" in told
    transform(open_through(transform, open_image, turned, "RGB", True))
    assert len(stored(root)) == 2  # upright, nothing is wrong with it


@pytest.mark.parametrize("workers", [0, 1])
def test_strict_images_refuses_every_time(root, workers):
    paths = [path for path in paint(root / "pictures") if path.endswith(".jpg")]
    with open(paths[1], "r+b") as file:
        file.truncate(os.path.getsize(paths[1]) - 20)
    loader = {"batch_size": 1, "num_workers": workers}
    forgiving = make_dataset(listed(decoded_cache=1), None, names_of(paths))
    assert len(list(make_loader(forgiving, {"loader": loader}))) == len(paths)
    for _ in range(2):
        strict = make_dataset(listed(decoded_cache=1, strict_images=True), None, names_of(paths))
        with pytest.raises(DataError, match="is cut short, which strict_images does not admit"):
            list(make_loader(strict, {"loader": loader}))


def two_domains(root):
    for seed, place in enumerate(("day/train/0.png", "night/train/0.png")):
        (root / "set" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise((20, 16), seed)).save(root / "set" / place)
    return {"name": "TwoDomains", "image_dir": "set", "split": "train"}


def unpaired(root):
    two_domains(root)
    params = {"image_dir": "", "size": 2}
    return {"name": "RandomDomainsPair", "dataset_X": "set/day/train",
            "dataset_Y": "set/night/train", **params}  # fmt: skip


def market(root):
    write_market(root, persons=1)
    return persons(root)["dataset"]


def birds(root):
    write_classes(root)
    return classes("train")


def city(root):
    write_city(root)
    return {"name": "places", "set": "folder", "image_dir": "set"}


def picked(root):
    paint(root / "pictures")
    (root / "t.tsv").write_text('names\n["0.jpg", "1.png", "2.jpg"]\n')
    return {"name": "PregeneratedImageTuple", "dataset": "t.tsv", "data_key": "names",
            "image_dir": "pictures", "idx": "0_-1_any"}  # fmt: skip


def tuples(root):
    return {"name": "CirTuples", **PARAMS}


def flat(item):
    if isinstance(item, (list, tuple)):
        return [part for one in item for part in flat(one)]
    if isinstance(item, dict):
        return flat(list(item.values()))
    return [getattr(item, "tensor", item)]


def prepared(dataset, seed):
    """Whatever an epoch looks at: what is mined, too."""
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    seen = []

    def extract(images, what):
        columns = [images[index].tensor.mean((1, 2)) for index in range(len(images))]
        seen.extend(columns)
        return torch.nn.functional.normalize(torch.stack(columns, dim=1), dim=0)

    if hasattr(dataset, "prepare_epoch"):
        dataset.prepare_epoch(extract)
    return seen + [part for index in range(len(dataset)) for part in flat(dataset[index])]


@pytest.mark.parametrize("write", [two_domains, unpaired, market, birds, city, picked, tuples])
def test_every_dataset_gives_what_it_gave(root, database, write, decoded):  # noqa: F811
    section = {"dataset": write(root), "transforms": "resize_to:12_10 | mirror | totensor"}
    assert not list(check_data_section({**section, "decoded_cache": 0.5}))
    plain = prepared(make_dataset(section), 5)
    for count in (1, 0):
        del decoded[:]
        found = prepared(make_dataset({**section, "decoded_cache": 0.5}), 5)
        assert len(found) == len(plain) > 1 and bool(decoded) == bool(count)
        for one, other in zip(found, plain, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("value, message", [
    (0, "expected more than 0, got 0"), ("much", "expected a number or null, got 'much'"),
])  # fmt: skip
def test_mistakes(value, message):
    (problem,) = check_data_section(listed(decoded_cache=value), ("train",))
    assert problem == Problem(("train", "decoded_cache"), problem.message)
    assert message in problem.message


def test_a_dataset_that_does_not_read_through_it(monkeypatch):
    from mdir.data.datasets.images import ImageList

    monkeypatch.setattr(ImageList, "takes_decoded_cache", False)
    (problem,) = check_data_section(listed(decoded_cache=1))
    assert problem.path == ("decoded_cache",)
    assert problem.message.startswith("the dataset ImageList does not read through it; those are ")
    assert "CirTuples" in problem.message and "places" in problem.message


def test_it_is_no_change():
    section = listed(loader={"batch_size": 2, "num_workers": 4})
    with_it = {"data": {"train": {**section, "decoded_cache": 3}}}
    assert without_speed(with_it) == without_speed({"data": {"train": section}})
    record = {"status": "done", "format": 2, "function": "f", "stdin": None,
              "refers_to": {}, "outputs": {}, "inputs": {}}  # fmt: skip
    record = {**record, "parameters": {"data": {"train": section}}}
    assert why_again(record, "f", with_it, None, {}) is None
    other = {"data": {"train": {**with_it["data"]["train"], "strict_images": True}}}
    assert "data.train.strict_images" in why_again(record, "f", other, None, {})
