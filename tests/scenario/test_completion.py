"""What the shell offers at the tabulator key, asked as a shell asks the real command."""

import re

import pytest

from mdir import registry
from mdir.scenario.assist.completion import _steps, _words
from tests.scenario.command import run

SCENARIO = """\
go:
  __doc__: words
  1_write: {__function__: tiny.write, path: a.txt, text: x}
  2_make: {__function__: tiny.make, loss: {loss: multihead_loss, edge: {loss: l1}, 3: {loss: l1}}}
gather:
  1_show: {__function__: print_scores, metadata: {}}
_remark: no target
"""
COMMANDS = ["list", "validate", "components", "doctor", "schema", "serve", "sweep"]


@pytest.fixture
def offered(tmp_path):
    """``offered(line)``: completions at the end of a line, or at its ``|``."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "s.yml").write_text(SCENARIO)
    (tmp_path / "sub" / "own.yml").write_text("here: {}\n")
    (tmp_path / "notes.txt").write_text("no scenario")

    def ask(line, skipped=0):
        environ = {
            "_ARGCOMPLETE": str(1 + skipped),
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answer"),
            "COMP_LINE": line.replace("|", ""),
            "COMP_POINT": str(len(line.partition("|")[0])),
            "PYTHONPROFILEIMPORTTIME": "1",
        }
        result = run(folder=tmp_path, environ=environ)
        assert (result.returncode, result.stdout) == (0, "")
        imported = set(re.findall(r"\|\s*([\w.]+)$", result.stderr, re.M))
        assert "argcomplete" in imported
        assert not imported & {"torch", "numpy", "cv2"}
        return (tmp_path / "answer").read_text().split()

    return ask


def test_commands_and_targets_of_the_scenarios_here(offered):
    assert offered("mdir ") == [*COMMANDS, "go", "gather"]
    assert offered("mdir ga") == ["gather"]


def test_targets_of_the_scenario_behind_the_cursor(offered):
    assert offered("mdir | sub/own.yml") == [*COMMANDS, "here"]
    assert offered("mdir fine| iccv23/train/cut.yml a.b=1") == ["finetune", "finetune_r101"]


def test_files_here_and_shipped_ones(offered):
    found = offered("mdir list ")
    assert found[:2] == ["s.yml", "sub/"] or found[:2] == ["sub/", "s.yml"]
    assert "quickstart.yml" in found and "iccv23/toy.yml" in found
    assert not any("parameters" in name or "/_" in name for name in found)
    assert offered("mdir go s.yml sub/") == ["sub/own.yml"]
    assert offered("mdir list iccv23/eval/h") == ["iccv23/eval/hedngan.yml"]


def test_dotted_keys_of_the_resolved_tree(offered):
    assert offered("mdir go s.yml go.") == ["go.1_write.", "go.2_make."]
    assert offered("mdir go s.yml go.1_write.text=y go.1_write.t") == ["go.1_write.text="]
    assert offered("mdir go s.yml g") == ["go.1_write.", "go.2_make."]  # no other target's
    inner = [f"go.2_make.loss.{key}" for key in ("loss=", "edge.", "3.")]
    assert offered("mdir go s.yml go.2") == inner  # what stands alone is entered
    assert offered("mdir validate s.yml ga") == ["gather.1_show.metadata."]
    assert offered("mdir go s.yml go.1_write.path=") == []
    assert offered("mdir go s.yml go.0_absent.") == []
    template = "all.05_tune.learning.training.epoc"
    assert offered(f"mdir all quickstart.yml {template}") == [
        "all.05_tune.learning.training.epochs=",
        "all.05_tune.learning.training.epoch_iteration.",
    ]


def test_options_and_steps(offered):
    assert offered("mdir go s.yml --only ") == ["1_write", "2_make"]
    assert offered("mdir go s.yml --dr") == ["--dry-run"]
    assert offered("mdir components cri") == ["criterion"]
    assert set(offered("mdir components ")) == {"step", *registry.KINDS}
    assert offered("mdir doctor ") == []


def test_the_script_of_a_checkout(offered):
    assert offered("python3 perform_scenario.py li", skipped=1) == ["list"]


def test_mistakes_offer_nothing(offered, tmp_path):
    (tmp_path / "bad.yml").write_text("go: [")
    assert offered("mdir go bad.yml go.") == []
    assert offered("mdir go absent.yml --only ") == []


def test_words_and_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMP_LINE", 'mdir  "open')
    monkeypatch.setenv("COMP_POINT", "5")
    (tmp_path / "s.yml").write_text(SCENARIO)

    def keys(*before, prefix):
        return [word for word in _words(before, prefix, COMMANDS) if not word.endswith("yml")]

    assert keys(prefix="") == [*COMMANDS, "go", "gather"]
    assert keys("go", "s.yml", prefix="go.1_write.path=") == []
    inside = ["path=", "text="]
    assert keys("go", "s.yml", prefix="go.1") == [f"go.1_write.{key}" for key in inside]
    assert keys("doctor", "s.yml", prefix="go") == []
    assert keys("serve", "s.yml", prefix="go.1") == [f"go.1_write.{key}" for key in inside]
    assert keys("sweep", prefix="") == ["go", "gather"]
    assert keys("sweep", "go", "s.yml", prefix="go.1") == [f"go.1_write.{key}" for key in inside]
    # what is wrong elsewhere is left out
    assert keys("go", "s.yml", "absent.yml", prefix="go.1") == keys("go", "s.yml", prefix="go.1")
    assert _steps(["go", "s.yml"]) == ["1_write", "2_make"]
    assert _steps(["absent", "s.yml"]) == _steps(["go", "absent.yml"]) == _steps([]) == []
