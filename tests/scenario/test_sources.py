"""Reading YAML files and key=value arguments: values, places, and what is refused."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mdir.scenario import sources
from mdir.scenario.plan import load_scenario
from mdir.scenario.sources import Reader, Unreadable
from mdir.scenario.tree import Place, ScenarioError, find, without_places

KEYS = st.text("abxyz_", min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


def problems(tmp_path, text, *args, mode="w"):
    with open(tmp_path / "s.yml", mode) as file:
        file.write(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario([str(tmp_path / "s.yml"), *args])
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_places_of_keys_and_values(tmp_path):
    path = tmp_path / "p.yml"
    path.write_text("a:\n  b: [1, {c: 2}, [3]]\n")
    tree = Reader().file(str(path))
    node = find(tree, ("a", "b", 1, "c"))
    assert (str(node.key_place), str(node.place)) == (f"{path}:2:11", f"{path}:2:14")
    assert str(find(tree, ("a", "b", 1)).where) == f"{path}:2:10"
    assert str(find(tree, ("a", "b", 2)).where) == f"{path}:2:18"
    assert str(find(tree, ("a", "absent", "deep")).where) == f"{path}:1:1"


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_same_values_as_the_safe_loader(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("s") / "s.yml"
    path.write_text(yaml.safe_dump(tree))
    assert without_places(Reader().file(str(path))) == yaml.safe_load(path.read_text())


@given(KEYS, VALUES)
def test_arguments_are_json(key, value):
    value = json.loads(json.dumps(value).replace("Infinity", "1"), parse_int=lambda n: int(n[:19]))
    node = Reader().argument(f"a.{key}={json.dumps(value)}")
    assert without_places(node) == {"a": {key: value}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain text", "plain text"),
        ("a=b", "a=b"),
        ("1e-4", 1e-4),
        ("3.5e-4", 3.5e-4),
        ("-7", -7),
        ("true", True),
        ("null", None),
        ("{}", {}),
        (' [1, "a"] ', [1, "a"]),
        ('"7"', "7"),
        ("/data/my photos #2", "/data/my photos #2"),
        ("#1", "#1"),
        ("a: b", "a: b"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("2026-01-02", "2026-01-02"),
        ("no", "no"),
        ("True", "True"),
        ("nan", "nan"),
        ("Infinity War.jpg", "Infinity War.jpg"),
        ("1e999.jpg", "1e999.jpg"),
        ("9" * 30 + "_o.jpg", "9" * 30 + "_o.jpg"),
        ('"1e999"', "1e999"),
        ("1e308", 1e308),
        ("0e-999", 0.0),
        (str(2**64 - 1), 2**64 - 1),
        (".inf", ".inf"),
        ("", ""),
        ("~", "~"),
        (" spaced ", " spaced "),
        ("'quoted'", "'quoted'"),
        ("*x", "*x"),
        ("[old] photos", "[old] photos"),
        ("{day,night}.jpg", "{day,night}.jpg"),
        ("http://x/y.pth", "http://x/y.pth"),
        ("${1_a.b}/c", "${1_a.b}/c"),
    ],
)
def test_an_argument_that_is_no_json_is_text(text, value):
    assert without_places(Reader().argument(f"k={text}")) == {"k": value}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("verbose", "neither a .yml file nor key=value"),
        ("a..b=1", "the key 'a..b' has an empty part"),
        ("=1", "the key '' has an empty part"),
        ('a={"b": 1, "b": 2}', "duplicate key in the value"),
    ],
)
def test_bad_arguments(tmp_path, argument, message):
    assert problems(tmp_path, "go: {}", argument) == [f"argument {argument!r}: {message}"]


@pytest.mark.parametrize(
    "number",
    ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1e-999", str(2**64), "-" + "9" * 5000],
)
@pytest.mark.parametrize("form", ["{}", "[1, {}]", '{{"b": {{"c": {}}}}}'])
def test_numbers_that_cannot_be_kept(tmp_path, number, form):
    argument = "a=" + form.format(number)
    shown = number if len(number) < 40 else number[:40] + "..."
    assert problems(tmp_path, "go: {}", argument) == [
        f"argument {argument!r}: {shown} is not a number that can be kept; "
        f'text of that form is written "{shown}"'
    ]


@pytest.mark.parametrize("depth", [150, 100_000])
def test_arguments_too_deep(tmp_path, depth):
    (found,) = problems(tmp_path, "go: {}", "a=" + "[" * depth + "]" * depth)
    assert found.endswith(": nested deeper than 100 levels")


def test_as_deep_as_may_be(tmp_path):
    def nested(depth):
        return "[" * depth + "]" * depth

    assert without_places(Reader().argument("a=" + nested(101)))["a"]
    assert problems(tmp_path, "go: {}", "a=" + nested(102))
    (tmp_path / "s.yml").write_text("a: " + nested(99))
    assert load_scenario([str(tmp_path / "s.yml")]).problems == []
    assert problems(tmp_path, "a: " + nested(100)) == ["s.yml:1:103: nested deeper than 100 levels"]


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("go: [1\n", "s.yml:2:1: not YAML: did not find expected ',' or ']', while parsing a flow"),
        ("go:\n\t- 1\n", "s.yml:2:1: not YAML: found character that cannot start any token"),
        ("go: *absent\n", "s.yml:1:5: not YAML: found undefined alias"),
        ("- 1\n", "s.yml:1:1: the top of a scenario file must be a mapping"),
        ("text\n", "s.yml:1:1: the top of a scenario file must be a mapping"),
        ("go: !!python/object:os.system {}\n", "s.yml:1:5: the tag 'tag:yaml.org,2002:python/"),
        ("go: !own 1\n", "s.yml:1:5: could not determine a constructor for the tag '!own'"),
        ("go: 2020-13-45\n", "s.yml:1:5: cannot read '2020-13-45': month must be in 1..12"),
        ("? [a]\n: 1\n", "s.yml:1:3: a key must be a plain value, not a mapping or list"),
        ("go: &a [*a]\n", "s.yml:1:5: an alias stands inside the very value that it repeats"),
        ("go: {<<: 1}\n", "s.yml:1:10: << needs a mapping or a list of them"),
        ("go: {'': 1}\n", "s.yml:1:6: target go: the key is empty text"),
        ("go: {.nan: 1}\n", "s.yml:1:6: target go: the key is not a number (.nan), which equals"),
        ("go: \0\n", "s.yml:1:5: the character 0 is not allowed in YAML"),
    ],
)
def test_bad_files(tmp_path, text, report):
    (found,) = problems(tmp_path, text)
    assert found.startswith(report)


def test_duplicate_keys_name_both_places(tmp_path):
    text = "go:\n  1_a: {x: 1}\n  1_a: {y: 1, y: 2}\n"
    assert problems(tmp_path, text) == [
        "s.yml:3:15: target go, step 1_a, key y: duplicate key 'y' (first in line 3)",
        "s.yml:3:3: target go, step 1_a: duplicate key '1_a' (first in line 2)",
    ]


def test_a_key_beside_the_one_that_covers_it_only_where_it_is(tmp_path):
    assert problems(tmp_path, "go:\n  1_a: {x: 1, x?: 2}\n") == [
        "s.yml:2:15: target go, step 1_a, key x?: 'x' says of the same key as 'x?' "
        "(first in line 2)"
    ]


def test_no_text_no_file_a_folder(tmp_path):
    assert problems(tmp_path, b"go:\n  \xff: 1", mode="wb") == ["s.yml:2:3: this is not UTF-8 text"]
    with pytest.raises(ScenarioError, match="absent.yml: file not found"):
        load_scenario([str(tmp_path / "absent.yml")])
    (tmp_path / "folder.yml").mkdir()
    with pytest.raises(ScenarioError, match="folder.yml: file not found"):
        load_scenario([str(tmp_path / "folder.yml")])


def test_alias_bomb_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    (report,) = problems(tmp_path, "\n".join(lines))
    place, _, message = report.partition(": ")
    assert re.fullmatch(r"s.yml:\d+:\d+", place)
    assert message == "more than 200000 values once aliases and templates are written out"


def test_template_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_NODES", 5_000)
    for level in range(20):
        inner = f"{{__template__: t{level + 1}.yml}}"
        (tmp_path / f"t{level}.yml").write_text(f"a: {inner}\nb: {inner}\n")
    (tmp_path / "t20.yml").write_text("x: 1\n")
    report = problems(tmp_path, "__template__: t0.yml\n")
    assert any("more than 5000 values" in line for line in report)


def test_deep_nesting_is_refused(tmp_path):
    for depth in (150, 5000):
        (report,) = problems(tmp_path, "a: " + "[" * depth + "]" * depth)
        assert "nested deeper than 100 levels" in report or "not YAML" in report


def test_an_empty_file_is_an_empty_layer(tmp_path):
    (tmp_path / "s.yml").write_text("go: {}\n")
    (tmp_path / "empty.yml").write_text("# nothing\n")
    scenario = load_scenario([str(tmp_path / "s.yml"), str(tmp_path / "empty.yml")])
    assert without_places(scenario.tree) == {"go": {}}
    empty = str(tmp_path / "empty.yml")
    assert Reader().file(empty).place == Place(empty, 1, 1)


def test_merge_keys(tmp_path):
    text = "a: &a {x: 1, z: {k: 1}}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], y: 3}\n"
    (tmp_path / "s.yml").write_text(text)
    assert without_places(Reader().file(str(tmp_path / "s.yml"))) == yaml.safe_load(text)


def test_what_is_nearest_wins_among_merged_mappings(tmp_path):
    lines = ["a: &a {x: 1, y: 1, z: 1}", "b: &b {<<: *a, y: 2, z: 2}", "c: {<<: *b, z: 3}"]
    lines += ["e: &e {}", "f: {<<: [*e, *a, *b]}"]
    (tmp_path / "s.yml").write_text("\n".join(lines))
    tree = Reader().file(str(tmp_path / "s.yml"))
    assert without_places(tree)["c"] == {"x": 1, "y": 2, "z": 3}
    assert tree.value["c"].ranks == {"x": 2, "y": 1}
    assert tree.value["b"].ranks == {"x": 1} and tree.value["a"].ranks == {}
    assert without_places(tree)["f"] == {"x": 1, "y": 1, "z": 1}
    assert tree.value["f"].ranks == {"x": 2, "y": 2, "z": 2}


def test_files_and_arguments_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"s.yml": "go: {}", "a=b.yml": "file: {}"}.items():
        (tmp_path / name).write_text(text)
    scenario = load_scenario(["s.yml", "a=b.yml", "a=c.yml"])
    assert without_places(scenario.tree) == {"go": {}, "file": {}, "a": "c.yml"}
    assert scenario.layers == ["s.yml", "a=b.yml", "a=c.yml"]
    assert (scenario.name, scenario.base_name) == ("a=b", "s")
    assert scenario.journal_name == "s+a=b" and load_scenario(["s.yml"]).journal_name == "s"
    with pytest.raises(ScenarioError) as caught:
        load_scenario(["a=1"])
    assert str(caught.value) == (
        "argument 'a=1': the scenario (a .yml file or a dotted name) comes before key=value"
    )


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    reasons = {tmp_path: "Is a directory", tmp_path / "no": "No such file or directory"}
    for path, why in reasons.items():
        with pytest.raises(Unreadable, match=f"^{why}$") as caught:
            Reader().file(str(path))
        assert str(caught.value.place) == str(path)
