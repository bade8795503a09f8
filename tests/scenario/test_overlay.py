"""Covering layers: properties of the rule, templates, and what is refused."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdir.scenario.overlay import Loader
from mdir.scenario.plan import SCENARIOS, load_scenario
from mdir.scenario.tree import Node, Place, ScenarioError, without_places

KEYS = st.text("abc", min_size=1, max_size=2)
SCALARS = st.none() | st.integers(-3, 3) | st.text("xy", max_size=2)
TREES = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8),
    max_size=3,
)


def nodes(value):
    """A tree without places, for the rule alone."""
    place = Place("test", is_file=False)
    if isinstance(value, dict):
        value = {key: nodes(item) for key, item in value.items()}
    elif isinstance(value, list):
        value = [nodes(item) for item in value]
    return Node(value, place)


def covered(below, above):
    loader = Loader()
    return without_places(loader.settle(loader.cover(nodes(below), nodes(above)))), loader.problems


def naive(below, above):
    """The rule without markers, lists and templates, written as it is said."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    result = copy.deepcopy(below)
    for key, value in above.items():
        result[key] = naive(result[key], value) if key in result else value
    return result


@given(TREES, TREES)
def test_mappings_merge_key_by_key(below, above):
    assert covered(below, above) == (naive(below, above), [])


@given(TREES)
def test_nothing_covers_nothing_and_all_covers_itself(tree):
    assert covered(tree, {}) == (tree, [])
    assert covered({}, tree) == (tree, [])
    assert covered(tree, tree) == (tree, [])


@given(TREES, TREES, TREES)
def test_layers_associate(first, second, third):
    left = covered(covered(first, second)[0], third)
    if not any(isinstance(value, dict) for value in (*second.values(),)):
        return
    assert left == (naive(naive(first, second), third), [])


@given(TREES, KEYS, TREES)
def test_star_replaces_whatever_is_there(below, key, value):
    result, found = covered(below, {f"{key}*": value})
    assert (result, found) == ({**below, key: value}, [])


@given(st.lists(SCALARS), st.lists(SCALARS))
def test_plus_joins_lists(first, second):
    assert covered({"k": first}, {"k+": second}) == ({"k": first + second}, [])


@pytest.mark.parametrize(
    ("below", "above", "path", "message"),
    [
        (
            {"k": [1]},
            {"k": [1]},
            ("k",),
            "a list cannot cover the list of argument 'test'; write k* to replace it or k+ to "
            "append",
        ),
        ({}, {"k+": [1]}, ("k",), "k+ has nothing to add to"),
        ({"k": None}, {"k+": 1}, ("k",), "k+ has nothing to add to"),
        (
            {"k": {}},
            {"k+": {}},
            ("k",),
            "k+ joins two lists, two texts or two numbers, not a mapping and a mapping",
        ),
        (
            {"j": {"k": "a"}},
            {"j": {"k+": [None]}},
            ("j", "k"),
            "k+ joins two lists, two texts or two numbers, not text and a list",
        ),
        (
            {"k": 1},
            {"k+": None},
            ("k",),
            "k+ joins two lists, two texts or two numbers, not 1 and null",
        ),
        (
            {"k": [1]},
            {"k": {"0": 1}},
            ("k", "0"),
            "covers the list of argument 'test', so its keys must be indices, not '0'",
        ),
        (
            {"k": [1]},
            {"k": {True: 1}},
            ("k", True),
            "covers the list of argument 'test', so its keys must be indices, not True",
        ),
        (
            {"k": [1]},
            {"k": {1: 1}},
            ("k", 1),
            "index 1 is outside the list of argument 'test' (1 items)",
        ),
        (
            {"k": [1]},
            {"k": {-2: 1}},
            ("k", -2),
            "index -2 is outside the list of argument 'test' (1 items)",
        ),
        (
            {"k": [{"a": [1]}]},
            {"k": {0: {"a": {5: 1}}}},
            ("k", 0, "a", 5),
            "index 5 is outside the list of argument 'test' (1 items)",
        ),
        ({"a": {}}, {"a": {"*": 1}}, ("a",), "the key '*' is a marker without a name"),
    ],
)
def test_what_is_refused(below, above, path, message):
    (problem,) = covered(below, above)[1]
    assert (problem.problem.path, problem.problem.message) == (path, message)
    assert str(problem.place) == "argument 'test'"


def test_items_of_a_list_are_covered_by_their_index():
    below = {"k": [{"a": 1, "b": [1]}, 2, 3]}
    above = {"k": {0: {"a": 5, "b+": [2], "c?": 0}, -1: {"x": 1}, 1: None}}
    assert covered(below, above) == ({"k": [{"a": 5, "b": [1, 2]}, None, {"x": 1}]}, [])
    item = {"__template__": "no file is read inside a list", "a": 1}
    assert covered({"k": [item]}, {"k": {0: {"a": 2}}}) == ({"k": [{**item, "a": 2}]}, [])


@pytest.mark.parametrize(
    ("first", "second", "whole"), [("ab", "c", "abc"), (1, 0.5, 1.5), ([], [1], [1])]
)
def test_plus_joins_what_is_of_one_kind(first, second, whole):
    assert covered({"k": first}, {"k+": second}) == ({"k": whole}, [])


def load(folder, files, *args):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    scenario = load_scenario([str(folder / "s.yml"), *args])
    return without_places(scenario.tree), scenario.warnings


def refused(folder, files, *args):
    with pytest.raises(ScenarioError) as caught:
        load(folder, files, *args)
    return [str(each).replace(f"{folder}/", "") for each in caught.value.problems]


def test_later_layers_win_over_templates_and_dotted_keys(tmp_path):
    files = {
        "s.yml": "t: {s: {__template__: base.yml, a.b: 1, list*: [2]}}",
        "base.yml": "a: {b: 0, c: 0}\nlist: [1]\n",
    }
    tree, _ = load(tmp_path, files, "t.s.a.b=3", "t.s.list+=[4]")
    assert tree == {"t": {"s": {"a": {"b": 3, "c": 0}, "list": [2, 4]}}}


def test_a_layer_over_a_file_that_is_all_template(tmp_path):
    files = {"s.yml": "__template__: b.yml", "b.yml": "t: {l: [1], m: {x: 1}}"}
    assert load(tmp_path, files, "t.l+=[2]", "t.m*={}")[0] == {"t": {"l": [1, 2], "m": {}}}


TEMPLATE = {"base.yml": "learning: {training: {epochs: 50, seed: 0, rate: 1}}\n"}


@pytest.mark.parametrize(
    ("step", "training"),
    [
        ("learning.training.seed: 5, learning.training: {epochs: 20}", (20, 5)),
        ("learning.training: {epochs: 20}, learning.training.seed: 5", (20, 5)),
        ("learning: {training: {epochs: 20}}, learning.training.seed: 5", (20, 5)),
        ("learning.training: {epochs: 20}, learning: {training: {seed: 5}}", (20, 5)),
        ("<<: *dotted, learning: {training: {epochs: 5}}", (5, 7)),
        ("learning: {training: {epochs: 5}}, <<: *dotted", (5, 7)),
        ("<<: *dotted, learning.training: {epochs: 5}", (5, 7)),
        ("<<: *dotted, learning.training.epochs: 5", (5, 7)),
        ("<<: *nested, learning.training.epochs: 5", (5, 7)),
        ("<<: *nested, learning.training: {seed: 8}", (20, 8)),
        ("<<: [*dotted, *other]", (20, 7)),
        ("<<: [*other, *dotted]", (9, 8)),
        ("<<: *nearer", (9, 7)),
        ("<<: *nearer, learning.training.epochs: 3", (3, 7)),
        ("learning: {<<: *inner}, learning.training.epochs: 3", (3, 7)),
    ],
)
def test_a_setting_written_dotted_and_nested_is_one(tmp_path, step, training):
    bases = {
        "dotted": "{learning.training.epochs: 20, learning.training.seed: 7}",
        "nested": "{learning: {training: {epochs: 20, seed: 7}}}",
        "other": "{learning: {training: {epochs: 9, seed: 8}}}",
        "nearer": "{<<: *dotted, learning: {training: {epochs: 9}}}",
        "inner": "{training: {epochs: 20, seed: 7}}",
    }
    lines = [f"_{name}: &{name} {text}" for name, text in bases.items()]
    text = "\n".join([*lines, f"t: {{s: {{__template__: base.yml, {step}}}}}"])
    tree, _ = load(tmp_path, {"s.yml": text, **TEMPLATE})
    found = tree["t"]["s"].pop("learning")
    epochs, seed = training
    assert found == {"training": {"epochs": epochs, "seed": seed, "rate": 1}}
    assert tree["t"]["s"] == {}


def test_the_markers_of_either_spelling_work(tmp_path):
    step = "__template__: base.yml, a.b*: {c: 1}, a: {b: {d: 2}, l+: [2]}, a.n: null"
    files = {
        "s.yml": f"t: {{s: {{{step}}}}}",
        "base.yml": "a: {b: {x: 0}, l: [1], n: 1}\n",
    }
    tree, _ = load(tmp_path, files)
    assert tree == {"t": {"s": {"a": {"b": {"c": 1, "d": 2}, "l": [1, 2], "n": None}}}}


@pytest.mark.parametrize(
    "step",
    [
        "learning.training*: {epochs: 20}, learning.training.seed: 5",
        "learning.training.seed: 5, learning.training*: {epochs: 20}",
        "learning: {training: {seed: 5}}, learning.training*: {epochs: 20}",
        "learning.training.seed: 5, learning: {training*: {epochs: 20}}",
    ],
)
def test_what_replaces_takes_away_nothing_of_its_own_mapping(tmp_path, step):
    files = {"s.yml": f"t: {{s: {{__template__: base.yml, {step}}}}}", **TEMPLATE}
    tree, _ = load(tmp_path, files)
    assert tree == {"t": {"s": {"learning": {"training": {"epochs": 20, "seed": 5}}}}}


@pytest.mark.parametrize(
    "keys",
    [
        ("learning.training.epochs: 5", "learning: {training: {epochs: 20}}"),
        ("learning: {training: {epochs: 20}}", "learning.training.epochs: 20"),
        ("learning.training: {epochs: 20}", "learning.training.epochs: 5"),
        ("learning.training.epochs: null", "learning: {training: {epochs: 20}}"),
        ("learning.training.epochs: [1]", "learning.training: {epochs: [1]}"),
    ],
)
def test_a_setting_told_twice_in_one_mapping_is_a_duplicate(tmp_path, keys):
    lines = ["t:", "  s:", "    __template__: base.yml", *(f"    {key}" for key in keys)]
    (problem,) = refused(tmp_path, {"s.yml": "\n".join(lines), **TEMPLATE})
    place, _, message = problem.partition(" ")
    assert place.startswith("s.yml:5:")
    assert message == (
        "target t, step s, key learning.training.epochs: duplicate key 'epochs' (first in line 4)"
    )


def test_an_argument_may_change_the_template(tmp_path):
    files = {
        "s.yml": "t: {s: {__template__: one.yml, x: 1}}",
        "one.yml": "a: 1",
        "two.yml": "b: 2",
    }
    assert load(tmp_path, files, "t.s.__template__=two.yml")[0] == {"t": {"s": {"b": 2, "x": 1}}}


def test_a_plain_mapping_covered_by_one_with_a_template(tmp_path):
    files = {
        "s.yml": "__template__: root.yml\nt: {s: {__template__: base.yml, y: 2}}",
        "root.yml": "t: {s: {x: 1, d.e: 5}}",
        "base.yml": "x: 0\ny: 0\nz: 0\n",
    }
    assert load(tmp_path, files)[0] == {"t": {"s": {"x": 1, "y": 2, "z": 0, "d": {"e": 5}}}}


def test_template_taken_from_the_other_folder_is_warned_of(tmp_path):
    files = {
        "s.yml": "__template__: sub/root.yml\nt: {s: {__template__: base.yml}}",
        "sub/root.yml": "t: {}",
        "sub/base.yml": "x: 1",
    }
    tree, warnings = load(tmp_path, files)
    assert tree == {"t": {"s": {"x": 1}}}
    assert warnings == [
        f"{tmp_path}/s.yml:2:23: template 'base.yml' is taken from {tmp_path}/sub, beside the file "
        "that was entered last; write its path from this file's own folder"
    ]


def test_a_shipped_template_is_found_from_anywhere(tmp_path):
    name = "iccv23/parameters/train_cyclegan.yml"
    files = {"s.yml": f"t: {{s: {{__template__: {name}, learning.training.epochs: 20}}}}"}
    tree, warnings = load(tmp_path, files)
    assert tree["t"]["s"]["learning"]["training"]["epochs"] == 20
    assert "network" in tree["t"]["s"]
    assert warnings == []
    own = {**files, name: "x: 1"}
    assert load(tmp_path, own)[0]["t"]["s"]["x"] == 1


@pytest.mark.parametrize(
    ("files", "report"),
    [
        (
            {"s.yml": "t: {s: {__template__: s.yml}}"},
            "s.yml:1:9: target t, step s, key t.s: circular template: s.yml -> s.yml",
        ),
        (
            {"s.yml": "__template__: b.yml", "b.yml": "__template__: s.yml"},
            "s.yml:1:1: circular template: b.yml -> s.yml -> b.yml",
        ),
        ({"s.yml": "t: {s: {__template__: 3}}"}, "must be the path of a file, not 3"),
        (
            {"s.yml": "t: {s: {a: {__template__: x/y.yml}}}"},
            "s.yml:1:13: target t, step s, key a: template not found: x/y.yml",
        ),
        (
            {"s.yml": "t: {s: {__template__: b.yml}}", "b.yml": "[1]"},
            "b.yml:1:1: target t, step s: the top of a scenario file must be a mapping",
        ),
        (
            {"s.yml": "t: {s: {__template__: b.yml, a..b: 1}}", "b.yml": "a: 1"},
            "s.yml:1:30: target t, step s, key a..b: a dotted key has an empty part",
        ),
        (
            {"s.yml": "t: {s: {__template__: b.yml, a.: 1}}", "b.yml": "a: 1"},
            "s.yml:1:30: target t, step s, key a.: a dotted key has an empty part",
        ),
        (
            {"s.yml": "t: {s: {__template__: b.yml, a: [1], a.b: 1}}", "b.yml": "c: 1"},
            "s.yml:1:38: target t, step s, key a.b: 'a' is a list in s.yml:1:30, not a mapping",
        ),
    ],
)
def test_bad_templates(tmp_path, files, report):
    (found,) = refused(tmp_path, files)
    assert report in found


def test_a_template_that_is_nowhere(tmp_path):
    files = {"s.yml": "t: {s: {__template__: x/../y.yml}}"}
    assert refused(tmp_path, files) == [
        "s.yml:1:9: target t, step s: template not found: y.yml, nor is x/../y.yml under "
        f"{SCENARIOS}"
    ]
    assert refused(tmp_path, {"s.yml": "t: {s: {__template__: ''}}"}) == [
        "s.yml:1:9: target t, step s: __template__ must be the path of a file, not ''"
    ]


def test_every_problem_of_all_layers_at_once(tmp_path):
    files = {
        "s.yml": "t: {s: {__template__: b.yml, l: [2], x: 1, x: 2}}",
        "b.yml": "l: [1]\nm: [1]\n",
    }
    assert len(refused(tmp_path, files, "t.s.m=[2]", "t.s.n+=1", "nonsense")) == 5


def test_aliases_are_independent(tmp_path):
    files = {"s.yml": "t: {s: &s {l: [1], m: {k: 1}}, u: *s}"}
    tree, _ = load(tmp_path, files, "t.s.l+=[2]", "t.s.m.k=5")
    assert tree["t"]["u"] == {"l": [1], "m": {"k": 1}}
    assert tree["t"]["s"] == {"l": [1, 2], "m": {"k": 5}}
