"""Files without a target: the parameters of an evaluation are performed, others are refused."""

import json

import pytest
import yaml

from mdir.scenario.one_step import WARNING
from tests.scenario.command import PROJECT, run_here
from tests.scores.test_cirdatasetap import write
from tests.sections import cirnet, single

DATA = {"transforms": "pil2np | totensor", "mean_std": None}
EVALUATION = {
    "network": single(cirnet("resnet18"), wrappers="", data=DATA),
    "validation": {
        "type": "SingleValidation",
        "frequency": None,
        "network_overlay": None,
        "data": None,
        "criterion": {"type": "cirdatasetap", "dataset": "247tokyo1k", "image_size": 64},
    },
    "data": {},
}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "root", [{"bbx": None, "ok": [1], "junk": [0]}])
    (tmp_path / "one.yml").write_text(yaml.safe_dump(EVALUATION))
    (tmp_path / "over.yml").write_text("__template__: one.yml\nnetwork.runtime.frozen: true\n")
    (tmp_path / "named.yml").write_text("__template__: one.yml\n")
    return tmp_path


@pytest.mark.parametrize("name", ["one.yml", "over.yml", "named.yml"])
def test_an_evaluation_without_a_target_is_listed_checked_and_performed(folder, name):
    warning = f"warning: {name}: {WARNING}\n"
    listed = run_here("list", name, folder=folder)
    assert listed.stdout == "\n- eval - Evaluate the network of this file\n\n"
    checked = run_here("validate", name, folder=folder)
    assert (checked.returncode, checked.stderr) == (0, warning)
    assert checked.stdout == "nothing is wrong: 1 target, 2 steps\n"
    done = run_here("eval", name, folder=folder)
    assert (done.returncode, warning in done.stderr) == (0, True), done.stderr
    assert "score_avg:map 1.0\n" in done.stdout
    refused = run_here("evaluate", name, folder=folder)
    assert refused.returncode == 2
    assert "unknown target 'evaluate'. Did you mean 'eval'? Targets: eval" in refused.stderr


@pytest.mark.parametrize(
    "layer",
    [
        "validation.criterion.image_size=32",
        "eval.1_evaluate.validation.criterion.image_size=32",
        "small.yml",
        "dotted.yml",
        "named_small.yml",
        "target.yml",
    ],
)
def test_layers_cover_an_evaluation_by_its_keys_or_by_its_target(folder, layer):
    small = {"validation": {"criterion": {"image_size": 32}}}
    (folder / "small.yml").write_text(json.dumps(small))
    (folder / "dotted.yml").write_text(
        "__template__: empty.yml\nvalidation.criterion.image_size: 32"
    )
    (folder / "empty.yml").write_text("{}")
    (folder / "named_small.yml").write_text("__template__: small.yml")
    (folder / "target.yml").write_text(json.dumps({"eval?": {"1_evaluate": small}}))
    for name in ("one.yml", "over.yml"):
        steps = yaml.safe_load(run_here("eval", name, layer, "--print-steps", folder=folder).stdout)
        assert set(steps) == {"1_evaluate", "2_print_scores"}
        assert steps["1_evaluate"]["validation"]["criterion"]["image_size"] == 32
        assert run_here("validate", name, layer, folder=folder).returncode == 0


def test_a_published_evaluation_is_that_of_the_scenario_of_its_family(folder):
    text = (PROJECT / "scenarios/iccv23/parameters/eval.yml").read_text()
    (folder / "eval.yml").write_text(text)
    whitening = "network.runtime.wrappers.eval.0_cirwhiten.whitening"
    (folder / "vgg.yml").write_text(
        f"__template__: eval.yml\nnetwork.path: x.pth\n{whitening}: x.pkl\n"
    )
    mine = run_here("eval", "vgg.yml", "--print-steps", folder=folder)
    shipped = run_here(
        "eval",
        str(PROJECT / "scenarios/iccv19/vgg16_clahe.yml"),
        "eval.1_evaluate.network.path=x.pth",
        f"eval.1_evaluate.{whitening}=x.pkl",
        "--print-steps",
        folder=folder,
    )
    steps = yaml.safe_load(shipped.stdout)
    steps.pop("0_download_retrieval_test")
    assert yaml.safe_load(mine.stdout) == steps


@pytest.mark.parametrize("words", [["list"], ["validate"], ["eval"]])
@pytest.mark.parametrize("keys", ["network, learning, output, data", "network, data"])
def test_the_parameters_of_another_step_are_no_scenario(tmp_path, words, keys):
    (tmp_path / "one.yml").write_text("".join(f"{key}: {{}}\n" for key in keys.split(", ")))
    result = run_here(*words, "one.yml", folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[1] == (
        f"one.yml: has no target: its top keys {keys} are the parameters of one step. Put them "
        "into a step of a target, as the scenarios iccv23/train/*.yml do; one evaluation alone "
        "(network, validation, data) needs none"
    )


def test_an_evaluation_without_data_is_one_that_lacks_it(folder):
    text = yaml.safe_dump({key: value for key, value in EVALUATION.items() if key != "data"})
    (folder / "short.yml").write_text(text)
    told = run_here("validate", "short.yml", folder=folder)
    assert told.returncode == 2
    assert told.stderr.splitlines()[1:] == [
        "short.yml:1:1: target eval, step 1_evaluate: missing parameter 'data' of step "
        "mdir.stages.validate.validate: a mapping"
    ]


def test_a_mistake_in_an_evaluation_is_told_where_it_is(folder):
    text = yaml.safe_dump({**EVALUATION, "data": {"x": 1}}, sort_keys=False)
    (folder / "bad.yml").write_text(text.replace("image_size", "imagesize"))
    told = run_here("validate", "bad.yml", folder=folder)
    assert told.returncode == 2
    assert "target eval, step 1_evaluate, key validation.criterion.imagesize" in told.stderr
    assert "Did you mean 'image_size'?" in told.stderr
