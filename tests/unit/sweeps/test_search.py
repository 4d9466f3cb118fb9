"""Where a search begins: spread over all values, the same each time."""

import itertools

import pytest

from transformer_playground.sweeps.axes import Axis, Choices, parse_axis
from transformer_playground.sweeps.search import start_points

RATE = parse_axis("learning_rate=1e-4..1e-1:log:16")


@pytest.mark.parametrize("draw_seed", range(5))
def test_a_search_of_one_setting_begins_in_each_quarter_of_its_values(draw_seed: int) -> None:
    values = [dict(point)[RATE.key] for point in start_points([RATE], 4, draw_seed)]
    assert sorted(map(RATE.values.index, values)) == [2, 6, 10, 14]


def test_ranges_are_cut_on_the_scale_of_their_draws_and_whole_numbers_stay_whole() -> None:
    rate = parse_axis("learning_rate=1e-4..1e-0:log")
    layers = parse_axis("model.n_layer=1..9")
    points = [dict(point) for point in start_points([rate, layers], 4, 1)]
    assert sorted(point[rate.key] for point in points) == pytest.approx(
        [10**-3.5, 10**-2.5, 10**-1.5, 10**-0.5], rel=1e-3
    )
    assert sorted(point[layers.key] for point in points) == [2, 4, 6, 8]


def test_several_settings_are_spread_together() -> None:
    axes: list[Axis] = [
        RATE,
        parse_axis("model.dropout=0..0.5"),
        Choices("model.norm", ("rmsnorm", "layernorm")),
    ]
    for draw_seed in range(5):
        points = start_points(axes, 8, draw_seed)
        columns = list(zip(*points, strict=True))
        assert [len(set(column)) for column in columns] == [8, 8, 2]
        assert len([value for value in columns[2] if value[1] == "rmsnorm"]) == 4
        # No two are near one another in all of them.
        places = [sorted(set(column), key=repr) for column in columns]
        shares = [
            [place.index(value) / 8 for place, value in zip(places, point, strict=True)]
            for point in points
        ]
        nearest = min(
            sum((one - two) ** 2 for one, two in zip(*pair, strict=True))
            for pair in itertools.combinations(shares, 2)
        )
        assert nearest > 0.03


def test_a_start_depends_on_the_seed_alone() -> None:
    axes = [RATE, parse_axis("model.dropout=0..0.5")]
    assert start_points(axes, 6, 3) == start_points(axes, 6, 3)
    assert len({repr(start_points(axes, 6, seed)) for seed in range(5)}) > 1
