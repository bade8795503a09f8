"""Extraction, search and page of a drawn city."""

import csv

from tests.scenario.command import run_here

SCENARIO = """
_extract: &extract
  __function__: mdir.stages.extract.extract
  network:
    type: SingleNetwork
    model:
      architecture: cirnet
      cir_architecture: squeezenet1_1
      local_whitening: false
      pooling: gem
      pretrained: false
      regional: false
      whitening: false
    initialize: {weights: he_normal, seed: 1}
    runtime:
      wrappers: ""
      data:
        transforms: pil2np | totensor | normalize
        mean_std: [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
  image_size: 64
  shard_size: 4
  loader: {num_workers: 0}

look_up:
  __doc__: Foggy pictures looked up among clear ones
  1_city:
    __function__: mdir.stages.toy_world.toy_world
    directory: city
    image_size: 64
    train_places: 2
    val_places: 2
    test_places: 2
    day_views: 2
    night_views: 2
    pairs: 6
  2_clear:
    <<: *extract
    images: ${1_city.directory}/data/cityscapes/train/clear
    directory: vectors/clear
  3_fog:
    <<: *extract
    images: ${1_city.directory}/data/cityscapes/train/fog
    directory: vectors/fog
  4_search:
    __function__: mdir.stages.search.search
    database: ${2_clear.directory}
    queries: ${3_fog.directory}
    directory: found
    count: 2
  5_report:
    __function__: mdir.stages.report.report
    title: Fog
    directory: page
    galleries:
      Clear pictures of foggy ones: ${4_search._output_metadata.rankings}
"""


def test_extract_search_and_report(tmp_path):
    (tmp_path / "fog.yml").write_text(SCENARIO)
    done = run_here("look_up", "fog.yml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "root"
    with open(root / "found" / "found.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted(path.name for path in (root / "city/data/cityscapes/train/fog").iterdir())
    assert [row["query"] for row in rows] == [name for name in names for _ in (1, 2)]
    page = (root / "page" / "index.html").read_text(encoding="utf-8")
    assert f"<h3>{names[0]}</h3>" in page
    assert page.count("<figure") == 3 * len(names) and f"1. {rows[0]['image']}" in page

    again = run_here("look_up", "fog.yml", folder=tmp_path)
    assert "5 skipped" in again.stdout + again.stderr
    other = "look_up.3_fog.network.initialize.seed=2"
    refused = run_here(
        "look_up", "fog.yml", other, "look_up.3_fog.directory=other", folder=tmp_path
    )
    assert refused.returncode == 1
    assert "are of different networks" in refused.stderr and "Traceback" not in refused.stderr


def test_an_extraction_comes_before_its_search(tmp_path):
    late = SCENARIO.replace("2_clear:", "6_clear:").replace("${2_clear.directory}", "vectors/clear")
    (tmp_path / "fog.yml").write_text(late)
    done = run_here("look_up", "fog.yml", "--dry-run", folder=tmp_path)
    message = "step 6_clear runs before 4_search, which reads vectors/clear that it makes"
    assert message in done.stdout + done.stderr
