from mdir.scenario.plan import load_scenario, plan_target
from mdir.scenario.tree import without_places

SCENARIO = """
train:
  1_step:
    __function__: print_scores
    __template__: template.yml
    metadata: {own: 1}
"""
OVERLAY = """
train:
  1_step:
    metadata.deep?.value: 5
    metadata.absent?.value: 5
    metadata.text?: ${BASE_NAME} ${SCENARIO_NAME}
    metadata.missing?: 1
absent?:
  1_step: {metadata: {}}
"""


def load(folder, overlay):
    (folder / "a.yml").write_text(SCENARIO)
    (folder / "template.yml").write_text("metadata: {deep: {value: 1, other: 2}, text: x}")
    (folder / "b.yml").write_text(overlay)
    return load_scenario([str(folder / "a.yml"), str(folder / "b.yml")])


def test_covers_only_what_is_there(tmp_path):
    tree = without_places(load(tmp_path, OVERLAY).tree)
    assert list(tree) == ["train"]
    metadata = tree["train"]["1_step"]["metadata"]
    assert metadata["deep"] == {"value": 5, "other": 2}
    assert sorted(metadata) == ["deep", "own", "text"]


def test_names_of_first_and_last_file(tmp_path):
    plan = plan_target(load(tmp_path, OVERLAY), "train")
    assert plan.context().names == {"SCENARIO_NAME": "b", "BASE_NAME": "a"}


def test_in_the_first_file_it_meets_nothing(tmp_path):
    tree = without_places(load(tmp_path, "extra: {key?: 1, sub: {other?: 2}}").tree)
    assert tree["extra"] == {"sub": {}}
