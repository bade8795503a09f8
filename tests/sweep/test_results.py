from mdir.sweep.results import CellResult, scores_of, write_results


def test_every_cell_stands_in_the_csv(tmp_path):
    metadata = {"eval": {"night/validation/score_avg:map": 0.5}}
    scores = scores_of({"tuned": metadata})
    assert scores == {"tuned / night/validation/score_avg:map": 0.5}
    cells = [
        CellResult("a", {"lr": 0.1}, "done", scores),
        CellResult("b", {"lr": "=0.2"}, "failed"),
    ]
    write_results(cells, tmp_path)
    assert (tmp_path / "cells.csv").read_text() == (
        "cell,state,lr,tuned / night/validation/score_avg:map\na,done,0.1,0.5\nb,failed,'=0.2,\n"
    )
