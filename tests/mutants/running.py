"""Mutants before the tests, each in a process forked where the tests are collected already."""

import contextlib
import functools
import gc
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutants.mutations import Mutant

SURVIVED, KILLED, TIMEOUT = "survived", "killed", "timeout"
BROKEN = 70  # exit code: what runs the tests failed, not they
MOST_ANEW = 25  # tests in a process that imports everything anew
UNFIT = 71  # exit code: no function can be given the code of the mutant


def with_tests(files: list[str], do: Callable[["Tests"], None]) -> None:
    """Collect tests and hand them on.

    Raises:
        RuntimeError: they cannot be collected.
    """
    plugin = _Collected(do)
    pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[plugin])
    if plugin.error is not None:
        raise plugin.error


class _Collected:
    """A plugin of pytest that does something else in place of running the tests."""

    def __init__(self, do):
        self.do = do
        self.error: Exception | None = RuntimeError("pytest cannot collect the tests")

    def pytest_runtestloop(self, session):
        try:
            self.error = self.do(Tests(session))
        except Exception as error:  # pytest would tell it, but not end by it
            self.error = error
        return True


class Tests:
    """The collected tests."""

    def __init__(self, session):
        self.items = {item.nodeid: item for item in session.items}
        self.hook, self.failed = session.config.hook, ""
        self.pace = 10.0  # times as long as when measured: of what was run with nothing changed
        session.config.pluginmanager.register(self)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = report.nodeid

    def judge(self, mutant: Mutant, names: list[str], seconds: dict[str, float]) -> tuple[str, str]:
        """The outcome, and by which test.

        Args:
            mutant: of a file in the current folder, which is written there and put back.
            names: of the tests, to be run in this order until one fails.
            seconds: that each of them took when it was measured.
        """
        if not mutant.in_head:
            with _written(mutant):
                outcome = self._judge(mutant, names, seconds)
            if outcome is not None:
                return outcome
        with _written(mutant):
            code = _wait(_run_anew(names[:MOST_ANEW]), self._limit(names, seconds))
        return (TIMEOUT if code is None else KILLED if code else SURVIVED), ""

    def _limit(self, names, seconds):
        return 60 + 10 * self.pace * sum(seconds[name] for name in names)

    def _judge(self, mutant, names, seconds):
        _functions(mutant.path)  # found once, for all children
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            self._test(mutant, names, writing)
        os.close(writing)
        begin = time.monotonic()
        code = _wait(child, self._limit(names, seconds))
        if mutant.mutation is None:
            took = 1 + sum(seconds[name] for name in names)
            self.pace = max(1.0, (time.monotonic() - begin) / took)
        with os.fdopen(reading) as file:
            test = file.read()
        if code is None:
            return TIMEOUT, test
        if code == BROKEN:
            raise RuntimeError(f"{mutant}: {test}")
        if code == UNFIT:
            return None
        return (SURVIVED, "") if code == 0 else (KILLED, test or f"exit code {code}")

    def _test(self, mutant, names, writing):
        """In a process of its own; it ends with 0 where all tests passed."""
        os.setpgrp()  # not a session: it would leave the scheduling group of this one
        code = BROKEN
        try:
            code = 0 if mutant.mutation is None or _patch(mutant) else UNFIT
            items = [self.items[name] for name in names if name in self.items]
            for item, following in zip(items, [*items[1:], None], strict=True) if not code else ():
                self.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    break
            code = 1 if self.failed else code
            os.write(writing, self.failed.encode())
        except Exception as error:
            code = BROKEN
            os.write(writing, repr(error).encode())
        finally:
            os._exit(code)


def _run_anew(names):
    """A process that imports everything anew; its id."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *names]
    child = os.fork()
    if not child:
        os.setpgrp()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.execv(sys.executable, command)
    return child


@contextlib.contextmanager
def _written(mutant):
    """Processes that tests start find the mutant in its file."""
    path = Path(mutant.path)
    original = path.read_text()
    # Bytecode is known by time (in seconds) and size, and a mutant may have both.
    Path(cache_from_source(str(path))).unlink(missing_ok=True)
    path.write_text(mutant.text)
    try:
        yield
    finally:
        path.write_text(original)


def _wait(child, limit):
    """The exit code of a process, None where it took too long; nothing of it stays."""
    code, end = None, time.monotonic() + limit
    while code is None and time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if done else None
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return code


def _patch(mutant) -> bool:
    """Give the functions of the file the code that they have in the mutant."""
    path = str(Path(mutant.path).absolute())
    places = {}
    for name, codes in _by_name(compile(mutant.module.code, path, "exec")).items():
        places |= {(name, code.co_firstlineno): at for at, code in enumerate(codes)}
    new = _by_name(compile(mutant.text, path, "exec"))
    patched = False
    for function in _functions(mutant.path):
        code = function.__code__
        at, codes = places.get((code.co_qualname, code.co_firstlineno)), new[code.co_qualname]
        if at is not None and at < len(codes) and code.co_freevars == codes[at].co_freevars:
            function.__code__ = codes[at]
            patched = True
    return patched


@functools.cache
def _functions(path):
    """All functions of a file, wherever they are."""
    place = str(Path(path).absolute())
    functions = [each for each in gc.get_objects() if type(each) is FunctionType]
    return [each for each in functions if each.__code__.co_filename == place]


def _by_name(code) -> dict[str, list[CodeType]]:
    found = defaultdict(list)
    for inner in _codes(code):
        found[inner.co_qualname].append(inner)
    return found


def _codes(code) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
