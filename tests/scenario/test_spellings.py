"""One mapping in several spellings: dotted, nested, merged and marked keys in any order."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdir.scenario.plan import load_scenario
from mdir.scenario.tree import ScenarioError, without_places
from tests.scenario.command import run_here
from tests.scenario.test_overlay import naive

KEYS = st.sampled_from("abc")
LEAVES = st.none() | st.integers(0, 9) | st.just("text") | st.just([1]) | st.just({})
MAPPINGS = st.recursive(
    st.dictionaries(KEYS, LEAVES, min_size=1, max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | LEAVES, min_size=1, max_size=3),
    max_leaves=8,
)
# A list cannot cover a list, which is another matter.
BASES = st.recursive(
    st.dictionaries(KEYS, st.integers(10, 19), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | st.integers(10, 19), max_size=3),
    max_leaves=8,
)


def leaves(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def put(tree, path, value):
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def spelt(data, found, sources=1):
    """Settings split among mappings, each dotted up to some of its keys and nested below."""
    cuts = [(path, value, data.draw(st.integers(1, len(path)))) for path, value in found]
    parts = [{} for _ in range(sources)]
    for path, value, cut in cuts:
        first = ".".join(path[:cut])
        # YAML has a key of the mapping itself hide the same one of what is merged.
        part = next((one for one in parts if first in one), data.draw(st.sampled_from(parts)))
        put(part, (first, *path[cut:]), value)
    return parts


def load(folder, base, data, own, merged=()):
    """What a step of these keys, in any order, is over a template."""
    (folder / "base.yml").write_text(json.dumps(base))
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in own]
    if merged:
        lines.append(f"<<: [{', '.join(f'*m{index}' for index in range(len(merged)))}]")
    lines = data.draw(st.permutations(lines))
    anchors = [f"_m{index}: &m{index} {json.dumps(one)}" for index, one in enumerate(merged)]
    step = ["t:", "  s:", "    __template__: base.yml", *(f"    {line}" for line in lines)]
    (folder / "s.yml").write_text("\n".join([*anchors, *step]))
    return without_places(load_scenario([str(folder / "s.yml")]).tree)["t"]["s"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spellings")


@given(BASES, MAPPINGS, st.data())
def test_settings_mean_the_same_in_every_spelling(folder, base, tree, data):
    own, *merged = spelt(data, leaves(tree), 3)
    assert load(folder, base, data, own.items(), merged) == naive(base, tree)


@given(BASES, MAPPINGS, MAPPINGS, st.data())
def test_own_settings_win_over_merged_ones_in_every_spelling(folder, base, own, merged, data):
    dotted = {".".join(path): value for path, value in leaves(merged)}
    (mine,) = spelt(data, leaves(own))
    expected = naive(base, naive(merged, own))
    assert load(folder, base, data, mine.items(), [dotted]) == expected


@given(BASES, MAPPINGS, st.data())
def test_what_replaces_takes_nothing_of_its_own_mapping(folder, base, tree, data):
    found = [path for path, _ in leaves(tree)]
    replaced = data.draw(
        st.sampled_from(sorted({p[:n] for p in found for n in range(1, len(p))}) or [found[0][:1]])
    )
    size, marked, own = len(replaced), False, {}
    for path, value in leaves(tree):
        cut, parts = data.draw(st.integers(1, len(path))), list(path)
        if path[:size] == replaced and cut <= size:
            parts[size - 1] += "*"
            marked = True
        put(own, (".".join(parts[:cut]), *parts[cut:]), value)
    below = json.loads(json.dumps(base))
    level = below
    for key in replaced[:-1]:
        level = level.get(key) if isinstance(level, dict) else None
    if marked and isinstance(level, dict):
        level.pop(replaced[-1], None)
    assert load(folder, base, data, own.items()) == naive(below, tree)


@given(MAPPINGS, st.data())
def test_a_setting_told_twice_is_refused_in_every_spelling(folder, tree, data):
    (own,) = spelt(data, leaves(tree))
    twice = data.draw(st.sampled_from([each for each in leaves(tree) if each[1] != {}] or [None]))
    if twice is None:
        return
    (again,) = spelt(data, [twice])
    with pytest.raises(ScenarioError) as caught:
        load(folder, {}, data, [*own.items(), *again.items()])
    for problem in caught.value.problems:
        assert problem.place.source == str(folder / "s.yml") and problem.place.line > 3
        assert re.search(r"^duplicate key .* \(first in line \d+\)$", problem.problem.message)


BASE = {"a": {"k": {"x": 1, "y": 2}, "n": 3}}


@pytest.mark.parametrize(
    ("merged", "own", "found"),
    [
        ({"a.k*": {"x": 5}}, {"a": {"k": {"y": 6}}}, {"x": 5, "y": 6}),
        ({"a.k*": {"x": 5}}, {"a.k.y": 6}, {"x": 5, "y": 6}),
        ({"a": {"k*": {"x": 5}}}, {"a.k": {"x": 7}}, {"x": 7}),
        ({"a.k*": {"x": 5}}, {"a.k": 7}, 7),
        ({"a.k*": {"x": 5}}, {"a": {"k*": {"z": 7}}}, {"z": 7}),
        ({"a": {"k*": {"x": 5}}}, {"a.k*": {"z": 7}}, {"z": 7}),
        ({"a": {"k*": {"x": 5}}, "a.k.y": 6}, {"a.k*": {"z": 7}}, {"z": 7}),
        ({"a.k.x": 5}, {"a.k*": {"z": 7}}, {"z": 7}),
        ({"a": {"k": {"x": 5}}}, {"a.k*": {"z": 7}, "a.k.y": 8}, {"z": 7, "y": 8}),
        ({"a": {"k*": {"x": 5}}, "a.k": {"y": 9}}, {"a.k.x": 7}, {"x": 7, "y": 9}),
        ({"a.k": 4, "a": {"k+": 1}}, {"a.k": 7}, 7),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_own_marked_keys_win_over_merged_ones(tmp_path, merged, own, found, first):
    (tmp_path / "base.yml").write_text(json.dumps(BASE))
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in own.items()]
    merge = f"<<: {json.dumps(merged)}"
    lines = ["__template__: base.yml", *([merge, *lines] if first else [*lines, merge])]
    (tmp_path / "s.yml").write_text(f"t: {{s: {{{', '.join(lines)}}}}}")
    tree = without_places(load_scenario([str(tmp_path / "s.yml")]).tree)
    assert tree["t"]["s"] == {"a": {"k": found, "n": 3}}


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("training: {seed: 5}, training*: {epochs: 20}", {"epochs": 20}),
        ("training*: {epochs: 20}, training: {seed: 5}", {"epochs": 20, "seed": 5}),
        ("training: {rate: 1}, training: &no {}", None),
        ("training: 3, training+: 4", 7),
        ("training*: [1], training+: [2]", [1, 2]),
        ("training*: [1, 2], training: {0: 9}", [9, 2]),
        ("training*: {epochs: 20}, training: 7", 7),
    ],
)
@pytest.mark.parametrize("template", ["__template__: base.yml, ", ""])
def test_a_key_beside_its_marked_twin_covers_in_the_order_of_the_file(
    tmp_path, keys, found, template
):
    (tmp_path / "base.yml").write_text("training: {epochs: 50, seed: 0}\n")
    (tmp_path / "s.yml").write_text(f"t: {{s: {{{template}{keys}}}}}")
    if found is None:
        with pytest.raises(ScenarioError, match="duplicate key 'training'"):
            load_scenario([str(tmp_path / "s.yml")])
        return
    tree = without_places(load_scenario([str(tmp_path / "s.yml")]).tree)
    assert tree["t"]["s"] == {"training": found}


def test_a_key_of_no_effect_is_told(tmp_path):
    text = "go:\n  1_s:\n    __function__: mdir.stages.settings.settings\n    x: {a: 1}\n"
    (tmp_path / "s.yml").write_text(text + "    x*: {b: 2}\n")
    done = run_here("go", "s.yml", "--print-steps", folder=tmp_path)
    assert done.stdout == "1_s:\n  x:\n    b: 2\n"
    told = run_here("validate", "s.yml", folder=tmp_path)
    assert told.stderr.splitlines()[0] == (
        "warning: s.yml:4:5: x is of no effect, x* in line 5 replaces it"
    )


def test_a_later_layer_covers_what_the_lowest_one_replaces(tmp_path):
    (tmp_path / "s.yml").write_text("t: {s: {k*: {x: 1}, l*: [1], m*: {x: 1}}}")
    (tmp_path / "o.yml").write_text("t: {s: {k*: {y: 2}, l+: [2], m: {y: 2}}}")
    tree = without_places(load_scenario([str(tmp_path / n) for n in ("s.yml", "o.yml")]).tree)
    assert tree["t"]["s"] == {"k": {"y": 2}, "l": [1, 2], "m": {"x": 1, "y": 2}}


def test_own_keys_win_over_merged_ones_in_a_template_of_a_template(tmp_path):
    (tmp_path / "s.yml").write_text("go: {1_a: {__template__: middle.yml}}\n")
    middle = "__template__: base.yml\n<<: {note.day: 1, note.dusk: 3}\nnote: {day: 2}\n"
    (tmp_path / "middle.yml").write_text(middle)
    (tmp_path / "base.yml").write_text("{__function__: print_scores, note: {night: 0}}\n")
    step = without_places(load_scenario([str(tmp_path / "s.yml")]).tree)["go"]["1_a"]
    assert step == {"__function__": "print_scores", "note": {"night": 0, "day": 2, "dusk": 3}}


def test_a_null_beside_a_mapping_says_nothing_and_text_there_is_a_second_value(tmp_path):
    (tmp_path / "base.yml").write_text("__function__: print_scores\n")

    def load(spelling):
        text = f"go: {{1_a: {{__template__: base.yml, note.day.kept: 1, {spelling}}}}}\n"
        (tmp_path / "s.yml").write_text(text)
        return load_scenario([str(tmp_path / "s.yml")], collect=True)

    silent = load("note: {day: null}")
    assert silent.problems == []
    step = without_places(silent.tree)["go"]["1_a"]
    assert step == {"__function__": "print_scores", "note": {"day": {"kept": 1}}}
    (problem,) = load("note: {day: text}").problems
    assert problem.problem.path == ("go", "1_a", "note", "day")
    assert problem.problem.message == "duplicate key 'day' (first in line 1)"
