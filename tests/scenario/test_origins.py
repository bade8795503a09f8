"""What was made of images that moved, where no journal tells of them, and while a step runs."""

import json
import os
import shutil

import pytest
import torch

from cirtorch.utils import fingerprints
from mdir.networks.files import save_network
from mdir.stages import extract, whiten
from tests.scenario.command import run_here
from tests.scenario.test_inputs import (
    EXTRACT,
    INFER,
    VALIDATE,
    perform,
    scenario,
    write_image,
)
from tests.scenario.test_inputs import root as root  # a fixture
from tests.scenario.test_journal import fates
from tests.sections import DATA, build, cirnet, generator, single
from tests.stages.test_whitening import images as whitening_images
from tests.stages.test_whitening import params as whitening_params


def forget(root):
    shutil.rmtree(root / "journal")


def test_only_the_translation_of_a_repaired_image_is_made_anew(root):
    folder = root.parent
    (root / "imgs/b0.png").write_text("no image")
    scenario(folder, **{"1_infer": INFER})
    assert run_here("go", "s.yml", folder=folder).returncode == 1
    made = os.stat(root / "out/a0.png")
    write_image(root / "imgs/b0.png", 1)
    perform(folder)
    assert os.path.samestat(os.stat(root / "out/a0.png"), made)
    write_image(root / "imgs/b0.png", 3)
    before = (root / "out/b0.png").read_bytes()
    again = perform(folder)
    assert "1 of 2 images were made from others, or by another network" in again.stdout
    assert os.path.samestat(os.stat(root / "out/a0.png"), made)
    assert (root / "out/b0.png").read_bytes() != before


def test_translations_of_other_images_are_not_taken_over(root):
    folder = root.parent
    scenario(folder, **{"1_infer": INFER})
    perform(folder)
    made = [os.stat(root / f"out/{name}.png").st_ino for name in ("a0", "b0")]
    forget(root)
    write_image(root / "imgs/a0.png", 9)
    perform(folder)
    assert os.stat(root / "out/a0.png").st_ino != made[0]
    assert os.stat(root / "out/b0.png").st_ino == made[1]


def test_a_cache_of_decoded_images_makes_nothing_anew(root):
    """Neither by the journal nor where it is gone."""
    folder = root.parent
    scenario(folder, **{"1_infer": INFER})
    perform(folder)
    made = os.stat(root / "out/a0.png").st_ino
    test = {**INFER["data"]["test"], "decoded_cache": 0.1}
    scenario(folder, **{"1_infer": {**INFER, "data": {"test": test}}})
    assert "unchanged since" in perform(folder).stdout
    forget(root)
    perform(folder)
    assert os.stat(root / "out/a0.png").st_ino == made
    shutil.rmtree(root / "out")
    perform(folder)
    assert len(list((root / "cache/decoded").glob("??/*"))) == 2


def test_translations_by_another_generator_are_not_taken_over(root):
    folder = root.parent
    stored = {**INFER, "network": {"path": "net.pth", "runtime": None}}
    scenario(folder, **{"1_infer": stored})
    save_network(build(generator(1)).state_dict(), root / "net.pth")
    perform(folder)
    before = (root / "out/a0.png").read_bytes()
    save_network(build(generator(2)).state_dict(), root / "net.pth")
    forget(root)
    perform(folder)
    assert (root / "out/a0.png").read_bytes() != before


def test_translations_that_were_there_before_stay(root):
    folder = root.parent
    write_image(root / "out/a0.png", 7)
    before = (root / "out/a0.png").read_bytes()
    scenario(folder, **{"1_infer": INFER})
    perform(folder)
    assert (root / "out/a0.png").read_bytes() == before


def test_shards_that_are_gone_are_made_anew_of_other_images(root):
    folder = root.parent
    scenario(folder, **{"1_extract": EXTRACT})
    perform(folder)
    shutil.rmtree(root / "shards")
    write_image(root / "imgs/a0.png", 9)
    perform(folder)
    assert (root / "shards/shards.json").exists()


def test_shards_of_other_images_are_not_taken_over(root):
    folder = root.parent
    scenario(folder, **{"1_extract": EXTRACT})
    perform(folder)
    forget(root)
    assert perform(folder).returncode == 0
    forget(root)
    write_image(root / "imgs/a0.png", 9)
    refused = run_here("go", "s.yml", folder=folder)
    assert refused.returncode == 1
    assert "holds the shards of another network, other images" in refused.stderr
    plan = root / "shards/plan.json"
    older = json.loads(plan.read_text())
    del older["images"]
    plan.write_text(json.dumps(older))
    perform(folder)
    assert json.loads(plan.read_text()) == older


@pytest.fixture
def learned(tmp_path, monkeypatch):
    """A whitening, learned by the real command."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("CIRTORCH_ROOT", str(root))
    whitening_images.__wrapped__(root)
    name = "mdir.stages.multistep.infer_and_learn_whitening"
    scenario(tmp_path, **{"1_whiten": {"__function__": name, **whitening_params()}})
    perform(tmp_path)
    return root / "run/whitening/lw-sfm.pkl"


def test_a_whitening_of_other_images_is_not_taken_over(learned, tmp_path):
    root, before = tmp_path / "root", learned.read_bytes()
    forget(root)
    perform(tmp_path)
    assert learned.read_bytes() == before
    forget(root)
    image = next(path for path in (root / "imgs").rglob("*") if path.is_file())
    write_image(image.with_suffix(".png"), 9)
    os.replace(image.with_suffix(".png"), image)
    perform(tmp_path)
    assert learned.read_bytes() != before


def test_a_whitening_without_the_record_of_a_killed_run_is_not_trusted(
    learned, tmp_path, monkeypatch
):
    learned.unlink()
    learned.with_suffix(".json").unlink()
    write, names = whiten.write_bytes, []

    def killed_at_the_second(path, content):
        names.append(os.path.basename(path))
        if len(names) == 2:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(whiten, "write_bytes", killed_at_the_second)
    assert run_here("go", "s.yml", folder=tmp_path).returncode == 130
    assert names == ["lw-sfm.json", "lw-sfm.pkl"] and not learned.exists()


def test_images_that_are_replaced_while_a_step_runs_count_as_others(root, monkeypatch):
    folder, work = root.parent, extract.extract_together
    scenario(folder, **{"1_extract": EXTRACT})

    def replaced_meanwhile(*args):
        found = work(*args)
        write_image(root / "imgs/a0.png", 9)
        return found

    monkeypatch.setattr(extract, "extract_together", replaced_meanwhile)
    first = perform(folder)
    changed = f"changed: {root}/imgs/a0.png"
    assert f"warning: 1_extract: input {changed}, while the step ran" in first.stderr
    stale = (root / "shards/shard-000000.npy").read_bytes()
    write_image(root / "imgs/a0.png", 0)  # and back, as if nothing had been
    monkeypatch.undo()
    again = perform(folder)
    assert fates(again) == {"1_extract": f"runs again: input, while the step ran, {changed}"}
    assert "warning" not in again.stderr
    assert (root / "shards/shard-000000.npy").read_bytes() == stale  # it had been read before
    assert fates(perform(folder)) == {"1_extract": "skipped: unchanged"}


def test_another_image_of_equal_size_and_time_is_seen_among_any_number(root, monkeypatch):
    monkeypatch.setattr(fingerprints, "MAX_HASHED", 1)
    folder, image = root.parent, root / "imgs/a2.bmp"
    write_image(image, 8)
    scenario(folder, **{"1_extract": EXTRACT})
    perform(folder)
    assert fates(perform(folder)) == {"1_extract": "skipped: unchanged"}
    before = os.stat(image)
    write_image(image, 9)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(image).st_size == before.st_size
    (fate,) = fates(perform(folder)).values()
    assert fate.startswith("runs again: input perhaps changed (its status was,")
    assert fate.endswith(f": {image}")


def test_a_copy_of_the_data_is_read_once_and_is_the_same(root, monkeypatch):
    folder, read = root.parent, []
    scenario(folder, **{"1_validate": VALIDATE})
    perform(folder)
    shutil.copytree(root / "imgs", root / "copy")
    shutil.rmtree(root / "imgs")
    os.rename(root / "copy", root / "imgs")
    for path in (root / "imgs").iterdir():
        os.utime(path)
    digest = fingerprints.sha256_hash
    monkeypatch.setattr(
        fingerprints, "sha256_hash", lambda path, **k: read.append(path) or digest(path, **k)
    )
    for times in (4, 0):
        read.clear()
        monkeypatch.setattr(fingerprints, "_digests", {})  # as in a process of its own
        assert fates(perform(folder)) == {"1_validate": "skipped: unchanged"}
        assert len(read) == times


def test_another_whitening_of_the_same_name_makes_other_shards(root):
    folder = root.parent
    network = single(cirnet("squeezenet1_1"), {"weights": "he_normal", "seed": 1}, data=DATA)
    network["runtime"]["wrappers"] = "cirwhiten:w.pth"
    scenario(folder, **{"1_extract": {**EXTRACT, "network": network}})
    torch.save({"m": torch.zeros(512, 1), "P": torch.eye(512)[:8]}, root / "w.pth")
    perform(folder)
    torch.save({"m": torch.zeros(512, 1), "P": torch.eye(512)[8:16]}, root / "w.pth")
    forget(root)
    refused = run_here("go", "s.yml", folder=folder)
    assert "holds the shards of another network" in refused.stderr
