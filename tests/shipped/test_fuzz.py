"""A scenario may hold anything at all: ``validate`` ends, and never in a traceback."""

import os
import random
import shutil
import signal

import pytest

from mdir.scenario import cli
from mdir.scenario.overlay import Loader
from tests.scenario.command import PROJECT
from tests.shipped.mutations import in_text, in_tree
from tests.shipped.test_shipped_scenarios import SHIPPED

MOST_SECONDS = 120  # of a scenario that takes one or two


def read_by(path):
    """The files that a scenario consists of."""
    loader = Loader()
    loader.load([(str(path), True)])
    return sorted(os.path.normpath(file) for file in loader.reader._parsed)


def validate_mutants(folder, seeds, capsys):
    """What went wrong with mutated copies of shipped scenarios, by seed."""
    scenarios = folder / "scenarios"
    shutil.copytree(PROJECT / "scenarios", scenarios)
    inside = [scenarios / path.relative_to(PROJECT / "scenarios") for path in SHIPPED]
    failed, codes = {}, set()
    for seed in seeds:
        chance = random.Random(seed)
        scenario = chance.choice(inside)
        file = scenarios / chance.choice([scenario, *read_by(scenario)])
        text = file.read_text(encoding="utf-8")
        mutant = chance.choice((in_text, in_tree))(text, chance)
        file.write_text(mutant, encoding="utf-8")
        signal.alarm(MOST_SECONDS)
        try:
            codes.add(cli.main(["validate", str(scenario)]))
        except BaseException as error:  # a traceback, or the alarm
            failed[seed] = f"{type(error).__name__}: {error}"
        signal.alarm(0)
        file.write_text(text, encoding="utf-8")
        if "Traceback" in capsys.readouterr().err:
            failed[seed] = "a traceback is shown"
    return failed, codes


@pytest.fixture
def alarm():
    def stop(number, frame):
        raise TimeoutError(f"more than {MOST_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.signal(signal.SIGALRM, before)


def test_mutated_scenarios(tmp_path, capsys, alarm):
    assert validate_mutants(tmp_path, range(100), capsys) == ({}, {0, 2})


@pytest.mark.slow
def test_ten_thousand_mutated_scenarios(tmp_path, capsys, alarm):
    assert validate_mutants(tmp_path, range(10_000), capsys) == ({}, {0, 2})
