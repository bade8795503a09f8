import csv
import io
import json

import pytest

from mdir.errors import UserError
from mdir.registry import ComponentError, check_parameters
from mdir.report.published_tables import load_table, table_names
from mdir.stages.compare import compare

METADATA = {
    "eval": {
        "247tokyo1k/validation/score_avg:map": 0.9056,
        "roxford5k/validation/score_avg:map_medium": 0.5,
        "other/validation/score_avg:map": 0.1,
    }
}


def run(**given):
    params = {"table": "iccv23", "results": {"cyclegan vgg16": METADATA}, "directory": "out"}
    return compare({**params, **given})[0]


def write_rankings(root, images):
    protocol = {"dataset": "247tokyo1k", "images": images, "queries": 3, "image_size": 1024}
    protocol |= {"scales": [1.0, 0.5], "whitening": "lw", "junk_rule": "none"}
    (root / "rankings").mkdir(exist_ok=True)
    text = json.dumps({"protocol": protocol, "queries": []})
    (root / "rankings" / "247tokyo1k.json").write_text(text)


def test_every_format_says_the_same(root, capsys):
    metadata = run()
    printed = capsys.readouterr().out
    rows = list(csv.reader(io.StringIO((root / "out/comparison.csv").read_text())))
    assert rows[1][:5] == ["cyclegan vgg16", "Tokyo 24/7", "90.6", "90.2", "+0.4"]
    assert rows[2][:5] == ["cyclegan vgg16", "ROxford medium", "50.0", "60.7", "−10.7"]
    assert len(rows) == 3
    assert metadata["table"] in printed
    for name in ("comparison.md", "comparison.txt", "index.html"):
        text = (root / "out" / name).read_text()
        assert "90.6" in text and "−10.7" in text and "Dark Side Augmentation" in text


def test_protocol_and_number_of_images(root):
    write_rankings(root, 1125)
    table = run(rankings="rankings")["table"]
    assert "images 1,125, queries 3" in table and "not the same" not in table
    write_rankings(root, 48)
    assert "not the same test sets" in run(rankings="rankings")["table"]


def test_numbers_of_another_set_are_told(root):
    (root / "rankings").mkdir()
    protocol = {"dataset": "veri", "images": 11579}
    (root / "rankings/val.json").write_text(json.dumps({"protocol": protocol, "queries": []}))
    results = {"Market-1501 alone, ResNet-50": {"eval": {"val/validation/score_avg:mAP": 0.5}}}
    table = run(table="spcl_market1501", results=results, rankings="rankings")["table"]
    assert "Ours are of veri, the published ones of market1501: these are not the same" in table
    row = next(line.split() for line in table.splitlines() if line.startswith("Market-1501 alone"))
    assert row[-2:] == ["11,579", "15,913"]
    results = {"VeRi-776 alone, ResNet-50": results["Market-1501 alone, ResNet-50"]}
    table = run(table="spcl_veri", results=results, rankings="rankings")["table"]
    assert "not the same" not in table


def test_unknown_row_is_found_before_anything_runs(root):
    with pytest.raises(ComponentError, match="Did you mean 'cyclegan vgg16'"):
        run(results={"cyclegan vgg": METADATA})


def test_unknown_table(root):
    problems = list(check_parameters(compare, {"table": "iccv32", "results": {}, "directory": "x"}))
    assert "Did you mean 'iccv23'" in problems[0].message


def test_nothing_to_compare(root):
    with pytest.raises(UserError, match="none of the published measures"):
        run(results={"cyclegan vgg16": {"eval": {"x": 1.0}}})
    with pytest.raises(UserError, match="metadata of a validate step"):
        run(results={"cyclegan vgg16": {}})


@pytest.mark.parametrize("name", table_names())
def test_tables_are_whole(name):
    table = load_table(name)
    assert table.source and table.protocol and table.title
    for values in table.rows.values():
        assert len(values) == len(table.measures)
        assert all(value is None or 0 <= value <= 100 for value in values)
    assert set(table.remarks) <= set(table.rows)


def test_blank_and_doubtful_cells_are_marked(root):
    metadata = {"eval": {"val/validation/score_avg:clear<->fog@1": 0.969}}
    results = {"OSSCo": metadata, "Pretrained": metadata, "SimCLR": metadata}
    table = run(table="ossco_cityscapes", results=results)["table"]
    assert "OSSCo: left blank by the authors" in table
    assert "Pretrained: a copy of the NPID row, suspicious" in table
    rows = list(csv.reader(io.StringIO((root / "out/comparison.csv").read_text())))
    assert [row[2:5] for row in rows[1:]] == [
        ["96.9", "blank", ""],
        ["96.9", "5.9 ?", ""],
        ["96.9", "80.1", "+16.8"],
    ]


def test_published_numbers_of_a_set_of_an_unknown_size(root):
    metric = "sf_xl/validation/score_avg:recall@1_v1"
    protocol = {"dataset": "sf_xl", "images": 2_805_840}
    result = {"eval": {metric: 0.9}, "protocol": protocol}
    results = {"EigenPlaces 2048 (SALAD)": result}
    table = run(table="place_recognition", results=results, rankings="rankings")["table"]
    row = next(line.split() for line in table.splitlines() if "SF-XL v1" in line)
    assert row[-5:] == ["90.0", "84.1", "+5.9", "2,805,840", "unknown"]
    assert "not the same test sets" not in table


def test_a_row_with_a_protocol_of_its_own_is_told_by_it(root):
    write_rankings(root, 48)
    metric = "val/validation/score_avg:clear<->fog@1"
    protocol = {"dataset": "cityscapes", "images": 1000, "similarity": "dot product"}
    result = {"eval": {metric: 0.5}, "protocol": protocol}
    table = run(table="ossco_cityscapes", results={"NPID": result}, rankings="rankings")["table"]
    assert "Our protocol on cityscapes: images 1,000, similarity dot product" in table
    assert "not the same test sets" not in table and "247tokyo1k" not in table


CONTRASTIVE = {
    "daco": ["NPID", "MoCo", "SimCLR", "DaCo"],
    "ossco": ["Pretrained", "NPID", "SimCLR", "SoftTriple", "ProxyAnchor", "OSSCo"],
}


@pytest.mark.parametrize("name", [name for name in table_names() if name[:5] in ("daco_", "ossco")])
def test_tables_of_two_domains_hold_their_own_methods(name):
    family = name.partition("_")[0]
    table = load_table(name)
    methods = {row.removesuffix(" (final code)") for row in table.rows}
    assert methods - {"SimSiam"} == set(CONTRASTIVE[family])
    # a recall is a whole number of hits; a remark says so where it is not
    for row, values in table.rows.items():
        if "wrong" in table.remarks.get(row, ""):
            continue
        for measure, value in zip(table.measures, values, strict=True):
            queries = measure.images if measure.name.startswith("both") else measure.images // 2
            rounding = 1e-6 if queries % 500 == 0 else 0.0501  # of percents, to a decimal
            hits = (value or 0) * queries / 100
            assert abs(hits - round(hits)) <= rounding * queries / 100, (row, measure.name)


def test_the_cost_stands_on_the_page_and_not_in_the_table(root, capsys):
    write_rankings(root, 1125)
    before = run(rankings="rankings")
    (root / "rankings/cost").mkdir()
    cost = {"images_per_second": 125.0, "milliseconds_per_image": 8.0, "bytes_per_image": 2048}
    cost |= {"dimensions": 512, "device": "cpu", "images": 99}
    (root / "rankings/cost/247tokyo1k.json").write_text(json.dumps(cost))
    capsys.readouterr()
    assert run(rankings="rankings") == before
    page, printed = (root / "out/index.html").read_text(), capsys.readouterr().out
    for cell in ("cyclegan vgg16", "247tokyo1k", "125.0", "8.00", "2,048", "512", "cpu"):
        assert f"<td>{cell}</td>" in page and cell in printed
    assert "the first batch of an evaluation and the search do not count" in page


def test_what_other_steps_left_in_the_folder_is_not_of_a_row(root):
    write_rankings(root, 1125)
    before = run(rankings="rankings")
    other = {"protocol": {"dataset": "roxford5k", "images": 3}, "queries": []}
    (root / "rankings/elsewhere.json").write_text(json.dumps(other))
    (root / "rankings/cost").mkdir()
    cost = {"not_measured": "-", "bytes_per_image": 4, "dimensions": 1, "device": "cpu"}
    (root / "rankings/cost/elsewhere.json").write_text(json.dumps(cost))
    assert run(rankings="rankings") == before
    assert "elsewhere" not in (root / "out/index.html").read_text()
    of_recall = {**METADATA, "rankings": "rankings/elsewhere.json"}
    table = run(rankings="rankings", results={"cyclegan vgg16": of_recall})["table"]
    assert "elsewhere" in (root / "out/index.html").read_text() and table != before["table"]
