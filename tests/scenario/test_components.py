"""``components``: kinds, names and parameters."""

import sys

import pytest

from mdir import registry
from tests.scenario.command import run, run_here


def show(folder, *words):
    result = run_here("components", *words, folder=folder, tiny=True)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_kinds(tmp_path):
    lines = show(tmp_path)
    assert [line.split()[0] for line in lines] == ["step", *registry.KINDS]
    assert lines[0] == "step          named by __function__"
    assert "criterion     named by loss" in lines


def test_names_of_a_kind_with_a_line_each(tmp_path):
    lines = show(tmp_path, "criterion")
    names = [line.split()[0] for line in lines]
    assert names == sorted(names)
    assert {"bce", "loss_set", "tiny_loss", "triplet"} <= set(names)
    assert (
        "proxyanchor               Proxy Anchor (Kim et al., CVPR 2020); one proxy a class."
        in lines
    )
    assert all("nn.Module" not in line for line in lines)  # no docstring of a base class


def test_steps_with_those_of_other_packages(tmp_path):
    lines = show(tmp_path, "step")
    found = {line.split()[0]: line for line in lines}
    assert found["tiny.copy"].endswith("  Copy a file.")
    assert found["tiny.broken"].endswith("  cannot be imported: No module named 'tiny.absent'")
    assert found["print_scores"].endswith("  Print the known scores of each evaluation in percent.")


def test_a_step(tmp_path):
    assert show(tmp_path, "step", "tiny.write") == [
        "step tiny.write (__function__: tiny.write)",
        "",
        "Write a text.",
        "",
        "parameters:",
        "  path   text; required",
        '  text   text; default "x"',
        "  times  a whole number; default 1",
        "  seed   a whole number; default 0",
    ]
    assert show(tmp_path, "step", "tiny.make")[-1] == "  loss  a criterion section; required"
    assert show(tmp_path, "step", "tiny.plain")[-1] == "  not declared: any"


def test_components(tmp_path):
    lines = show(tmp_path, "criterion", "triplet")
    assert lines[0] == "criterion triplet (loss: triplet)"
    assert lines[2].startswith("``max(|q - p|^2 - |q - n|^2 + margin, 0)``")
    assert lines[-1] == "  margin  a number; default 0.1"
    lines = show(tmp_path, "network", "")
    assert lines[0] == "network, unnamed"
    assert lines[-2] == "  path     text; required"


def test_the_keys_of_nested_mappings(tmp_path):
    lines = show(tmp_path, "step", "mdir.stages.multistep.infer_and_learn_whitening")
    assert lines[lines.index("parameters:") :] == [
        "parameters:",
        "  network        a network section; required",
        "  output         a mapping; required",
        "    inference    an output section; required",
        "      async      true or false; optional",
        "    debug        true or false; optional",
        "  data           a mapping; required",
        "    test         a mapping; required",
        "  whitening      a mapping; required",
        "    type         'lw' or 'pca'; required",
        "    dataset_pkl  text; required",
        "    directory    text or null; required",
        "    shrink       a number; optional",
        "  forward        a mapping or null; default null",
        "    method       text or null; optional",
        "    params       a mapping or null; optional",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["criterio"], "unknown kind 'criterio'. Did you mean 'criterion'? Allowed: archi"),
        (["criterion", "tiny_los"], "unknown criterion 'tiny_los'. Did you mean 'tiny_loss'?"),
        (["step", "tiny.wrte"], "unknown step 'tiny.wrte'. Did you mean 'tiny.write'? Allowed: ci"),
        (["step", "tiny.broken"], "the step 'tiny.broken' cannot be imported: No module named"),
    ],
)
def test_what_is_not_there(tmp_path, words, message):
    result = run_here("components", *words, folder=tmp_path, tiny=True)
    assert (result.returncode, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"perform_scenario.py components: error: {message}")


def test_output_cut_short(tmp_path):
    cut = ["sh", "-c", '"$0" "$@" | head -c 0', sys.executable]
    result = run("components", "architecture", folder=tmp_path, python=cut)
    assert result.stderr == ""
