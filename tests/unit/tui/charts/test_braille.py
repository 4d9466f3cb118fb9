"""Rasterization: every point is drawn, nothing else is, and no extreme is lost."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transformer_playground.tui.charts.axes import Span
from transformer_playground.tui.charts.braille import (
    BrailleCanvas,
    LineRaster,
    aggregate_columns,
    finite_points,
    masks_of,
    rasterize,
    row_of,
)

Floats = NDArray[np.float64]
_ANY = st.floats(allow_nan=True, allow_infinity=True)


def rasterized(
    x: list[float], y: list[float], columns: int, rows: int, span: Span, height: Span
) -> NDArray[np.bool_]:
    points = finite_points(np.array(x, dtype=float), np.array(y, dtype=float))
    return rasterize(aggregate_columns(points, span, columns), height, columns, rows)


def distance_to_segment(dot: Floats, start: Floats, end: Floats) -> float:
    along = end - start
    length = float(along @ along)
    share = 0.0 if length == 0 else float(np.clip((dot - start) @ along / length, 0, 1))
    return float(np.linalg.norm(dot - (start + share * along)))


small_lines = st.lists(
    st.tuples(
        st.floats(0, 11, allow_subnormal=False),
        st.one_of(st.floats(0, 9, allow_subnormal=False), st.just(math.nan)),
    ),
    min_size=1,
    max_size=8,
).map(sorted)


@settings(max_examples=300, deadline=None)
@given(small_lines)
def test_dots_are_where_the_line_is_and_nowhere_else(line: list[tuple[float, float]]) -> None:
    line = sorted(line, key=lambda point: point[0])
    x, y = [point[0] for point in line], [point[1] for point in line]
    # A dot is one unit in both directions, so that data and dots have the same coordinates.
    dots = rasterized(x, y, 12, 10, Span(0, 11), Span(0, 9))
    places = [(column, 9 - value) for column, value in zip(x, y, strict=True)]
    for column, row in places:
        if not math.isnan(row):
            nearby = dots[math.floor(column) : math.floor(column) + 2, :]
            rows = {math.floor(row + 0.5), math.ceil(row - 0.5)}
            assert any(nearby[:, r].any() for r in rows), "a data point has no dot"
    segments = [
        (np.array(first), np.array(second))
        for first, second in zip(places, [*places[1:], places[-1]], strict=True)
        if not math.isnan(first[1])
    ]
    segments = [
        (first, first if math.isnan(float(second[1])) else second) for first, second in segments
    ]
    for column, row in np.argwhere(dots):
        dot = np.array([column, row], dtype=float)
        nearest = min(distance_to_segment(dot, first, second) for first, second in segments)
        # Half a dot for each end of the segment that was rounded, half for the dot itself.
        assert nearest <= math.sqrt(2) / 2 + 0.5 + 1e-6, "a dot stands where no segment passes"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 9)), min_size=2, max_size=6))
def test_a_line_without_gaps_is_connected(points: list[tuple[int, int]]) -> None:
    points = sorted(points, key=lambda point: point[0])
    dots = rasterized(
        [float(x) for x, _ in points],
        [float(y) for _, y in points],
        12,
        10,
        Span(0, 11),
        Span(0, 9),
    )
    todo = [(points[0][0], 9 - points[0][1])]
    seen = set(todo)
    while todo:
        column, row = todo.pop()
        for place in [(column + a, row + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
            inside = 0 <= place[0] < 12 and 0 <= place[1] < 10
            if inside and dots[place] and place not in seen:
                seen.add(place)
                todo.append(place)
    assert seen == {(int(c), int(r)) for c, r in np.argwhere(dots)}
    assert {(x, 9 - y) for x, y in points} <= seen


def test_a_slope_of_one_is_one_dot_a_column() -> None:
    dots = rasterized([0, 7], [0, 7], 8, 8, Span(0, 7), Span(0, 7))
    assert np.array_equal(dots, np.eye(8, dtype=bool)[::-1])


def test_a_steep_line_is_one_dot_a_row_and_a_flat_one_a_dot_a_column() -> None:
    steep = rasterized([0, 1], [0, 9], 2, 10, Span(0, 1), Span(0, 9))
    assert steep.sum(axis=0).tolist() == [1] * 10
    flat = rasterized([0, 9], [0, 1], 10, 2, Span(0, 9), Span(0, 1))
    assert flat.sum(axis=1).tolist() == [1] * 10


def test_no_extreme_of_a_million_points_is_lost() -> None:
    count = 1_000_000
    y = np.random.default_rng(1).normal(size=count)
    y[123_456], y[765_432] = 50.0, -40.0
    points = finite_points(np.arange(count, dtype=float), y)
    parts = aggregate_columns(points, Span(0, count - 1), 200)
    assert (parts.high.max(), parts.low.min()) == (50.0, -40.0)
    columns = np.rint(np.arange(count) / (count - 1) * 199).astype(int)
    for column in (0, 24, 152, 199):
        here = parts.column == column
        part = y[columns == column]
        assert (parts.high[here].max(), parts.low[here].min()) == (part.max(), part.min())
    dots = rasterize(parts, Span(-40, 50), 200, 100)
    assert dots[round(123_456 / count * 199), 0]
    assert dots[round(765_432 / count * 199), 99]


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    for hole in (math.nan, math.inf, -math.inf):
        dots = rasterized([0, 4, 5, 6, 10], [2, 2, hole, 2, 2], 11, 5, Span(0, 10), Span(0, 4))
        assert dots.any(axis=1).tolist() == [True] * 5 + [False] + [True] * 5


def test_a_gap_within_one_column_of_dots_is_not_bridged() -> None:
    # All points before 0.1 share the first column; the gap keeps 5 from being joined to 0.
    points = finite_points(np.array([0.0, 0.05, 0.1, 9.0]), np.array([0.0, math.nan, 9.0, 9.0]))
    dots = rasterize(aggregate_columns(points, Span(0, 9), 10), Span(0, 9), 10, 10)
    assert dots[0].tolist() == [True] + [False] * 8 + [True]


def test_a_line_is_clipped_where_it_crosses_the_edge_of_the_window() -> None:
    dots = rasterized([-10, 20], [-10, 20], 11, 11, Span(0, 10), Span(0, 10))
    assert np.array_equal(dots, np.eye(11, dtype=bool)[::-1])
    points = finite_points(np.array([-10.0, 20.0]), np.array([-10.0, 20.0]))
    parts = aggregate_columns(points, Span(0, 10), 11)
    assert (parts.low.min(), parts.high.max()) == (0.0, 10.0)


def test_a_gap_at_the_edge_of_the_window_stays_a_gap() -> None:
    points = finite_points(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, math.nan, 5.0, 5.0]))
    parts = aggregate_columns(points, Span(1.5, 3.0), 4)
    assert parts.low.min() == 5.0
    assert not parts.joined[0]


def test_points_in_any_order_are_drawn_from_left_to_right() -> None:
    points = finite_points(
        np.array([3.0, 1.0, math.nan, 2.0]), np.array([30.0, 10.0, 5.0, math.nan])
    )
    assert points.x.tolist() == [1.0, 3.0]
    assert points.y.tolist() == [10.0, 30.0]
    assert points.starts.tolist() == [1]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(_ANY, _ANY), max_size=30),
    st.integers(1, 40),
    st.integers(1, 40),
    st.tuples(st.floats(-1e300, 1e300), st.floats(1e-280, 1e300)),
    st.tuples(st.floats(-1e300, 1e300), st.floats(1e-280, 1e300)),
)
def test_no_data_and_no_size_raises(
    line: list[tuple[float, float]],
    columns: int,
    rows: int,
    across: tuple[float, float],
    up: tuple[float, float],
) -> None:
    spans = [Span(low, low + width) for low, width in (across, up) if low + width > low]
    if len(spans) < 2:
        return
    x, y = [point[0] for point in line], [point[1] for point in line]
    y = [max(-1e300, min(1e300, value)) for value in y]
    x = [max(-1e300, min(1e300, value)) for value in x]
    dots = rasterized(x, y, columns, rows, spans[0], spans[1])
    assert dots.shape == (columns, rows)


def test_dots_fill_braille_cells_and_the_last_line_owns_them() -> None:
    canvas = BrailleCanvas(2, 1)
    lower, upper = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    lower[0, 0] = lower[2, 3] = True
    upper[3, 3] = True
    canvas.add(masks_of(lower), 0)
    canvas.add(masks_of(upper), 1)
    assert canvas.masks.tolist() == [[0x01, 0x40 | 0x80]]
    assert canvas.owner.tolist() == [[0, 1]]
    canvas.add(masks_of(upper), 2, covers=True)
    assert canvas.masks.tolist() == [[0x01, 0x80]]
    assert canvas.owner.tolist() == [[0, 2]]


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("row", [0, 1, 2, 3])
def test_each_dot_has_its_own_place_in_a_braille_character(column: int, row: int) -> None:
    # Dots 1-3 and 7 stand left, 4-6 and 8 right: the numbering of the Unicode block.
    number = [[1, 2, 3, 7], [4, 5, 6, 8]][column][row]
    dots = np.zeros((2, 4), dtype=bool)
    dots[column, row] = True
    canvas = BrailleCanvas(1, 1)
    canvas.add(masks_of(dots), 0)
    assert int(canvas.masks[0, 0]) == 1 << (number - 1)


def test_a_line_that_is_drawn_again_with_other_axes_has_the_dots_of_these() -> None:
    points = finite_points(np.arange(40.0), np.arange(40.0) % 7)
    kept = LineRaster(points)
    usual: tuple[Span, Span, int, int, bool] = (Span(0, 39), Span(0, 6), 12, 4, False)
    for changed in (
        usual,
        usual,
        (Span(0, 20), *usual[1:]),
        (usual[0], Span(0, 9), *usual[2:]),
        (*usual[:2], 9, *usual[3:]),
        (*usual[:3], 5, False),
        (*usual[:4], True),
    ):
        x, y, columns, rows, is_thick = changed
        again = kept.masks(x, y, columns, rows, is_thick=is_thick)
        first = LineRaster(points).masks(x, y, columns, rows, is_thick=is_thick)
        assert again.tolist() == first.tolist()
        assert kept.masks(x, y, columns, rows, is_thick=is_thick) is again


def test_rows_count_from_the_top() -> None:
    assert row_of(np.array([10.0, 0.0, 5.0, 20.0]), Span(0, 10), 11).tolist() == [0, 10, 5, -10]
