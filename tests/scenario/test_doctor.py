import pickle

import pytest

from mdir.scenario.doctor import examine, main


@pytest.fixture
def state(root):
    def find(name):
        findings = [finding for group in examine() for finding in group.findings]
        return next(finding for finding in findings if finding.name.startswith(name))

    return find


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_empty_root_says_what_to_do(root, capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert f"CIRTORCH_ROOT   {root}" in text
    assert "absent    test/oxford5k/jpg" in text
    assert "5,063 pictures" in text and "perform_scenario.py download" in text


def test_ground_truth_that_reads_is_verified(root, state):
    write(root / "data/test/oxford5k/gnd_oxford5k.pkl", pickle.dumps({"imlist": []}))
    assert state("test/oxford5k/gnd").state == "verified"


def test_damaged_files_are_found(root, state):
    write(root / "data/test/oxford5k/gnd_oxford5k.pkl", b"<html>")
    write(root / "data/train/retrieval-SfM-120k/dataset/train_day.txt", b"")
    write(root / "weights/vgg_clahe_sfmnd0.25-85f6ced3.pth", b"not these bytes")
    assert state("test/oxford5k/gnd").state == "DAMAGED"
    assert "is empty" in state("train/retrieval-SfM-120k/dataset/train_day").detail
    assert "SHA-256" in state("weights/vgg_clahe_sfmnd0.25-85f6ced3.pth").detail
    assert main([]) == 1


def test_pictures_are_compared_with_the_list(root, state):
    gnd = {"imlist": ["a", "b"], "qimlist": []}
    write(root / "data/test/oxford5k/gnd_oxford5k.pkl", pickle.dumps(gnd))
    write(root / "data/test/oxford5k/jpg/a.jpg")
    found = state("test/oxford5k/jpg")
    assert (found.state, found.detail) == ("DAMAGED", "lacks 1 of 2 pictures, such as b.jpg")
    write(root / "data/test/oxford5k/jpg/b.jpg")
    assert state("test/oxford5k/jpg").state == "verified"


def test_hidden_files_are_no_pictures(root, state):
    write(root / "data/test/oxford5k/jpg/.DS_Store")
    assert state("test/oxford5k/jpg").detail == "is empty"
    write(root / "data/test/oxford5k/jpg/a.jpg")
    assert state("test/oxford5k/jpg").detail.startswith("1 pictures")


def test_sets_by_hand_say_what_to_put_where(root, state):
    assert "unpack it there: bounding_box_train" in state("market1501/").advice
    assert "withdrawn by its authors" in state("dukemtmcreid/").advice
    assert "Ask the authors of Tokyo 24/7" in state("tokyo247/").advice
    write(root / "data/vehiclex/AIC20_ReID_Simulation/image_train/0001_c006_1.jpg")
    assert state("vehiclex/").state == "present"


def test_weights_by_hand_say_what_to_put_where(root, state, capsys):
    for name in ("resnet50_ibn_a", "resnet101_ibn_a"):
        assert "by IBN-Net (github.com/XingangPan/IBN-Net)" in state(f"weights/{name}").advice
    write(root / "weights/resnet50_ibn_a.pth.tar", b"")
    found = state("weights/resnet50_ibn_a")
    assert (found.state, found.detail) == ("DAMAGED", "is empty")
    assert "by IBN-Net" in found.advice and "fetched" not in found.advice
    main([])
    assert "only needed for networks that begin with them" in capsys.readouterr().out


def test_digits_in_a_name_that_are_not_known_to_be_a_digest(root, state):
    assert "of the package pretrainedmodels" in state("weights/bn_inception-52deb4733.pth").advice
    write(root / "weights/bn_inception-52deb4733.pth", b"weights")
    assert state("weights/bn_inception").state == "present"


def test_begun_download_is_mentioned(root, state):
    write(root / "weights/cyclegan_generator_X.pth.part", bytes(3_000_000))
    assert state("weights/cyclegan_generator_X.pth").detail == "3 MB received"


def test_usage(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: perform_scenario.py doctor [-h] [--full] Show which datasets")
    assert "weights are there, verified, or how to get them." in text
    assert text.endswith("--full look at every picture, not a sample")


@pytest.mark.parametrize(
    ("size", "detail"),
    [(7, "7 bytes"), (99_999, "99,999 bytes"), (100_000, "0.1 MB"), (2_345_678, "2.3 MB")],
)
def test_sizes(root, state, size, detail):
    write(root / "weights/bn_inception-52deb4733.pth", bytes(size))
    assert state("weights/bn_inception").detail == detail


def test_links(root, state):
    link = root / "data/test/roxford5k/jpg"
    name = "test/roxford5k/jpg -> test/oxford5k/jpg"

    def told():
        found = state("test/roxford5k/jpg")
        return found.state, found.name, found.detail, found.advice

    assert told() == ("absent", name, "", "")
    link.parent.mkdir(parents=True)
    link.symlink_to("../oxford5k/jpg")
    assert told() == ("absent", name, "the link leads nowhere yet", "")
    (root / "data/test/oxford5k/jpg").mkdir(parents=True)
    assert told() == ("present", name, "", "")
    link.unlink()
    link.mkdir()
    assert told() == ("present", "test/roxford5k/jpg (your own)", "", "")


def test_the_report_counts_what_is_damaged(root, capsys, monkeypatch):
    monkeypatch.setenv("CIRTORCH_MIRROR", "/mirror")
    assert main([]) == 0
    text = capsys.readouterr().out
    assert "\nCIRTORCH_MIRROR /mirror\n" in text
    assert text.endswith("\nNothing that is there is damaged.\n")
    path = root / "data/test/oxford5k/gnd_oxford5k.pkl"
    write(path, b"<html>")
    write(root / "data/test/paris6k/gnd_paris6k.pkl", b"<html>")
    assert main(["--full"]) == 1
    text = capsys.readouterr().out
    damaged = "  DAMAGED   test/oxford5k/gnd_oxford5k.pkl (is not a readable pickle)\n"
    assert damaged in text
    remedy = " ".join(text.partition(damaged)[2].split())
    assert remedy.startswith(f"Remove {path}; it will be fetched again.")
    command = "python3 perform_scenario.py download iccv23/eval/hedngan.yml"
    assert f"\n  What is absent: {command}\n" in text
    assert text.endswith("\n2 damaged\n")
