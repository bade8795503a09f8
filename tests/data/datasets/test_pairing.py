"""Pairing by names: what counts as the same instance, and what does not."""

from pathlib import Path

import pytest

from cirtorch.utils.errors import DataError
from mdir.data.datasets.pairing import pair_up

FOGGY = "leftImg8bit_foggy_beta_0.02"


def files(folder, names):
    return [Path(folder, f"{name}.png") for name in names]


def numbered(pattern, numbers=range(1, 13)):
    return [pattern.format(number) for number in numbers]


CITIES = [f"aachen_{sequence:06}_000019" for sequence in range(9)]
CITIES += ["hamburg_000000_000629", "hamburg_000000_003488"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (numbered("day_{:05}"), numbered("night_{:05}")),
        (numbered("day_{:05}", range(301, 376)), numbered("night_{:05}", range(301, 376))),
        (numbered("cam1_{:04}"), numbered("cam2_{:04}")),
        (numbered("{:04}_cam1"), numbered("{:04}_cam2_x")),
        ([f"{c}_leftImg8bit" for c in CITIES], [f"{c}_{FOGGY}" for c in CITIES]),
        (numbered("aachen_day_{}_left"), numbered("aachen_night_{}_left")),
        (["alice", "bob"], ["alice", "bob"]),
        (["Alice-1", "bob-1"], ["alice_01", "bob_01"]),
        (["3"], ["3"]),
    ],
)
def test_names_that_belong_together(first, second):
    paired = pair_up(files("a", first), files("b", second), ["cam1", "cam2"])
    assert paired == files("b", second)


def test_other_padding_is_the_same_number():
    days, nights = sorted(numbered("day_{}")), numbered("night_{:05}")
    paired = pair_up(files("day", days), files("night", nights), ["day", "night"])
    assert [path.stem for path in paired[:4]] == [
        "night_00001", "night_00010", "night_00011", "night_00012",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "lonely"),
    [
        (["alice", "carol"], ["bob", "dave"], ["a/alice", "a/carol", "b/bob", "b/dave"]),
        (["aachen_1", "bochum_1"], ["aachen_1", "ulm_1"], ["a/bochum_1", "b/ulm_1"]),
        (["day_1", "day_2"], ["night_1", "night_3"], ["a/day_2", "b/night_3"]),
        (numbered("day_{:05}"), numbered("night_{:05}", range(1, 12)), ["a/day_00012"]),
        ([*numbered("day_{:05}"), "Thumbs"], numbered("night_{:05}"), ["a/Thumbs"]),
        (["1_2", "2_3"], ["2_1", "3_2"], ["a/1_2", "a/2_3", "b/2_1", "b/3_2"]),
    ],
)
def test_names_without_a_counterpart_are_all_listed(first, second, lonely):
    with pytest.raises(DataError) as error:
        pair_up(files("a", first), files("b", second), ["a", "b"])
    assert str(error.value).splitlines()[1:] == [f"  {name}.png" for name in lonely]


def test_a_long_list_says_how_much_longer_it_is():
    with pytest.raises(DataError, match="\\n  and 71 more$"):
        pair_up(files("a", numbered("x{}", range(120))), files("b", ["x200"]), ["a", "b"])
