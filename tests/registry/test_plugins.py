"""Code of other packages: what is said where it cannot be imported."""

from importlib.metadata import EntryPoint

import pytest

from mdir.registry import plugins

MODULES = {
    "wrong": "found = 1\nratio = found / 0\n",
    "needy": "import library_that_is_not_there\n",
    "misspelt": "from mdir.registry import register\n\n\nregister('criterio', 'mine')\n",
    "sound": "part = 3\n",
}


def message(value):
    with pytest.raises(plugins.PluginError) as caught:
        plugins.load(EntryPoint("mine", value, "mdir.components"))
    return str(caught.value)


def test_the_reason_and_the_line_at_fault(tmp_path, monkeypatch):
    package = tmp_path / "plugin_of_tests"
    package.mkdir()
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.load(EntryPoint("mine", "plugin_of_tests.sound:part", "mdir.components")) == 3
    assert message("plugin_of_tests.wrong") == (
        f"ZeroDivisionError: division by zero ({package}/wrong.py:2)"
    )
    assert message("plugin_of_tests.needy") == (
        f"No module named 'library_that_is_not_there' ({package}/needy.py:1)"
    )
    assert message("plugin_of_tests.absent") == "No module named 'plugin_of_tests.absent'"
    assert message("plugin_of_tests.sound:prat").startswith("AttributeError: module 'plugin_of_t")
    found = message("plugin_of_tests.misspelt")
    assert found.startswith("unknown kind 'criterio'. Did you mean 'criterion'? Allowed: ")
    assert found.endswith(f"({package}/misspelt.py:4)")
