"""The command-line programs on drawn images, CPU only."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cirtorch.examples import common, evaluation, extract, test, test_e2e, train
from cirtorch.networks.imageretrievalnet import init_network
from cirtorch.networks.pretrained import off_the_shelf, open_network
from cirtorch.utils.errors import DataError
from tests.cirtorch import world

SMALL = ["--image-size", "96", "--gpu-id", ""]
TRAINING = ["--not-pretrained", "-nn", "2", "-qs", "4", "-ps", "20", "-j", "0", "-b", "2"]
TRAINING += ["--lr", "1e-3", "--epochs", "2"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    net = init_network({"architecture": "squeezenet1_1", "pretrained": False})
    path = tmp_path / "net.pth"
    torch.save({"meta": net.meta, "state_dict": net.state_dict()}, path)
    return str(path)


@pytest.fixture(autouse=True)
def keep_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))


def test_evaluation_with_learned_whitening(root, network, capsys, monkeypatch):
    world.test_set(root)
    world.test_set(root, "247tokyo1k")
    monkeypatch.setattr(evaluation, "whitenlearn", lambda X, q, p: (X[:, :1], np.eye(len(X))))
    world.training_set(root, "retrieval-SfM-30k")
    arguments = ["--network-path", network, "-d", "roxford5k", "-w", "retrieval-SfM-30k", *SMALL]
    arguments += ["--multiscale", "[1, 1/2**(1/2)]"]
    first = test.main(arguments)
    out = capsys.readouterr().out
    assert ">> roxford5k: mAP E: " in out and ">> roxford5k + whiten: mAP E: " in out
    assert "msp: 3.0" in out and "image size 96, scales [1, 0.7071]" in out
    assert "whitening retrieval-SfM-30k" in out
    assert os.path.exists(network + "_retrieval-SfM-30k_whiten_ms.pth")
    assert 0 <= first["roxford5k"][0]["map_medium"] <= 1
    again = test.main(arguments)
    assert again["roxford5k"][0] == first["roxford5k"][0]
    assert "Whitening is precomputed, loading it..." in capsys.readouterr().out


def test_a_whitening_of_another_network_or_other_images_is_learned_anew(
    root, network, capsys, monkeypatch
):
    world.test_set(root)
    folder = world.training_set(root, "retrieval-SfM-30k")
    monkeypatch.setattr(evaluation, "whitenlearn", lambda X, q, p: (X[:, :1], np.eye(len(X))))
    arguments = ["--network-path", network, "-d", "roxford5k", "-w", "retrieval-SfM-30k"]
    cache = network + "_retrieval-SfM-30k_whiten.pth"

    def learned_from(*more):
        test.main([*arguments, *SMALL, *more])
        out = capsys.readouterr().out
        assert ("learning it anew" in out) != ("Whitening is precomputed" in out)
        return out.partition(f"{cache} was learned from ")[2].partition(": learning it anew")[0]

    test.main([*arguments, *SMALL])
    first = torch.load(cache, weights_only=False)
    assert set(first) == {"m", "P", "learned_from"} and learned_from() == ""
    stored = torch.load(network)
    for value in stored["state_dict"].values():
        value.mul_(1.5)
    torch.save(stored, network)
    assert learned_from() == "another network"
    assert not np.array_equal(torch.load(cache, weights_only=False)["m"], first["m"])
    assert learned_from() == ""
    assert learned_from("--multiscale", "[0.5]") == "other scales"
    assert learned_from() == "other scales"
    assert learned_from("--image-size", "64") == "images of another size"
    assert learned_from() == "images of another size"
    image = next(path for path in (folder / "ims").rglob("*") if path.is_file())
    world.draw(image, 77)
    assert learned_from() == f"other images (changed: {image})"
    assert learned_from() == ""
    shutil.rmtree(folder)
    assert learned_from() == ""


def test_a_whitening_of_others_is_taken_and_told_where_it_is_old(
    root, network, capsys, monkeypatch
):
    world.test_set(root)
    cache = network + "_retrieval-SfM-30k_whiten.pth"
    torch.save({"m": np.zeros((512, 1)), "P": np.eye(512)}, cache)
    arguments = ["--network-path", network, "-d", "roxford5k", "-w", "retrieval-SfM-30k", *SMALL]
    for newer in (False, True):
        os.utime(cache, (1, 1) if newer else None)
        test.main(arguments)
        out = capsys.readouterr().out
        assert "Whitening is precomputed, loading it..." in out
        assert ("is older than the network; remove it to learn it anew" in out) == newer


def test_end_to_end_evaluation(root, network, capsys):
    world.test_set(root, "rparis6k")
    result = test_e2e.main(["--network", network, "--datasets", "rparis6k", *SMALL])
    assert list(result["rparis6k"][0]) == ["map_easy", "map_medium", "map_hard"]
    assert "whitening none" in capsys.readouterr().out


def test_whitening_inside_the_network(root, capsys):
    net = world.tiny_network()
    stored = {"m": np.zeros((8, 1)), "P": np.eye(8)}
    net.meta["Lw"] = {"retrieval-SfM-30k": {"ss": stored, "ms": None}}
    m, P = evaluation.whitening_of_network(net, "retrieval-SfM-30k", [1], None)
    assert m is stored["m"] and P is stored["P"]
    assert "loading it from network meta" in capsys.readouterr().out


@pytest.mark.parametrize("listed", [False, True])
def test_extraction(tmp_path, network, listed):
    names = ["a.jpg", "sub/b.png", "sub/c.jpg"]
    for i, name in enumerate(names):
        world.draw(tmp_path / "images" / name, i)
    source = tmp_path / "images"
    if listed:
        source = tmp_path / "images" / "list.txt"
        source.write_text("\n".join(names))
    out = str(tmp_path / "out.npy")
    arguments = ["-npath", network, "--images", str(source), "--output", out, *SMALL]
    assert extract.main(arguments) == out
    vectors = np.load(out)
    assert vectors.shape == (3, 512) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert (tmp_path / "out.txt").read_text().split() == names


@pytest.mark.parametrize("listed", [False, True])
def test_extraction_of_names_that_are_no_utf8(tmp_path, network, listed):
    folder, name = os.fsencode(tmp_path / "images"), b"caf\xe9.png"
    world.draw(tmp_path / "images" / "x.png", 0)
    try:
        os.rename(os.path.join(folder, b"x.png"), os.path.join(folder, name))
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    source = tmp_path / "images"
    if listed:
        source = source / "list.txt"
        source.write_bytes(name + b"\n")
    out = str(tmp_path / "out.npy")
    extract.main(["-npath", network, "--images", str(source), "--output", out, *SMALL])
    assert (tmp_path / "out.txt").read_bytes() == name + b"\n"


def test_a_line_break_in_a_name_is_refused(tmp_path, network):
    world.draw(tmp_path / "images" / "x\ny.png", 0)
    out = str(tmp_path / "out.npy")
    with pytest.raises(DataError, match=r"'x\\ny.png': a line break"):
        extract.main(["-npath", network, "--images", str(tmp_path / "images"), "-out", out])


def test_whitening_of_another_length_is_named(tmp_path, network):
    world.draw(tmp_path / "images" / "x.png", 0)
    path = tmp_path / "w.pth"
    torch.save({"m": np.zeros((8, 1)), "P": np.eye(8)}, path)
    arguments = ["-npath", network, "--images", str(tmp_path / "images"), "-w", str(path), *SMALL]
    with pytest.raises(DataError, match="w.pth: whitens .* 8 dimensions, the network's have 512"):
        extract.main([*arguments, "--output", str(tmp_path / "out.npy")])


def test_interrupted_programs_end_with_one_line(capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        common.run(interrupted)
    assert ended.value.code == 130 and capsys.readouterr().err == "\ninterrupted\n"


def train_arguments(folder, *more):
    return [
        *(str(folder), "-d", "retrieval-SfM-tiny", "-td", "", "--arch", "squeezenet1_1"),
        *TRAINING,
        *SMALL,
        *more,
    ]


def test_training_resumed_is_training_uninterrupted(root, tmp_path, capsys):
    world.training_set(root)
    whole = train.main(train_arguments(tmp_path / "whole"))
    assert Path(whole).name == (
        "retrieval-SfM-tiny_squeezenet1_1_gem_notpretrained_contrastive_m0.70_adam_lr1.0e-03"
        "_wd1.0e-06_nnum2_qsize4_psize20_bsize2_uevery1_imsize96"
    )
    assert ">> Val: [2][" in capsys.readouterr().out
    assert os.path.exists(os.path.join(whole, "model_best.pth.tar"))
    parts = tmp_path / "parts"
    train.main([*train_arguments(parts), "--epochs", "1"])
    resumed = train.main(train_arguments(parts, "--resume", "model_epoch1.pth.tar"))
    a, b = (torch.load(f"{f}/model_epoch2.pth.tar", weights_only=True) for f in (whole, resumed))
    assert a["min_loss"] == b["min_loss"]
    for key, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][key]), key
    assert open_network(f"{whole}/model_best.pth.tar").meta["architecture"] == "squeezenet1_1"


@pytest.mark.parametrize("options", [["-l", "triplet", "-o", "sgd", "--no-val", "-p", "gemmp"]])
def test_training_options(root, tmp_path, options):
    world.training_set(root)
    world.test_set(root)
    world.training_set(root, "retrieval-SfM-30k", images=12, clusters=4)
    arguments = train_arguments(tmp_path, *options, "--update-every", "2", "--epochs", "1")
    folder = train.main(arguments)
    state = torch.load(f"{folder}/model_epoch1.pth.tar", weights_only=True)
    assert state["state_dict"]["pool.p"].shape == (512,)
    assert any(abs(g["initial_lr"] - 0.1) < 1e-9 for g in state["optimizer"]["param_groups"])


@pytest.mark.parametrize(
    "text, expected",
    [("[1]", [1]), ("1", [1]), ("[1, 2**(1/2), 1/2]", [1, 2**0.5, 0.5]), ("(1, 0.5)", [1, 0.5])],
)
def test_scales(text, expected):
    assert common.scales(text) == expected


@pytest.mark.parametrize("text", ["[exit()]", "[]", "[0]", "[1/0]", "[9**9**9**9]", "[1", "['a']"])
def test_scales_run_nothing(text):
    with pytest.raises(Exception, match="scales lie|not a list"):
        common.scales(text)


def test_names_of_networks():
    with pytest.raises(DataError, match="ARCH-POOL"):
        off_the_shelf("resnet101-gem-whitten")
    with pytest.raises(DataError, match="rSfM120k-tl-resnet50-gem-w"):
        open_network("nothing")


@pytest.mark.parametrize(
    "program, arguments, words",
    [
        (test, ["-npath", "absent.pth", "-d", "roxford5k"], "error: network 'absent.pth'"),
        (test, ["-npath", "x", "-d", "oxford"], "unknown datasets oxford"),
        (train, ["out", "--loss", "square"], "contrastive"),
        (train, ["out", "--image-size", "0"], "above 0 expected"),
        (train, ["out", "-d", "nosuch"], "nosuch: retrieval-SfM... or gl... expected"),
        (train, ["out", "-d", "retrieval-SfM-12k"], "only retrieval-SfM-120k can be downloaded"),
        (train, ["out", "-d", "glx"], "unknown training set 'glx'"),
        (train, ["out", "--test-whiten", "foo"], "only retrieval-SfM-120k, retrieval-SfM-30k can"),
        (train, ["out", "-td", "nosuch"], "unknown datasets nosuch"),
        (test_e2e, ["-n", "x", "-d", "nosuch"], "unknown datasets nosuch"),
        (test, ["-npath", "NETWORK", "-w", "foo"], "unknown training set 'foo'"),
        (test, ["-noff", "resnet18-gme", "-d", "rparis6k"], "pooling 'gme' is not one of mac"),
        (test, ["-noff", "resnet18x-gem", "-d", "rparis6k"], "Did you mean 'resnet18'?"),
        (extract, ["-npath", "x", "-i", ".", "-out", "x.npy", "-imsize", "-5"], "above 0 expected"),
        (extract, ["-npath", "x", "-i", "nowhere", "-out", "x.npy"], "error: nowhere: "),
        (extract, ["-npath", "x", "-i", "nowhere", "-out", "x.txt"], "ends in .npy"),
    ],
)
def test_mistakes_end_with_a_message(root, network, capsys, monkeypatch, program, arguments, words):
    world.test_set(root)
    arguments = [network if argument == "NETWORK" else argument for argument in arguments]
    for place in (evaluation, train):
        monkeypatch.setattr(place, "download_train", pytest.fail)
    monkeypatch.setattr(evaluation, "download_test", pytest.fail)
    monkeypatch.setattr(sys, "argv", ["program", *arguments, "--gpu-id", ""])
    with pytest.raises(SystemExit) as ended:
        common.run(program.main)
    assert ended.value.code not in (None, 0)
    assert words in str(ended.value.code) + capsys.readouterr().err


def test_run_as_a_program(root):
    ended = subprocess.run(
        [sys.executable, "-m", "cirtorch.examples.test_e2e", "-n", "absent", "-d", "", "-g", ""],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CIRTORCH_ROOT": str(root)},
    )
    assert ended.returncode == 1 and ended.stderr.startswith("error: network 'absent'")
