"""The worked example of README.md, in a fresh folder with the lists that its reader brings."""

import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PROJECT
from tests.scenario.command import run

README = (PROJECT / "README.md").read_text(encoding="utf-8")
FILES = {
    name: text
    for text, name in re.findall(r"^```yaml\n(# (\S+\.yml).*?)^```$", README, re.M | re.S)
}
COMMAND = re.search(r"python3 perform_scenario.py (train animals.yml .+)", README)[1]
QUICK = [
    "train.1_train.network.generator_X.model.n_blocks=1",
    "train.1_train.network.generator_X.model.ngf=2",
    "train.1_train.network.generator_Y.model.n_blocks=1",
    "train.1_train.network.generator_Y.model.ngf=2",
    "train.1_train.network.discriminator_X.model.ndf=2",
    "train.1_train.network.discriminator_Y.model.ndf=2",
    "train.1_train.data.train.transforms=pil2np | scalecrop:32_32:0.8_1 | totensor | normalize",
    "train.1_train.data.train.loader.num_workers=0",
]


@pytest.fixture
def folder(tmp_path):
    """The printed files; pictures of animals, listed relative to their folder."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    root = tmp_path / "root"
    (root / "lists").mkdir(parents=True)
    (root / "animals").mkdir()
    generator = np.random.default_rng(0)
    for kind in ("horse", "zebra"):
        names = [f"{kind}{number}.jpg" for number in range(4)]
        for name in names:
            pixels = generator.integers(0, 256, (300, 320, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "animals" / name)
        (root / "lists" / f"{kind}s.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def perform(folder, *more):
    done = run(*shlex.split(COMMAND), *more, folder=folder)
    assert done.returncode == 0, done.stderr
    written = folder / "root" / "outputs" / "small"
    assert sorted(path.name for path in written.glob("[!.]*")) == [
        f"horse{n}.jpg" for n in range(4)
    ]
    return done


def test_the_example_has_its_two_files():
    assert {"animals.yml", "small.yml"} <= set(FILES)


def test_the_example_is_sound(folder):
    result = run("validate", "animals.yml", "small.yml", folder=folder)
    assert (result.returncode, result.stderr) == (0, ""), result


def test_the_example_runs_as_printed_but_smaller(folder):
    assert "1_train.learning.training.seed 7" in perform(folder, *QUICK).stdout


@pytest.mark.slow
def test_the_example_runs_as_printed(folder):
    perform(folder)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_and_the_page_run_the_same_tests():
    words = ["make", "-n", "test", "VENV=.venv"]
    told = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    commands = [line for line in told.splitlines() if "-m pytest" in line]
    printed = [line.strip() for line in README.splitlines() if "-m pytest" in line]
    assert commands == printed and len(commands) == 2
