"""Every key of the shipped scenarios misspelt: refused at once, the right one named first."""

import random

import pytest

from cirtorch.utils.errors import nearest
from mdir.scenario.checks import NOT_YET, check_scenario_level, check_target
from mdir.scenario.plan import (
    check_variables,
    load_scenario,
    plan_target,
    sketch,
    unknown_targets,
)
from mdir.scenario.tree import ScenarioError, find
from mdir.scenario.unread import unread_settings
from tests.scenario.command import PROJECT, run_here
from tests.shipped.test_shipped_scenarios import SHIPPED

# Rows and titles of a page, labels of validations and sections that nobody uses have any name.
FREE = {
    "report": ("scores", "protocols", "losses", "galleries", "embeddings", "data_bases"),
    "train": ("learning.validation", "learning.training.optimizer.groups"),
    "validate": ("validation", "network.runtime.model"),
    "compare": ("results",),
}
FREE_BELOW = {"report": ("measures", "translations")}
UNUSED = {("train", "data", "val"), ("train", "data", "test")}
OWN_WORDS = {"type", "decisive_criterion", "criterion", "data", "network_overlay", "frequency"}


def keys_below(node, path=()):
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield path, key
            yield from keys_below(child, (*path, key))
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            yield from keys_below(child, (*path, index))


def is_free(step, path, key):
    where = ".".join(map(str, path))
    if path[-1:] == ("queries",):  # conditions of queries are labels of their scores
        return True
    if where in FREE.get(step, ()) and key not in OWN_WORDS:
        return True
    return where in FREE_BELOW.get(step, ()) or (step, where, key) in UNUSED or "${" in key


def distinct_keys():
    """``(scenario, target, step, path, key)``, each kind of step's once."""
    seen = set()
    for file in SHIPPED:
        scenario = load_scenario([str(file)])
        for target, node in scenario.targets.items():
            for step, child in node.value.items():
                if not isinstance(child.value, dict):
                    continue
                kind = child.value["__function__"].value.rpartition(".")[2]
                for path, key in keys_below(child):
                    known = (kind, path, key) in seen or not isinstance(key, str)
                    if known or key.startswith("__") or is_free(kind, path, key):
                        continue
                    seen.add((kind, path, key))
                    yield scenario, target, step, path, key


def misspelt(key, chance):
    """The key without a letter, or with two neighbours swapped."""
    at = chance.randrange(len(key))
    swapped = key[:at] + key[at + 1 : at + 2] + key[at] + key[at + 2 :]
    return chance.choice([key[:at] + key[at + 1 :], swapped])


def told(scenario, target, step, path, key, wrong):
    """What is said of a scenario with that key misspelt, and whether the right one comes first."""
    holder = find(scenario.tree, (target, step, *path))
    before = holder.value
    holder.value = {wrong if each == key else each: value for each, value in before.items()}
    _, problems = check_target(scenario, target)
    holder.value = before
    lines = [str(each) for each in problems if "give the folder of the photo" not in str(each)]
    hint = "\n".join(lines).partition("Did you mean ")[2]
    return lines, hint.startswith((repr(key), repr(key.partition("_")[2])))


def measure(chosen):
    """The share of misspelt keys whose right one is named first, and what was accepted."""
    right, accepted, count, chance = 0, [], 0, random.Random(0)
    for scenario, target, step, path, key in chosen:
        wrong = misspelt(key, chance)
        if path[-2:-1] == ("wrappers",) and wrong == key.lstrip("0123456789"):
            continue  # the number of a wrapper is only for its order
        if wrong in ("", key) or wrong in find(scenario.tree, (target, step, *path)).value:
            continue
        lines, is_right = told(scenario, target, step, path, key, wrong)
        count, right = count + 1, right + is_right
        if not lines:
            accepted.append((step, *path, key, wrong))
    return right / count, accepted


def test_misspelt_keys():
    keys = list(distinct_keys())
    share, accepted = measure(random.Random(0).sample(keys, 60))
    assert accepted == [] and share >= 0.95


@pytest.mark.slow
def test_every_key_misspelt():
    share, accepted = measure(distinct_keys())
    assert accepted == [] and share >= 0.95


@pytest.mark.parametrize(
    ("name", "known", "right"),
    [
        ("rl", ["lr", "eps"], "lr"),
        ("k", ["k2", "k1"], "k2"),
        ("dataset", ["data", "dataset_X"], "dataset_X"),
        ("datasetX_", ["dataset_Y", "dataset_X"], "dataset_X"),
        ("gama", ["gamma", "game"], "gamma"),
        ("x", ["y"], "y"),
        ("abc", ["xyz"], None),
        ("", ["ab"], None),
    ],
)
def test_the_nearest_name(name, known, right):
    assert nearest(name, known) == right


SETTINGS = """\
go:
  00_settings: {__function__: mdir.stages.settings.settings, place: a.txt, remark: mine}
  01_write: {__function__: tiny.write, path: "${00_settings.place}"}
"""


def test_settings_that_no_step_reads(tmp_path):
    (tmp_path / "s.yml").write_text(SETTINGS)
    done = run_here("go", "s.yml", folder=tmp_path, tiny=True)
    place = "s.yml:2:76: target go, step 00_settings, key"
    assert done.returncode == 0
    assert done.stderr == f"warning: {place} remark: no step reads this setting\n"
    refused = run_here("go", "s.yml", "go.00_settings.palce=b.txt", folder=tmp_path, tiny=True)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[1] == (
        "argument 'go.00_settings.palce=b.txt': target go, step 00_settings, key palce: "
        "no step reads this setting. Did you mean 'place'?"
    )
    (tmp_path / "s.yml").write_text(SETTINGS.replace("place: a", "palce: a"))
    refused = run_here("validate", "s.yml", folder=tmp_path, tiny=True)
    assert refused.stderr.splitlines()[1] == (
        "s.yml:2:62: target go, step 00_settings, key palce: no step reads this setting. "
        "Did you mean 'place'?"
    )


def test_a_section_of_an_overlay_that_covers_nothing(tmp_path):
    scenario = str(PROJECT / "scenarios/sandbox.yml")
    for given, right in {
        "all.2_train.data.tarin.loader.batch_size=4": "train",
        "all.3_evaluate.validation.night_to_day.network_overlay.rntime.wrappers=": "runtime",
    }.items():
        result = run_here("validate", scenario, given, folder=tmp_path)
        assert result.returncode == 2
        assert f"Did you mean {right!r}?" in result.stderr.splitlines()[1]


def test_a_word_of_python_where_json_has_its_own(tmp_path):
    scenario = str(PROJECT / "scenarios/sandbox.yml")
    for given, right in {"deterministic=True": "true?", "seed=None": "null?"}.items():
        result = run_here(
            "validate", scenario, f"all.2_train.learning.training.{given}", folder=tmp_path
        )
        assert result.returncode == 2
        assert result.stderr.splitlines()[1].endswith(right), result.stderr


SCENARIOS = PROJECT / "scenarios"


@pytest.mark.parametrize(
    ("file", "target", "step", "path", "right", "wrong"),
    [
        ("iccv23/train/cut.yml", "train", "1_train_augment", "", "adversarial", "advesarial"),
        ("iccv23/train/cut.yml", "train", "1_train_augment", "weights", "adversarial", "adversial"),
        ("iccv23/train/hedgan.yml", "train", "1_train_augment", "", "edge", "ege"),
        ("iccv23/train/hedngan.yml", "train", "1_train_augment", "", "hed", "ed"),
        ("iccv23/train/hedngan.yml", "train", "1_train_augment", "weights", "hed", "ehd"),
        ("iccv23/train/cyclegan.yml", "train", "1_train_augment", "loss_G_X", "cycle", "ccle"),
    ],
)
def test_the_misspelt_one_of_a_loss_and_its_weight_is_named(file, target, step, path, right, wrong):
    scenario = load_scenario([str(SCENARIOS / file)])
    keys = ("learning", "training", "criterion", *filter(None, [path]))
    lines, is_right = told(scenario, target, step, keys, right, wrong)
    assert is_right, lines


def test_a_misspelt_row_that_other_sections_name_is_told_where_it_is():
    scenario = load_scenario([str(SCENARIOS / "quickstart.yml")])
    lines, is_right = told(scenario, "all", "16_report", ("scores",), "tuned", "tuend")
    assert len(lines) == 1 and is_right
    assert "key scores.tuend: no other section names the row 'tuend'. Did you mean" in lines[0]
    lines, is_right = told(scenario, "all", "16_report", ("protocols",), "tuned", "tuend")
    assert len(lines) == 1 and is_right


SHOWN = """\
go:
  0_all: {__function__: mdir.stages.settings.settings, whole: 1}
  1_some:
    __function__: mdir.stages.settings.settings
    place: a.txt
    size: 1
    3: three
    inner: {deep: 1}
    remark: mine
    plcae: b.txt
  2_show: {__function__: print_scores, metadata: {whole: "${0_all}"}}
  3_show:
    __function__: print_scores
    metadata:
      - "${1_some.place} and ${1_some.parameters.size}"
      - {"${1_some.inner.deep}": 1}
      - ${1_some.absent}
"""


@pytest.fixture
def shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yml").write_text(SHOWN)
    return lambda *arguments: load_scenario(["s.yml", *arguments], collect=True)


def texts(problems):
    return [(str(each), each.problem.warns) for each in problems]


def test_what_reads_a_setting(shown):
    where = "target go, step 1_some, key"
    given = "go.1_some.abesnt=1"
    assert texts(unread_settings(plan_target(shown(given), "go"))) == [
        (f"s.yml:9:5: {where} remark: no step reads this setting", True),
        (
            f"s.yml:10:5: {where} plcae: no step reads this setting. Did you mean 'place'?",
            True,
        ),
        (
            f"argument {given!r}: {where} abesnt: no step reads this setting. "
            "Did you mean 'absent'?",
            False,
        ),
    ]


def test_variables_without_a_value_are_told_with_their_place(shown):
    given = "go.2_show.metadata.label=${no_such}"
    (problem,) = check_variables(plan_target(shown("go.1_some.absent=1", given), "go"))
    where = f"argument {given!r}: target go, step 2_show, key metadata.label: "
    assert str(problem).startswith(where)
    assert "no_such" in problem.problem.message


def test_a_target_that_only_an_argument_names(shown):
    given = "og.2_show.metadata=1"
    found = unknown_targets(shown(given))
    told = f"argument {given!r}: unknown target 'og'. Did you mean 'go'? Targets: go"
    assert {name: str(each) for name, each in found.items()} == {"og": told}
    assert unknown_targets(shown("og.1.__function__=print_scores")) == {}


def test_a_step_that_an_overlay_misspells(shown, tmp_path):
    missing = "missing __function__, the name of the function that performs the step"
    given = "go.2_shwo.metadata=1"
    _, (problem,) = sketch(shown(given), "go")
    hint = f"{missing}. Did you mean '2_show'?"
    assert str(problem) == f"argument {given!r}: target go, step 2_shwo: {hint}"
    (tmp_path / "s.yml").write_text(SHOWN + "  2_shwo: {metadata: 1}\n")
    plan, (problem,) = sketch(shown(), "go")
    assert str(problem) == f"s.yml:18:3: target go, step 2_shwo: {missing}"
    assert [step.name for step in plan.steps] == ["0_all", "1_some", "2_show", "3_show"]


def test_what_has_not_been_looked_at_yet_is_told(shown):
    with pytest.raises(ScenarioError) as caught:
        check_scenario_level(shown("go.2_shwo.metadata=1"), "go")
    assert caught.value.note == NOT_YET
    with pytest.raises(ScenarioError) as caught:
        check_scenario_level(shown(), "og")
    assert caught.value.note is None


def test_a_folder_is_made_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yml").write_text("""\
go:
  1_search: {__function__: mdir.stages.search.search, database: out/x, queries: out}
  2_extract: {__function__: mdir.stages.extract.extract, directory: out//}
""")
    plan = plan_target(load_scenario(["s.yml"]), "go")
    assert [step.name for step in plan.steps] == ["2_extract", "1_search"]
    (told,) = plan.warnings
    assert told == (
        "s.yml:2:55: target go: step 2_extract runs before 1_search, "
        "which reads out/x that it makes"
    )
