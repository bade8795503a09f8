"""``schema``: what fits it, and what does not."""

import json
import re

import jsonschema
import pytest
import yaml

from mdir.scenario import doctor
from mdir.scenario.assist import components, schema
from tests.scenario.command import run_here


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The schema as the command prints it, that of the tiny package among it."""
    result = run_here("schema", folder=tmp_path_factory.mktemp("schema"), tiny=True)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def validator(printed):
    jsonschema.Draft7Validator.check_schema(printed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(re, "_MAXCACHE", 100_000)  # the library compiles at every look
        yield jsonschema.Draft7Validator(printed)


def as_json(value):
    """A value as an editor sees it: all keys are texts."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return list(map(as_json, value)) if isinstance(value, list) else value


def read(text):
    return as_json(yaml.safe_load(text))


TRAIN = "t: {1_a: {__function__: mdir.stages.train.train, %s}}"
FITTING = [
    "t: {__doc__: words, _note: 1, 1_a: {__function__: print_scores, metadata: '${x.y}'}}",
    "t: {1_a: {__template__: a.yml, learning.training.epochs: 2, network*: {path: a.pth}}}",
    "t: {1_a: {'learning?': {training+: {epochs: '${b.c}'}}, data.val.loader.batch_size: 4}}",
    "t: {1_a: &a {<<: {__function__: print_scores}, metadata: {}}, 2_b: *a}",
    TRAIN % "network: {type: NetworkSet, a: {path: x, runtime: {frozen: true}}}",
    TRAIN % "network: {a: {b: {model: {architecture: cirnet, pooling: gem}}}}",
    TRAIN % "network.a.b.model.pooling: gem",
    TRAIN % "learning.training.optimizer: {algorithm: adam, lr: 1e-4}",
    TRAIN % "output.learning: {progress: {print_each: 1}, tensorboard: {}}",
    TRAIN % "data: {a: {loader: '${x.a}'}, b: '${x.b}'}, learning: {training: '${x.c}'}",
    TRAIN % "network: {runtime: '${x.a}'}, data.a.loader.batch_size: '${x.b}'",
    "all: {00_settings: {anything: 3, many*: [1, 2]}}",
    "t: {1_a: {__function__: mdir.stages.settings.settings, deep: {anything: 1}}}",
    "network: {type: SingleNetwork, model: {ngf: 8}}\nlearning.training.epochs: 3",
]
WRONG = [
    "t: {1_a: {__function__: print_score}}",
    "t: {1_a: 3}",
    "t: {1_a: {lerning: {training: {epochs: 1}}}}",
    "t: {1_a: {learning.trainin.epochs: 1}}",
    "t: {1_a: {network.a.b.model.poolin: gem}}",
    TRAIN % "learning.training.epoch: 1",
    TRAIN % "learning: {training: {epochs: many}}",
    TRAIN % "learning: {training: {optimizer: {algorithm: adm}}}",
    TRAIN % "learning: {training: {optimizer: {algorithm: adam, momentum: 1}}}",
    TRAIN % "learning: {training: {epoch_iteration: {type: daco, strat: 1}}}",
    TRAIN % "output: {learning: {progress: {print_eac: 1}}}",
    TRAIN % "network: {runtime: {wrappers: {eval: {0_cirwhitn: {}}}}}",
    TRAIN % "data: {train: {loader: {batchsize: 4}}}",
    TRAIN % "epochs: 4",
    "network: {type: SingleNetwork, model: {architecture: cirnet, ngf: 8}}",
    "network: {type: SingleNetwork, modle: {ngf: 8}}",
]


@pytest.mark.parametrize("text", FITTING)
def test_what_a_file_may_hold(validator, text):
    assert [error.message for error in validator.iter_errors(read(text))] == []


@pytest.mark.parametrize("text", WRONG)
def test_mistakes(validator, text):
    assert not validator.is_valid(read(text))


def test_words_for_an_editor(printed):
    definitions = printed["$defs"]
    assert definitions["criterion.triplet"]["properties"]["margin"]["default"] == 0.1
    assert "tiny.write" in definitions["step.*"]["properties"]["__function__"]["enum"]
    assert definitions["step.tiny.write"]["description"] == "Write a text."
    assert definitions["criterion.tiny_loss"]["properties"]["loss"] == {"const": "tiny_loss"}
    epochs = definitions["training.EpochTraining"]["properties"]["epochs"]
    assert epochs["description"] == "how many in all; a resumed run may ask for more."
    (runtime,) = definitions["compute.Runtime"]["then"]["allOf"]
    precision = runtime["properties"]["precision"]
    assert precision["anyOf"][0] == {"enum": ["float32", "bf16"]}
    assert precision["default"] == "float32"


@pytest.mark.parametrize(
    ("main", "name", "words"),
    [
        (schema.main, "schema", ["An editor with yaml-language-server takes it by the first line"]),
        (
            doctor.main,
            "doctor",
            ["Show which datasets and weights are there", "--full", "a sample"],
        ),
        (components.main, "components", ["KIND", "NAME"]),
    ],
)
def test_help_of_commands_of_their_own(capsys, main, name, words):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0 and f" {name} [-h]" in told
    assert all(each in told for each in words)


def test_the_schema_is_printed_without_blanks(monkeypatch, capsys):
    monkeypatch.setattr(schema, "scenario_schema", lambda: {"a": [1, 2], "b": {}})
    assert schema.main([]) == 0
    assert capsys.readouterr().out == '{"a":[1,2],"b":{}}\n'
