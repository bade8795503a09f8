"""The lists under ``requirements`` name what the code imports, no less and no more."""

import ast
import functools
import re
import sys
import tomllib

import pytest

from tests.conftest import PROJECT

LIBRARY = ("mdir", "cirtorch", "hubconf.py", "perform_scenario.py")
DEVELOPMENT = ("tests", "benchmarks", "setup.py")
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "sklearn": "scikit-learn",
    "torch.utils.tensorboard": "tensorboard",
    "yaml": "pyyaml",
}
OURS = {"mdir", "cirtorch", "hubconf", "tests", "benchmarks"}
BUILT_IN = sys.stdlib_module_names


def listed(name):
    lines = (PROJECT / "requirements" / f"{name}.txt").read_text().splitlines()
    return {re.split(r"[<>=~!\[;]", line)[0].strip() for line in lines}


EXTRAS = sorted({path.stem for path in (PROJECT / "requirements").glob("*.txt")} - {"runtime"})
OPTIONAL = set().union(*(listed(name) for name in EXTRAS if name != "dev"))


def modules(node):
    """Names of the modules that a statement or a call of ``importorskip`` imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
        return [ast.literal_eval(node.args[0])]
    return []


@functools.cache
def packages_of(file, lazily):
    tree = ast.parse(file.read_text())
    names = {name for node in (ast.walk(tree) if lazily else tree.body) for name in modules(node)}
    return {PACKAGES.get(name) or name.partition(".")[0] for name in names}


def imported(*places, lazily=True):
    """Names of the packages that source files import; ``lazily``: inside functions too."""
    paths = [PROJECT / place for place in places]
    files = [file for path in paths for file in ([path] if path.suffix else path.rglob("*.py"))]
    found = set().union(*(packages_of(file, lazily) for file in files))
    return {PACKAGES.get(name, name).replace("_", "-") for name in found - OURS - BUILT_IN}


def test_the_library_imports_what_is_listed_and_nothing_else():
    assert imported(*LIBRARY) - OPTIONAL == listed("runtime")


def test_optional_packages_are_imported_by_those_who_use_them_alone():
    assert imported(*LIBRARY, lazily=False) <= listed("runtime")


def test_optional_packages_are_used():
    assert not OPTIONAL - imported(*LIBRARY, *DEVELOPMENT)


def test_tests_and_benchmarks_import_what_is_listed():
    assert imported(*DEVELOPMENT) <= listed("runtime") | listed("dev") | OPTIONAL


@pytest.mark.parametrize("package", sorted(listed("dev")))
def test_development_packages_are_used(package):
    commands = (PROJECT / "Makefile").read_text()
    words = {"pytest-cov": "--cov", "pytest-xdist": "--dist"}.get(package, f"$(BIN)/{package}")
    stubs_of = package.removeprefix("types-").lower()
    assert (
        package in imported(*DEVELOPMENT)
        or words in commands
        or (stubs_of != package and stubs_of in listed("runtime"))
    )


def test_a_checkout_and_an_installation_read_the_same_lists():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    read = project["tool"]["setuptools"]["dynamic"]
    assert read["dependencies"] == {"file": ["requirements/runtime.txt"]}
    assert read["optional-dependencies"] == {
        name: {"file": [f"requirements/{name}.txt"]} for name in EXTRAS
    }
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} == {
        "-r requirements/runtime.txt",
        "-r requirements/dev.txt",
    }
