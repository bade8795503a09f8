"""Which tests come to which line: one run of all of them, under coverage with their names."""

import difflib
import json
import os
import re
from collections import defaultdict
from pathlib import Path

import coverage
import pytest

FIXTURE = "fixture "
# A process that a test starts learns the test's name from pytest's variable.
SETTINGS = """\
[run]
source_pkgs = mdir.scenario, mdir.learning, cirtorch.utils.fingerprints
context = ${PYTEST_CURRENT_TEST-}
data_file = %s
parallel = true
patch = _exit
disable_warnings = module-not-imported
"""


class Names:
    """A plugin of pytest: coverage is told of each test, their times and results are kept.

    What a fixture of many tests runs when the first of them asks for it counts for all of them.
    """

    def __init__(self, measured):
        self.measured, self.seconds, self.failed = measured, defaultdict(float), set()
        self.users, self.test = defaultdict(set), ""

    def pytest_collection_finish(self, session):
        for item in session.items:
            for name in item.fixturenames:
                self.users[name].add(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.test = item.nodeid
        self.measured.switch_context(self.test)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        if fixturedef.scope != "function":
            self.measured.switch_context(f"{FIXTURE}{fixturedef.argname} {fixturedef.baseid}")
        try:
            return (yield)
        finally:
            self.measured.switch_context(self.test)

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def tests(self, context: str) -> set[str]:
        """The tests behind a name that coverage was told, of those that passed."""
        if context.startswith(FIXTURE):
            name, _, place = context.removeprefix(FIXTURE).partition(" ")
            found = {test for test in self.users[name] if test.startswith(place)}
        else:  # of a process that a test started, with the phase of the test
            found = {re.sub(r" \((setup|call|teardown)\)$", "", context)}
        return found & self.seconds.keys() - self.failed


def measure(folder: Path, tests: list[str]) -> dict:
    """Run tests in the current folder.

    Args:
        folder: for files of coverage.
        tests: arguments of pytest; slow ones are left out.

    Returns:
        ``lines`` (by file, by line: the tests that come there), ``seconds`` by test, of those that
        passed, and ``texts`` of the files.
    """
    settings = folder / "settings.ini"
    settings.write_text(SETTINGS % (folder / "coverage"))
    measured = coverage.Coverage(config_file=str(settings))
    names = Names(measured)
    os.environ["COVERAGE_PROCESS_START"] = str(settings)
    measured.start()
    pytest.main(["-q", "-m", "not slow", "-p", "no:cacheprovider", *tests], plugins=[names])
    measured.stop()
    measured.save()
    del os.environ["COVERAGE_PROCESS_START"]
    measured.combine([str(folder)])
    seconds = {test: time for test, time in names.seconds.items() if test not in names.failed}
    lines = _lines(measured.get_data(), names)
    return {"lines": lines, "seconds": seconds, "texts": {path: _text(path) for path in lines}}


def _lines(data, names):
    found: dict = {}
    for file in data.measured_files():
        path = str(Path(file).relative_to(Path.cwd()))
        by_line = found[path] = {}
        for line, contexts in data.contexts_by_lineno(file).items():
            by_line[str(line)] = sorted(set().union(*map(names.tests, contexts)))
    return found


def merged(old: dict, new: dict) -> dict:
    """What was measured of some tests in place of what was known of their files."""
    files = {test.partition("::")[0] for test in new["seconds"]}

    def kept(tests):
        return [test for test in tests if test.partition("::")[0] not in files]

    lines: dict = {}
    for measured in (old := moved(old), new):
        for path, by_line in measured["lines"].items():
            for line, tests in by_line.items():
                known = lines.setdefault(path, {}).setdefault(line, [])
                known += kept(tests) if measured is old else tests
    seconds = {test: old["seconds"][test] for test in kept(old["seconds"])} | new["seconds"]
    return {"lines": lines, "seconds": seconds, "texts": {**old["texts"], **new["texts"]}}


def moved(record: dict) -> dict:
    """A record with the lines where they are in the files now; those that are new lack tests."""
    lines, texts = {}, {}
    for path in filter(os.path.exists, record["lines"]):
        texts[path] = _text(path)
        old, new = (text.splitlines() for text in (record["texts"][path], texts[path]))
        blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        place = {str(a + i + 1): str(b + i + 1) for a, b, size in blocks for i in range(size)}
        by_line = record["lines"][path].items()
        lines[path] = {place[line]: tests for line, tests in by_line if line in place}
    return {**record, "lines": lines, "texts": texts}


def _text(path):
    return Path(path).read_text()


def load(path: Path) -> dict:
    """What :func:`measure` found earlier."""
    return json.loads(path.read_text())
