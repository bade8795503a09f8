"""Variables: types, spellings, short form, results, and what is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdir.scenario import variables
from mdir.scenario.checks import check_everything
from mdir.scenario.plan import load_scenario, plan_target, resolved
from mdir.scenario.tree import ScenarioError
from mdir.scenario.variables import Context, Pending, Resolver

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="ab{}<>. ", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


def context(parameters, results=None):
    """A first step with these parameters and results, and a second one to resolve."""
    made = Context("name", ["1_a", "2_b", "3_c"])
    made.add("1_a", "f.one", parameters)
    made.finish("1_a", parameters, {} if results is None else results)
    made.add("2_b", "f.two", {})
    return made


def resolve(value, parameters=None, results=None):
    resolver = Resolver(context(parameters or {}, results))
    return resolver.resolve(value), resolver


@given(PLAIN)
def test_without_a_dollar_nothing_changes(value):
    assert resolve(value)[0] == value


@given(PLAIN)
def test_a_whole_variable_keeps_its_type_and_is_a_copy(value):
    parameters = {"k": value}
    for text in ("${1_a.k}", "$<1_a.k>", "${1_a.parameters.k}", "$<1_a.parameters.k>"):
        found, resolver = resolve(text, parameters)
        assert (type(found), found) == (type(value), value)
        assert resolver.steps == {"1_a"}
        if isinstance(found, (dict, list)):
            assert found is not value


@given(PLAIN)
def test_inside_text_it_is_what_str_gives(value):
    assert resolve("<${1_a.k}>${1_a.k}", {"k": value})[0] == f"<{value}>{value}"


def test_the_function_of_a_step_is_known_before_anything_runs(tmp_path):
    (tmp_path / "s.yml").write_text(
        "go:\n  1_a: {__function__: print_scores}\n"
        '  2_b: {__function__: print_scores, metadata: {"${1_a.function}": 1}}\n'
    )
    plan = plan_target(load_scenario([str(tmp_path / "s.yml")]), "go")
    found = [(parameters, problems) for _, parameters, problems in resolved(plan)]
    assert found == [({}, []), ({"metadata": {"print_scores": 1}}, [])]


def test_names():
    value = {
        "${SCENARIO_NAME}_x": ["$<SCENARIO_NAME>", "${1_a.function}", "${1_a._output_metadata.m.0}"]
    }
    assert resolve(value, results={"m": [7]})[0] == {"name_x": ["name", "f.one", 7]}


def test_values_are_resolved_in_turn():
    parameters = {"k": "${1_a.list.-1}!", "list": [1, "${SCENARIO_NAME}"]}
    assert resolve("${1_a.k}", parameters)[0] == "name!"


def test_results_that_are_not_there_yet_stay_as_text():
    value, resolver = resolve(
        {"x": "${1_a._output_metadata.x}/${SCENARIO_NAME}", "y": "${1_a.z}"},
        {"z": "${1_a._output_metadata}"},
        Pending("1_a"),
    )
    assert value == {"x": "${1_a._output_metadata.x}/name", "y": "${1_a.z}"}
    assert (resolver.waiting, resolver.problems) == ({"1_a"}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${1_aa.k}", "there is no step '1_aa'. Did you mean '1_a'?"),
        ("${1_a.kez}", "there is no 'kez' in 1_a.parameters. Did you mean 'key'? Known there: key"),
        ("${1_a.key.5}", "index 5 is outside 1_a.parameters.key (2 items)"),
        ("${1_a.key.x}", "1_a.parameters.key is a list, so 'x' must be an index"),
        ("${1_a.n.x}", "1_a.parameters.n is 3, so there is no 'x' in it"),
        ("${3_c.k}", "step 3_c runs later"),
        ("${2_b._output_metadata}", "step 2_b has no results before it has run"),
        ("${1_a.loop}", "circular: 1_a.parameters.loop -> 1_a.parameters.loop"),
        ("${1_a.deep}", "variable ${1_a.gone}: there is no 'gone' in 1_a.parameters"),
        ("${1_a.key.-3}", "index -3 is outside 1_a.parameters.key (2 items)"),
        ("${1_a.key.1.0}", "1_a.parameters.key.1 is 2, so there is no '0' in it"),
        ("${1_a.empty.x}", "there is no 'x' in 1_a.parameters.empty. It is empty"),
        ("${1_a.nonesuch}", "there is no 'nonesuch' in 1_a.parameters. Known there: key, n, loop,"),
        ("${x}", "there is no step 'x'. Known here: SCENARIO_NAME, BASE_NAME, 1_a, 2_b"),
        ("${}", None),
        ("${a b}", None),
    ],
)
def test_what_is_refused(text, message):
    parameters = {"key": [1, 2], "n": 3, "loop": "${1_a.loop}", "deep": "x${1_a.gone}", "empty": {}}
    value, resolver = resolve({"k": [text]}, parameters)
    if message is None:
        assert (value, resolver.problems) == ({"k": [text]}, [])
    else:
        (problem,) = resolver.problems
        assert problem.path == ("k", 0)
        assert problem.message.startswith(f"variable {text}: {message}")


def test_keys_must_stay_keys():
    _, resolver = resolve({"${1_a.list}": 1, "${SCENARIO_NAME}": 1, "name": 2}, {"list": []})
    assert [each.message for each in resolver.problems] == [
        "${1_a.list} is not text but []",
        "name gives 'name', which is there already",
    ]


# values cost less time than variables: a thousand of them at the end reach the limit sooner
@pytest.mark.parametrize(
    ("form", "last"),
    ((list, ["x"] * 1000), pytest.param("".join, "x", marks=pytest.mark.slow)),
)
def test_variables_that_multiply_are_refused(form, last):
    parameters = {f"v{i}": form([f"${{1_a.v{i + 1}}}"] * 2) for i in range(40)} | {"v40": last}
    _, resolver = resolve("${1_a.v0}", parameters)
    (problem,) = resolver.problems
    message = "more than 1000000 values are put in, over all steps"
    assert problem.message == f"variable ${{1_a.v0}}: {message}"


def test_steps_that_multiply_their_values_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(variables, "MAX_VALUES", 7_800)
    step = "__function__: mdir.stages.settings.settings"
    names = [f"{number:02d}_s" for number in range(25)]
    lists = [f"  {b}: {{{step}, a: ['${{{a}.a}}', '${{{a}.a}}']}}" for a, b in pairwise(names)]
    file = tmp_path / "s.yml"
    file.write_text("\n".join(["all:", f"  00_s: {{{step}, a: x}}", *lists]))
    with pytest.raises(ScenarioError) as caught:
        check_everything([str(file)])
    assert "${10_s.a}: more than 1000000 values are put in, over all steps" in str(caught.value)


def test_later_steps_see_what_a_step_was_given():
    parameters = {"k": {"deep": 1}}
    made = context(parameters)
    parameters["k"].clear()
    assert Resolver(made).resolve("${1_a.k.deep}") == 1


def test_a_mistake_in_a_list_that_a_variable_stands_for(tmp_path):
    file = tmp_path / "s.yml"
    file.write_text("""\
all:
    1_a: {__function__: mdir.stages.settings.settings, splits: [train, 3]}
    2_b: {__function__: mdir.stages.pairs.check_pairs, image_dir: x, splits: "${1_a.splits}"}
""")
    with pytest.raises(ScenarioError) as caught:
        check_everything([str(file)])
    where = f"{file}:3:70: target all, step 2_b, key splits.1"
    assert str(caught.value) == f"{where}: expected text, got 3"


def test_a_variable_on_the_way_is_entered():
    parameters = {"a": "${1_a.b}", "b": {"c": [7, 8]}, "d": "x${1_a.b}"}
    assert resolve("${1_a.a.c.1}", parameters)[0] == 8
    _, resolver = resolve("${1_a.d.c}", parameters)
    (problem,) = resolver.problems
    assert problem.message == (
        "variable ${1_a.d.c}: 1_a.parameters.d is 'x${1_a.b}', so there is no 'c' in it"
    )


def test_a_step_sees_itself():
    made = context({})
    made.add("3_c", "f.three", {"own": 5, "twice": ["${3_c.own}"]})
    found = Resolver(made).resolve(["${3_c.twice}", "${3_c.function}", "${3_c.twice.-1}"])
    assert found == [[5], "f.three", 5]
    other = Context("over", [], "base")
    assert Resolver(other).resolve("${SCENARIO_NAME} ${BASE_NAME}") == "over base"


def test_the_first_of_several_steps_that_are_to_run_is_awaited():
    made = Context("name", ["1_a", "2_b", "3_c"])
    for step in ("1_a", "2_b"):
        made.add(step, "f", {})
        made.finish(step, {}, Pending(step))
    made.add("3_c", "f", {"both": ["${2_b._output_metadata.x}", "${1_a._output_metadata.x}"]})
    resolver = Resolver(made)
    assert resolver.resolve("${3_c.both}") == "${3_c.both}"
    assert (resolver.waiting, resolver.steps) == ({"1_a"}, {"1_a", "2_b", "3_c"})


def test_texts_are_as_long_as_they_may_be(monkeypatch):
    monkeypatch.setattr(variables, "MAX_TEXT", 4)
    for text, found in (("ab${1_a.k}", "abcd"), ("${1_a.k}${1_a.k}ef", "cdcdef")):
        assert resolve(text, {"k": "cd"})[0] == found
    value, resolver = resolve({"a": ["${1_a.k}${1_a.k}${1_a.k}"]}, {"k": "cd"})
    assert value == {"a": ["${1_a.k}${1_a.k}${1_a.k}"]}
    (problem,) = resolver.problems
    assert problem.path == ("a", 0)
    assert problem.message == f"variable ${{1_a.k}}: {variables.TOO_LONG}"


@pytest.mark.parametrize(("left", "found"), [(4, [1, 2]), (3, "${1_a.k}")])
def test_as_many_values_are_put_in_as_may_be(left, found):
    made = context({"k": [1, 2]})
    made._left = left  # the variable, the list and its two items
    resolver = Resolver(made)
    assert resolver.resolve("${1_a.k}") == found
    told = [f"variable ${{1_a.k}}: {variables.TOO_MANY}"] if left == 3 else []
    assert [each.message for each in resolver.problems] == told
