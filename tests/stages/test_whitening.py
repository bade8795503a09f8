"""Step infer_and_learn_whitening: the published file, made once, never half."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from cirtorch.utils.whiten import pcawhitenlearn, whitenlearn
from mdir.artifacts import collecting
from mdir.inference.run import run_inference
from mdir.networks.files import save_network
from mdir.networks.portable import write_whitening
from mdir.networks.whitening import read_whitening
from mdir.registry import ComponentError
from mdir.scenario import cli
from mdir.stages.whiten import infer_and_learn_whitening
from tests.sections import build
from tests.stages.test_infer import embedding

CIDS = [f"{i:032x}" for i in range(12)]
PAIRS = {"cids": CIDS, "qidxs": [0, 1, 2, 3, 4, 4], "pidxs": [5, 6, 7, 8, 9, 10]}
NO_PAIRS = {"qidxs": [0], "pidxs": [1]}


@pytest.fixture
def images(root):
    """Pictures of plain colours under their hashes, and the list of pairs."""
    means = []
    for seed, cid in enumerate(CIDS):
        colour = np.random.RandomState(seed).randint(0, 256, 3)
        path = root / "imgs" / cid[-2:] / cid[-4:-2] / cid[-6:-4] / cid
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.broadcast_to(colour, (6 + seed % 3, 8, 3)).astype(np.uint8)
        with path.open("wb") as file:
            Image.fromarray(pixels).save(file, "PNG")
        means.append(colour / 255 * 2 - 1)
    (root / "sfm-120k-whiten.pkl").write_bytes(pickle.dumps(PAIRS))
    return np.float32(means).astype(np.float64).T


def params(kind="lw", directory="run", batch_size=1):
    given = embedding(batch_size=batch_size)
    given["whitening"] = {
        "type": kind,
        "dataset_pkl": "sfm-120k-whiten.pkl",
        "directory": directory,
    }
    return given


def expected(kind, columns):
    if kind == "pca":
        return pcawhitenlearn(columns)
    return whitenlearn(columns, PAIRS["qidxs"], PAIRS["pidxs"])


def align(rows, reference):
    return rows * np.sign((rows * reference).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("kind", ["lw", "pca"])
def test_learns_and_stores(root, images, kind, batch_size):
    metadata, result = infer_and_learn_whitening(params(kind, batch_size=batch_size))
    path = root / "run" / "whitening" / f"{kind}-sfm.pkl"
    assert metadata["whitening_path"] == str(path)
    learned = metadata["learn_whitening"]
    assert learned["stats"]["vectors_total"] == (12 if kind == "pca" else 6)
    assert set(metadata["infer"]) == {"stats", "resource_usage"}
    m, projection = expected(kind, images)
    stored = pickle.loads(path.read_bytes())
    assert set(stored) == {"m", "P"} and stored["P"].dtype == np.float64
    np.testing.assert_allclose(stored["m"], m, atol=1e-6)
    np.testing.assert_allclose(align(stored["P"], projection), projection, rtol=1e-3, atol=1e-4)
    assert np.array_equal(result["P"], stored["P"])
    assert read_whitening(str(path))[0].shape == (3, 1)


def test_shrunk_whitening_is_another(root, images):
    infer_and_learn_whitening(params())
    given = params()
    given["whitening"]["shrink"] = 0.5
    result = infer_and_learn_whitening(given)[1]
    _, projection = whitenlearn(images, PAIRS["qidxs"], PAIRS["pidxs"], 0.5)
    np.testing.assert_allclose(align(result["P"], projection), projection, rtol=1e-3, atol=1e-4)
    assert infer_and_learn_whitening(given)[0]["status"] == "skipped"
    given["whitening"]["shrink"] = 0
    assert "learn_whitening" in infer_and_learn_whitening(given)[0]


def test_pca_whitening_is_not_shrunk(root):
    given = {**params("pca"), "__function__": "mdir.stages.multistep.infer_and_learn_whitening"}
    given["whitening"]["shrink"] = 0.1
    (root / "s.yml").write_text(json.dumps({"go": {"1_whiten": given}}))
    assert cli.main(["validate", "s.yml"]) == 2


def test_complete_file_is_not_made_again(root, images):
    infer_and_learn_whitening(params())
    path = root / "run" / "whitening" / "lw-sfm.pkl"
    before = path.stat().st_mtime_ns
    (metadata,) = infer_and_learn_whitening(params())
    assert metadata == {"status": "skipped", "whitening_path": str(path)}
    with_cache = params()
    with_cache["data"]["test"]["decoded_cache"] = 0.1
    assert infer_and_learn_whitening(with_cache)[0]["status"] == "skipped"
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("content", [b"", b"\x80\x04half", pickle.dumps({"m": 1})])
def test_half_written_file_is_made_again(root, images, content):
    path = root / "run" / "whitening" / "lw-sfm.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    infer_and_learn_whitening(params())
    assert set(pickle.loads(path.read_bytes())) == {"m", "P"}


def test_file_of_another_network_is_made_again(root, images):
    infer_and_learn_whitening(params())
    record = root / "run" / "whitening" / "lw-sfm.json"
    record.write_text(json.dumps({"origin": "another"}))
    metadata = infer_and_learn_whitening(params())[0]
    assert "learn_whitening" in metadata


def test_published_file_without_record_is_taken(root, images):
    infer_and_learn_whitening(params())
    (root / "run" / "whitening" / "lw-sfm.json").unlink()
    with collecting() as told:
        assert infer_and_learn_whitening(params())[0]["status"] == "skipped"
    assert not told.outputs and any(path.endswith("lw-sfm.pkl") for path in told.inputs)


def test_file_of_another_list_is_made_again(root, images):
    infer_and_learn_whitening(params())
    shorter = {**PAIRS, "qidxs": PAIRS["qidxs"][:5], "pidxs": PAIRS["pidxs"][:5]}
    (root / "sfm-30k-whiten.pkl").write_bytes(pickle.dumps(shorter))
    other = params()
    other["whitening"]["dataset_pkl"] = "sfm-30k-whiten.pkl"
    metadata = infer_and_learn_whitening(other)[0]
    assert metadata["learn_whitening"]["stats"]["vectors_total"] == 5


def test_a_complete_file_tells_the_images_that_it_was_made_from(root, images):
    with collecting() as first:
        infer_and_learn_whitening(params())
    with collecting() as again:
        assert infer_and_learn_whitening(params())[0]["status"] == "skipped"
    assert again.files == first.files and len(*first.files.values()) == 12


def test_without_directory_nothing_is_stored(root, images):
    metadata, result = infer_and_learn_whitening(params(directory=None))
    assert metadata["whitening_path"] is None and set(result) == {"m", "P"}
    assert not (root / "run").exists()


def test_stored_network_under_its_own_path(root, images):
    given = params()
    save_network(build(given["network"]).state_dict(), root / "net.pth")
    given["network"] = {"path": "net.pth", "runtime": {"wrappers": "cirmultiscale:ss"}}
    m = infer_and_learn_whitening(given)[1]["m"]
    norms = np.linalg.norm(images, axis=0)
    np.testing.assert_allclose(m, expected("lw", images / norms)[0], atol=1e-5)


@pytest.mark.parametrize("form", ["pkl", "pth", "safetensors"])
def test_whitenings_of_every_form_are_read(root, form):
    m, P = np.arange(3.0)[:, None], np.arange(6.0).reshape(2, 3) / 7
    path = root / f"w.{form}"
    if form == "pkl":
        path.write_bytes(pickle.dumps({"m": m, "P": P}))
    elif form == "pth":
        torch.save({"m": m, "P": P}, path)
    else:
        write_whitening(m, P, path)
    read = read_whitening(f"w.{form}")
    assert [array.dtype for array in read] == [np.float32, np.float32]
    np.testing.assert_array_equal(read[0], m)
    np.testing.assert_array_equal(read[1], P.astype(np.float32))
    np.testing.assert_array_equal(read_whitening(f"w.{form}", dtype=None)[1], P)


@pytest.mark.parametrize(
    "change", [{"qidxs": [99]}, {"pidxs": [0]}, {"cids": []}, {"cids": None, "other": 1}]
)
def test_lists_that_are_wrong(root, change):
    content = {k: v for k, v in {**PAIRS, **change}.items() if v is not None}
    (root / "bad.pkl").write_bytes(pickle.dumps(content))
    given = params()
    given["whitening"]["dataset_pkl"] = "bad.pkl"
    with pytest.raises(DataError, match="bad.pkl"):
        infer_and_learn_whitening(given)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"type": "lv"}, "'lw' or 'pca'"), ({"dir": "x"}, "directory"), ({"directory": 3}, "text")],
)
def test_mistakes_are_found_first(root, change, message):
    given = params()
    given["whitening"].update(change)
    with pytest.raises(ComponentError, match=message):
        infer_and_learn_whitening(given)


def test_images_without_a_descriptor_are_named(root, images, monkeypatch):
    def infer(*args):
        metadata, names, vectors = run_inference(*args)
        vectors[3] = np.nan
        return metadata, names, vectors

    monkeypatch.setattr("mdir.stages.whiten.run_inference", infer)
    with pytest.raises(DataError, match=rf"whitening: .* 1 of 12 images \(.*{CIDS[3]}\) are NaN"):
        infer_and_learn_whitening(params())


def test_too_few_images_end_the_step_in_a_line(root, images):
    (root / "sfm-120k-whiten.pkl").write_bytes(pickle.dumps({**PAIRS, "cids": CIDS[:3]} | NO_PAIRS))
    message = "PCA whitening of 3 dimensions needs 4 descriptors or more, there are 3"
    with pytest.raises(DataError, match=message):
        infer_and_learn_whitening(params("pca"))


def test_the_list_and_the_folder_of_its_images_are_told_together(root):
    with pytest.raises(DataError) as caught:
        infer_and_learn_whitening(params())
    place, folder = caught.value.messages
    assert place.startswith(f"{root}/sfm-120k-whiten.pkl: there is no such")
    assert folder == f"{root}/imgs: there is no such folder of images"
