"""The command that tests mutants still works: it finds tests by line, and they kill."""

import json

import pytest

from tests.conftest import PROJECT

pytest.importorskip("mutmut")
FILE, TESTS = "cirtorch/utils/fingerprints.py", "tests/cirtorch/test_fingerprints.py"
LINE = "    if digest is not None and digest == old_digest:"


@pytest.mark.slow
def test_a_bad_mutant_is_killed_by_a_test_that_comes_to_its_line(tmp_path):
    from tests.mutants.__main__ import main

    number = (PROJECT / FILE).read_text().splitlines().index(LINE) + 1
    assert main([FILE, "--line", str(number), "--measure", TESTS], tmp_path) == 0

    results = [json.loads(each) for each in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {each["mutant"].partition(" ")[0] for each in results} == {f"{FILE}:{number}"}
    found = {each["diff"].splitlines()[1]: each for each in results}
    bad = found["+" + LINE.replace("==", "!=")]
    assert bad["outcome"] == "killed"
    test = f"{TESTS}::test_a_touched_file_is_compared_by_its_content"
    assert bad["test"] == test and len(results) == 3
