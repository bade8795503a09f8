"""Fixtures of the tests that run shipped scenarios."""

import pytest


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """A root that several runs share, so that the toy world is drawn once."""
    folder = tmp_path_factory.mktemp("city")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRTORCH_ROOT", str(folder))
        yield folder
