"""All lists that a step misses are told at once, through the real command."""

from tests.scenario.command import run_here
from tests.scenario.test_doubts import TRAIN

SETS = """
    learning.validation*:
      type: MultiCriterialValidation
      decisive_criterion: null
      day: &score
        type: SingleValidation
        frequency: 1
        network_overlay: null
        data: null
        criterion:
          type: cirdatasetap
          image_size: 64
          dataset: {name: own, queries: lists/queries.tsv, db: lists/db.tsv, imgdir: animals}
      night: &night
        <<: *score
        criterion: {type: cirdatasetap, image_size: 64, dataset: rparis6k}
"""


def test_both_lists_of_a_training(tmp_path):
    (tmp_path / "s.yml").write_text(TRAIN)
    result = run_here("go", "s.yml", folder=tmp_path)
    assert result.returncode == 1, result
    root = tmp_path / "root"
    assert result.stderr.splitlines()[-2:] == [
        f"error: step 1_train failed: {root}/horses.txt: there is no such list or folder of images",
        f"{root}/zebras.txt: there is no such list or folder of images",
    ]


def test_the_sets_of_all_validations(tmp_path):
    (tmp_path / "s.yml").write_text(TRAIN + SETS)
    (tmp_path / "root" / "animals").mkdir(parents=True)
    for name in ("horse", "zebra"):
        (tmp_path / "root" / "animals" / f"{name}.jpg").write_bytes(b"")
        (tmp_path / "root" / f"{name}s.txt").write_text(f"{name}\n")
    result = run_here("go", "s.yml", folder=tmp_path)
    assert result.returncode == 1, result
    for name in ("queries.tsv", "db.tsv", "rparis6k"):
        assert name in result.stderr
