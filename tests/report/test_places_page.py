"""The table of conditions of place recognition, with intervals."""

from mdir.report.sections.places import places_section


def row(recalls, lone=0):
    told = {"queries": 8, "without_positives": lone, "recalls": recalls}
    return told | {"with_positives": [min(2 * share, 1) for share in recalls]}


def read(protocol, values, recalls, **more):
    return {"protocol": protocol, "places": {"values": values, "recalls": recalls}, **more}


def test_a_recall_has_its_interval_behind_it():
    rows = {"all": row([0.25, 0.5], 4), "night": row([0, 0.125]), "mean": row([0.25, 0.5])}
    intervals = {
        "recall@1": [0.071, 0.591],
        "recall@5": [0.215, 0.785],
        "recall@1_night": [0, 0.324],
        "recall@5_night": "one query alone",
        "recall@1_with_positives": [0.9, 0.95],
        "recall@5_mean": [-0.01, 0.4],
    }
    section = places_section({"S": read({"dataset": "x"}, [1, 5], rows, intervals=intervals)})
    assert section.table.columns == [
        *("", "queries", "without a positive"),
        *("R@1", "95 %", "R@5", "95 %"),
    ]
    assert section.table.rows == [
        ["S: all", "8", "4", "25.0 (50.0)", "7.1 to 59.1", "50.0 (100.0)", "21.5 to 78.5"],
        ["S: night", "8", "0", "0.0", "0.0 to 32.4", "12.5", "one query alone"],
        ["S: mean", "8", "0", "25.0", "", "50.0", "\N{MINUS SIGN}1.0 to 40.0"],
    ]
    assert "95 % interval" in section.text


def test_intervals_are_of_the_ranking_that_is_shown_and_of_its_ranks():
    """Older rankings have none."""
    intervals = {"recall@1": [0.1, 0.2], "recall@1_reranked": [0.3, 0.4]}
    told = {"all": row([0.25])}
    again = read({"dataset": "x", "re-ranking": "qe"}, [1], told, intervals=intervals)
    section = places_section({"A": again, "B": read({"dataset": "x"}, [2], told)})
    assert section.table.rows == [
        ["A: all", "8", "0", "25.0", "30.0 to 40.0", "", ""],
        ["B: all", "8", "0", "", "", "25.0", ""],
    ]
