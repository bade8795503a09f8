"""The package as an installer leaves it: built, installed, used in a folder without a checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
FOLDERS = ("mdir", "cirtorch", "scenarios")
TINY_CITY = [f"all.01_city.{size}" for size in ("image_size=48", "train_places=2", "test_places=2")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from a copy so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / folder, source / folder, ignore=caches)
    shutil.copytree(PROJECT / "requirements", source / "requirements")
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(PROJECT / file, source)
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", *options, "-w", "built", "."], cwd=source, check=True)
    (built,) = (source / "built").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A fresh environment with the wheel in it; the libraries are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "-q", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture
def mdir(environment, tmp_path):
    """The installed command, run in an empty folder."""
    unset = ("CIRTORCH_ROOT", "PYTHONPATH")
    environ = {key: value for key, value in os.environ.items() if key not in unset}

    def run(*arguments):
        command = [environment / "bin" / "mdir", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)

    return run


def files(folder):
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    given = {
        str(path.relative_to(PROJECT)).replace("scenarios/", "mdir/_scenarios/", 1)
        for folder in FOLDERS
        for path in files(PROJECT / folder)
        if path.is_file()
    }
    assert held == given


def test_the_wheel_requires_what_the_library_imports(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    runtime = (PROJECT / "requirements" / "runtime.txt").read_text().splitlines()
    wanted = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert [f"Requires-Dist: {line}" for line in runtime] == [
        line for line in wanted if "extra ==" not in line
    ]


def test_reading_a_shipped_scenario_leaves_nothing(mdir, tmp_path):
    listed = mdir("list", "quickstart.yml")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("\n- all - ")
    checked = mdir("validate", "quickstart.yml")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith("nothing is wrong: 1 target, ")
    planned = mdir("all", "quickstart.yml", "--dry-run")
    assert (planned.returncode, planned.stderr) == (0, "")
    assert planned.stdout.startswith("-- 00_settings --\nwould run: ")
    assert files(tmp_path) == set()


def test_results_are_put_below_the_current_folder(mdir, environment, tmp_path):
    before = files(environment)
    done = mdir("all", "quickstart.yml", "--only", "01_city", *TINY_CITY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mdir all quickstart.yml --only 01_city ")
    assert {path.name for path in tmp_path.iterdir()} == {"quickstart", "journal"}
    assert (tmp_path / "journal/quickstart/all/01_city.json").is_file()
    assert list((tmp_path / "quickstart").rglob("*.jpg"))
    assert files(environment) == before


def test_messages_name_the_installed_command(mdir):
    assert mdir().stderr.splitlines()[-1].startswith("mdir: error: TARGET and SCENARIO")
    assert "\n    mdir all quickstart.yml --dry-run\n" in mdir("--help").stdout
    assert "What is absent: mdir download iccv23/eval/hedngan.yml\n" in mdir("doctor").stdout


@pytest.mark.slow
def test_quickstart(mdir, tmp_path):
    done = mdir("all", "quickstart.yml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "quickstart/seed0/report/index.html").is_file()
