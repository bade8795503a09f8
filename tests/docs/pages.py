"""Pages of documentation: the files and commands that they print."""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PROJECT
from tests.scenario.command import found_here, run_here

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# (\S+)\n")
TEST = re.compile(r"python3 -m pytest (\S+)")
SCENARIO = re.compile(r"python3 perform_scenario.py (.+)")


@dataclass
class Page:
    """The blocks of a page: files, whose first line is their name, and commands.

    Raises:
        ValueError: a block is neither.
    """

    files: dict[str, str]
    commands: list[str]

    @classmethod
    def of(cls, text: str) -> "Page":
        files, commands = {}, []
        for language, block in BLOCK.findall(text):
            name = NAME.match(block)
            if language == "sh":
                commands += block.splitlines()
            elif name is None:
                raise ValueError(f"a block of {language or 'no language'} has no name: {block}")
            else:
                # A table has no comments: its name is not part of it.
                files[name[1]] = block[name.end() :] if language == "csv" else block
        return cls(files, commands)

    @property
    def entry_points(self) -> dict[str, dict[str, str]]:
        """What the page's ``pyproject.toml`` announces, by group."""
        project = tomllib.loads(self.files.get("pyproject.toml", ""))
        return project.get("project", {}).get("entry-points", {})

    def idle(self) -> set[str]:
        """What is never run: files that nothing names, unknown commands; and what is missing."""
        announced = [place for group in self.entry_points.values() for place in group.values()]
        used = {f"{place.partition(':')[0].replace('.', '/')}.py" for place in announced}
        known = [c for c in self.commands if TEST.fullmatch(c) or SCENARIO.fullmatch(c)]
        used |= {word for command in known for word in command.split()}
        scenarios = "".join(text for name, text in self.files.items() if name.endswith(".yml"))
        used |= {name for name in self.files if name.endswith(".csv") and name in scenarios}
        kinds = ("nightowl/", "test_", ".yml")
        missing = {kind for kind in kinds if not any(kind in name for name in self.files)}
        strange = set(self.commands) - set(known)
        return missing | strange | (set(self.files) - used - {"pyproject.toml"})

    def install(self, folder: Path, root: Path) -> Path:
        """Put the files where the page's reader has them; returns where its package is."""
        site = folder / "site"
        for name, text in self.files.items():
            place = {".py": site if "/" in name else folder, ".csv": root}
            path = place.get(Path(name).suffix, folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        info = site / f"{folder.name}-1.0.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(about)
        lines = []
        for group, points in self.entry_points.items():
            lines += [f"[{group}]", *(f"{name} = {place}" for name, place in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))
        return site

    def perform(self, folder: Path, root: Path, site: Path) -> subprocess.CompletedProcess:
        """Run the page's scenario as its command says."""
        (arguments,) = filter(None, map(SCENARIO.fullmatch, self.commands))
        with found_here(site, "nightowl"):
            return run_here(*arguments[1].split(), folder=folder, root=root)

    def test_files(self) -> list[str]:
        """What the page's other commands test."""
        return [match[1] for match in map(TEST.fullmatch, self.commands) if match]


def run_tests(files: list[Path], root: Path, sites: list[Path]) -> subprocess.CompletedProcess:
    """Test files of several pages, in one process that has the packages of all."""
    path = os.pathsep.join(map(str, [*sites, PROJECT]))
    environ = {**os.environ, "CIRTORCH_ROOT": str(root), "PYTHONPATH": path}
    options = ["-v", "-p", "no:cacheprovider", f"--rootdir={root.parent}"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
    pipes = {"capture_output": True, "text": True, "check": False}
    return subprocess.run(command, cwd=root.parent, env=environ, **pipes)
