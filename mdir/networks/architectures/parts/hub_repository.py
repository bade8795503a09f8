"""Code of others that torch.hub loads: a GitHub repository at one commit, or a folder.

What a ``hubconf.py`` offers is read from its text; nothing of it runs before it is asked for.
"""

import ast
import fcntl
import importlib.util
import re
import sys
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from cirtorch.downloads.archive import unpack
from cirtorch.downloads.fetch import fetch
from cirtorch.utils.errors import DataError, suggest
from cirtorch.utils.general import get_root
from mdir.errors import UserError

_CONF = "hubconf.py"


def check_repository(name: str) -> None:
    """ValueError unless it is ``OWNER/REPOSITORY``."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/\w[\w.-]*", name, re.ASCII):
        raise ValueError(f"expected OWNER/REPOSITORY of GitHub, got {name!r}; its commit is apart")


def check_commit(commit: str) -> None:
    """ValueError unless it is a whole commit: branches and tags may name other code tomorrow."""
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ValueError(
            f"expected the 40 hexadecimal digits of a commit, got {commit!r}; a branch, a tag or "
            "the start of a commit can become other code"
        )


def commit_folder(repository: str, commit: str) -> Path:
    """Where the files of a commit lie once they were fetched, below ``<root>/hub``."""
    name = repository.rpartition("/")[2]
    return _unpacked(repository, commit) / f"{name}-{commit}"


def _unpacked(repository, commit):
    return Path(get_root(), "hub", f"{repository.replace('/', '_')}_{commit}")


def fetched(repository: str, commit: str) -> Path:
    """The folder of a commit's files, fetched once.

    Raises:
        DataError: they cannot be had, or the archive is not of that commit.
    """
    folder, place = commit_folder(repository, commit), _unpacked(repository, commit)
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_name(f".{place.name}.lock"), "a") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        archive = place.with_name(f"{place.name}.zip")
        if not folder.is_dir() or archive.exists():
            _fetch(repository, commit, archive, place, folder)
    return folder


def _fetch(repository, commit, archive, place, folder):
    fetch(f"https://github.com/{repository}/archive/{commit}.zip", archive)
    try:
        with zipfile.ZipFile(archive) as whole:
            found = whole.comment.decode(errors="replace")
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: is no archive of a commit ({error})") from None
    if found != commit:  # git and GitHub write it there
        raise DataError(
            f"{archive}: is of commit {found or '(none told)'}, not of {commit}; remove it"
        )
    unpack([archive], place)
    if not folder.is_dir():
        raise DataError(f"{archive}: holds no folder {folder.name}")
    archive.unlink()  # until then it is not whole


@dataclass(frozen=True)
class Hubconf:
    """Entries of a ``hubconf.py`` by name: a function of its own, or None for an imported one.

    ``is_open``: it imports all names of a module, so that there may be more.
    """

    entries: dict[str, ast.FunctionDef | None]
    dependencies: list[str]
    is_open: bool


def read_hubconf(folder: Path) -> Hubconf:
    """What a folder offers to torch.hub, without running any of it.

    Raises:
        ValueError: there is no such file, or it is no Python.
    """
    try:
        tree = ast.parse((folder / _CONF).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {_CONF}") from None
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / _CONF} cannot be read: {error}") from None
    entries, dependencies, is_open = {}, [], False
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
            is_open |= "*" in names
            entries |= dict.fromkeys(names)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            entries[node.name] = node if isinstance(node, ast.FunctionDef) else None
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "dependencies":
                dependencies = [
                    c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant)
                ]
            else:
                entries[node.targets[0].id] = None
    public = {name: node for name, node in entries.items() if not name.startswith(("_", "*"))}
    return Hubconf(public, dependencies, is_open)


def _statements(nodes):
    """Statements of a module, those under ``if`` and ``try`` too."""
    for node in nodes:
        yield node
        for part in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(node, (ast.If, ast.Try, ast.ExceptHandler, ast.With)):
                yield from _statements(getattr(node, part, ()))


def check_entry(folder: Path, entry: str, arguments: dict):
    """Pairs ``(parameter, message)`` of what is wrong with a call of an entry."""
    try:
        conf = read_hubconf(folder)
    except ValueError as error:
        yield "entry", str(error)
        return
    if entry not in conf.entries and not conf.is_open:
        own = [name for name, node in conf.entries.items() if node] or list(conf.entries)
        hint = suggest(entry, conf.entries)
        yield "entry", f"{folder / _CONF} has no entry {entry!r}.{hint} It has: {', '.join(own)}"
    elif (function := conf.entries.get(entry)) is not None:
        yield from _check_arguments(function, arguments)
    missing = [name for name in conf.dependencies if not _is_installed(name)]
    if missing:
        yield "entry", f"its code needs packages that are not installed: {', '.join(missing)}"


def _check_arguments(function, arguments):
    given = function.args
    names = [argument.arg for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs]]
    for name in arguments:
        if name not in names and given.kwarg is None:
            hint = suggest(name, names)
            yield "arguments", f"{function.name} takes no {name!r}.{hint} Its own: {names}"
    positional = [argument.arg for argument in [*given.posonlyargs, *given.args]]
    needed = positional[: len(positional) - len(given.defaults)]
    needed += [
        argument.arg
        for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if default is None
    ]
    if absent := [name for name in needed if name not in arguments]:
        yield "arguments", f"{function.name} needs {', '.join(absent)}"


def _is_installed(package):
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def load_entry(folder: Path, entry: str, arguments: dict, needs: dict[str, str]):
    """Call an entry of a folder's ``hubconf.py``; what it gives.

    Its modules are its own: those of the same names that are loaded stay as they were, and
    none of its stays. Weights that it fetches by torch.hub lie below ``<root>/hub``.

    Args:
        needs: commits by repository of the code that it may load by torch.hub in turn.

    Raises:
        UserError: it wants other code, or fails.
    """
    load = torch.hub.load

    def load_in_turn(repository, model, *args, source="github", **options):
        for key in ("trust_repo", "force_reload", "verbose", "skip_validation"):
            options.pop(key, None)
        if source == "local" and Path(repository).resolve().is_relative_to(folder.resolve()):
            place = Path(repository)
        elif source == "github" and repository.partition(":")[0] in needs:
            name = repository.partition(":")[0]
            place = fetched(name, needs[name])
        else:
            raise UserError(
                f"hub entry {entry!r} loads code of {repository!r} in turn, which runs only from a "
                f"commit that the scenario names: needs: {{{repository.partition(':')[0]}: COMMIT}}"
            )
        with _alone(place):
            return load(str(place), model, *args, source="local", **options)

    kept = torch.hub.get_dir()
    try:
        torch.hub.set_dir(str(Path(get_root(), "hub")))
        torch.hub.load = load_in_turn
        with _alone(folder):
            return load(str(folder), entry, source="local", **arguments)
    except (UserError, DataError):
        raise
    except Exception as error:  # whatever the code of others raises
        raise UserError(f"hub entry {entry!r} of {folder} fails: {_told(error)}") from error
    finally:
        torch.hub.load = load
        torch.hub.set_dir(kept)


def _told(error):
    return f"{type(error).__name__}: {error}"


@contextmanager
def _alone(folder):
    """Modules of a folder, as if no others of their names were there."""
    tops = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if _top(name) in tops}
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes
        for name in [name for name in sys.modules if _top(name) in tops]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _top(name):
    return name.partition(".")[0]
