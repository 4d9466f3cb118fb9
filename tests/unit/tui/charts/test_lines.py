"""Derived data of lines, and plots of several lines."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.runs.curves import debiased_ema
from transformer_playground.runs.thinning import Buckets
from transformer_playground.tui.charts.axes import Kind, Span
from transformer_playground.tui.charts.ends import spread
from transformer_playground.tui.charts.plot import (
    BEST_MARK,
    GRID,
    NONFINITE,
    NONFINITE_MARK,
    Plot,
    draw_plot,
    extent,
    fitted_y,
    with_crosshair,
)
from transformer_playground.tui.charts.series import Bucket, ChartLine, DataPoint, PreparedLine
from transformer_playground.tui.charts.sparkline import loss_curve, share_blocks

_ANY = st.floats(allow_nan=True, allow_infinity=True)


def prepared(
    y: list[float],
    x: list[float] | None = None,
    *,
    log: bool = False,
    smoothing: float = 0.0,
    **how: object,
) -> PreparedLine:
    x = x if x is not None else [float(index) for index in range(len(y))]
    fields = {"colour": "#ffffff", "glyph": "●", **how}
    line = ChartLine("key", "label", np.array(x), np.array(y), **fields)  # type: ignore[arg-type]
    return PreparedLine(line, log=log, smoothing=smoothing)


def plot_of(*lines: PreparedLine, columns: int = 40, rows: int = 10) -> Plot:
    span = extent(lines)
    assert span is not None
    return draw_plot(lines, span, None, columns, rows)


def text(plot: Plot) -> list[str]:
    return ["".join(map(chr, row)) for row in plot.characters]


def test_a_reading_is_the_nearest_point_and_none_beyond_the_ends() -> None:
    line = prepared([5.0, 6.0, 7.0], [0.0, 10.0, 20.0])
    assert line.nearest(4.0) == DataPoint(0.0, 5.0)
    assert line.nearest(6.0) == DataPoint(10.0, 6.0)
    assert line.nearest(20.0) == DataPoint(20.0, 7.0)
    assert line.nearest(20.1) is None
    assert line.nearest(-0.1) is None
    assert line.newest == DataPoint(20.0, 7.0)


def test_readings_of_a_log_axis_are_the_data_s_own_values() -> None:
    line = prepared([100.0, 0.0, -3.0, 1000.0], log=True)
    assert line.shown.y.tolist() == [2.0, 3.0]
    assert line.newest is not None
    assert line.newest.y == pytest.approx(1000.0)
    assert line.dropped_count == 2
    assert prepared([0.0, -1.0]).dropped_count == 0


def test_smoothing_is_the_debiased_average_and_leaves_the_measured_line() -> None:
    y = [4.0, 2.0, 3.0, 1.0]
    line = prepared(y, smoothing=0.6)
    assert np.array_equal(line.shown.y, debiased_ema(y, 0.6))
    assert line.raw.y.tolist() == y
    assert line.is_smoothed
    for style in ("dim", "points"):
        assert prepared(y, smoothing=0.6, style=style).shown.y.tolist() == y
    assert prepared(y, smoothing=0.6, smooth=False).shown.y.tolist() == y


def test_a_thinned_line_knows_the_extremes_that_it_shows_and_where_numbers_are_missing() -> None:
    buckets = Buckets(np.array([8, 8, 8]), np.array([8, 7, 0]), np.array([3.0, 2.0, math.nan]))
    y = [5.0, 1.0, 2.0, 2.5, math.nan, math.nan, 4.0, 3.0]
    line = prepared(y, [0.0, 7.0, 8.0, 15.0, 16.0, 23.0, 24.0, 25.0], buckets=buckets)
    assert line.bucket_at(0.0) == line.bucket_at(3.0) == Bucket(0.0, 7.0, 1.0, 5.0)
    assert line.bucket_at(15.0) == Bucket(8.0, 15.0, 2.0, 2.5)
    for between_without_numbers_or_whole in (7.5, 20.0, 24.0, -1.0, 99.0):
        assert line.bucket_at(between_without_numbers_or_whole) is None
    assert prepared(y).bucket_at(0.0) is None
    assert line.nonfinite.tolist() == [15.0, 16.0, 23.0, 23.0]


def test_numbers_that_rows_may_lack_are_gaps_but_no_faults() -> None:
    y = [math.nan, 1.0, math.nan, 2.0]
    assert prepared(y).nonfinite.tolist() == [0.0, 2.0]
    line = prepared(y, may_lack=True)
    assert line.nonfinite.tolist() == []
    np.testing.assert_array_equal(line.raw.y, prepared(y).raw.y)


def test_smoothing_averages_the_means_of_thinned_points_and_not_their_extremes() -> None:
    buckets = Buckets(np.array([8, 8]), np.array([8, 8]), np.array([1.0, 1.0]))
    line = prepared([1.0, 90.0, 0.0, 80.0, 1.0], smoothing=0.6, buckets=buckets)
    np.testing.assert_allclose(line.shown.y, np.ones(5))
    assert line.raw.y.tolist() == [1.0, 90.0, 0.0, 80.0, 1.0]


def test_the_best_point_is_a_measured_one() -> None:
    assert prepared([3.0, 1.0, 2.0], best="lowest", smoothing=0.9).best == DataPoint(1.0, 1.0)
    assert prepared([3.0, 1.0, 4.0], best="highest").best == DataPoint(2.0, 4.0)
    assert prepared([3.0, 1.0]).best is None
    assert prepared([math.nan], best="lowest").best is None


def test_arrays_of_different_lengths_are_rejected() -> None:
    with pytest.raises(ValueError, match="2 x and 1 y"):
        ChartLine("k", "l", np.zeros(2), np.zeros(1), "#ffffff")


def test_a_smoothed_line_is_drawn_over_its_faint_measured_one() -> None:
    y = [10.0 if index % 2 else 0.0 for index in range(200)]
    plot = plot_of(prepared(y, smoothing=0.99))
    assert {0, 1} <= set(plot.owner.ravel().tolist())
    # Over most of its length the average lies in the middle, the measured line everywhere.
    middle = plot.owner[4:6, 20:]
    assert (middle == 0).any(axis=0).all()
    assert (plot.owner[0, 1:-1] == 1).all()


def test_the_last_line_is_on_top() -> None:
    one, other = prepared([1.0, 1.0]), prepared([1.0, 1.0], style="dim")
    assert 1 * 2 in plot_of(one, prepared([1.0, 1.0])).owner
    assert 0 not in plot_of(one, prepared([1.0, 1.0])).owner[:, 1:-1][:, ::3].ravel().tolist()
    # Faint lines are beneath, in any order.
    assert 3 not in plot_of(one, other).owner


def test_few_points_carry_the_glyph_each_and_many_at_distances() -> None:
    few = "".join(text(plot_of(prepared([1.0, 2.0, 3.0], glyph="▲"))))
    assert few.count("▲") == 3
    many = "".join(text(plot_of(prepared([math.sin(i / 99) for i in range(999)], glyph="▲"))))
    assert 1 <= many.count("▲") <= 3


def test_lines_that_coincide_carry_their_glyphs_at_different_places() -> None:
    y = [float(i) for i in range(500)]
    both = "".join(text(plot_of(prepared(y, glyph="●"), prepared(y, glyph="▲"), columns=60)))
    assert "●" not in both or "▲" in both
    assert "▲" in both


def test_points_alone_are_not_joined() -> None:
    plot = plot_of(prepared([1.0, 2.0], style="points", glyph="■"))
    drawn = "".join(text(plot)).replace(" ", "").replace("·", "")
    assert drawn == "■■"


def test_the_best_point_is_marked_where_it_is() -> None:
    y = [5.0] * 41
    y[20] = 1.0
    rows = text(plot_of(prepared(y, best="lowest"), columns=41))
    assert rows[-1].index(BEST_MARK) == 20


def test_values_that_are_not_numbers_are_marked_at_the_bottom() -> None:
    plot = plot_of(prepared([1.0, 2.0, math.nan, 2.0, math.inf, 3.0]))
    assert text(plot)[-1].count(NONFINITE_MARK) == 2
    assert (plot.owner[-1] == NONFINITE).sum() == 2


def test_the_grid_never_covers_a_line() -> None:
    line = prepared([float(i) for i in range(100)])
    plot = plot_of(line)
    assert GRID in plot.owner
    assert (plot.owner == 0).any(axis=0).all()


def test_the_crosshair_stands_in_its_column_and_marks_what_it_reads() -> None:
    line = prepared([0.0, 10.0, 0.0], glyph="■")
    plot = with_crosshair(plot_of(line, columns=41), [line], 1.0, log=False)
    column = [row[20] for row in text(plot)]
    assert "■" in column
    assert "│" in column
    assert [row[10] for row in text(plot)].count("│") == 0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.tuples(_ANY, _ANY), max_size=12), max_size=3),
    st.integers(1, 30),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from([0.0, 0.9]),
    st.sampled_from(["line", "dim", "points"]),
    _ANY,
)
def test_a_picture_of_anything_has_its_size(
    data: list[list[tuple[float, float]]],
    columns: int,
    rows: int,
    log: bool,
    smoothing: float,
    style: str,
    at: float,
) -> None:
    lines = [
        prepared(
            [y for _, y in points],
            [x for x, _ in points],
            log=log,
            smoothing=smoothing,
            style=style,
            best="lowest",
        )
        for points in data
    ]
    span = extent(lines)
    if span is None:
        return
    kind: Kind = "log" if log else "linear"
    plot = draw_plot(lines, span, None, columns, rows, y_kind=kind)
    if math.isfinite(at):
        plot = with_crosshair(plot, lines, at, log=log)
    assert plot.characters.shape == plot.owner.shape == (rows, columns)
    near = Span(span.at(0.4), span.at(0.6))
    if near.width > 0:
        draw_plot(lines, near, None, columns, rows, y_kind=kind)


def test_blocks_reach_from_none_to_all_and_no_further() -> None:
    assert share_blocks([0.0, 0.5, 1.0]) == "▁▅█"
    assert share_blocks([-1.0, 2.0]) == "▁█"
    assert share_blocks([]) == ""


@pytest.mark.parametrize("count", [4, 5, 12, 13, 19, 20])
def test_the_first_loss_never_hides_the_curve_after_it(count: int) -> None:
    losses = [2 - step / 20 for step in range(count)]
    assert loss_curve([11.0, *losses[1:]], None, 12)[2:] == loss_curve(losses, None, 12)[2:]
    # The later losses use all four heights.
    assert len(set(loss_curve([11.0, *losses[1:]], None, 12))) > 2


def test_a_curve_is_as_wide_as_told_and_has_no_bar_for_a_loss_that_is_not_finite() -> None:
    assert loss_curve([4.0, 2.0, 1.5], 1.0, 10) == "⣿⣿⣿⣿⣿⣶⣶⣆⣀⣀"
    assert loss_curve([2.0], 2.0, 3) == "⣀⣀⣀"
    assert "\u2800" in loss_curve([3.0, None, None, 1.0], None, 10)
    assert loss_curve([], None, 10) == loss_curve([None, None], None, 10) == ""


def falling(count: int = 100) -> list[float]:
    """Falls as losses do: most of it at the start."""
    return [2 + 3 * math.exp(-index / count * 20) for index in range(count)]


def test_the_y_axis_need_not_reach_the_start_of_lines() -> None:
    line = prepared(falling())
    every, usual = fitted_y([line], 0.0), fitted_y([line], 0.05)
    assert every is not None
    assert usual is not None
    assert every.high > 5.0
    # A fifth is left out, because that more than halves what is left without the first twentieth.
    assert usual.high < 2.2
    assert usual.low < 2.0
    steady = prepared([float(100 - index) for index in range(100)])
    (span,) = [fitted_y([steady], 0.05)]
    assert span is not None
    assert 95 < span.high < 101


def test_a_short_line_is_shown_whole_and_single_extremes_of_long_ones_are_not() -> None:
    few = fitted_y([prepared([9.0, 1.0, 1.0])], 0.05)
    assert few is not None
    assert few.high > 9.0
    y = [2.0 + 0.1 * math.sin(index) for index in range(1000)]
    y[500] = 50.0
    span = fitted_y([prepared(y)], 0.05)
    assert span is not None
    assert span.high < 2.3
    assert fitted_y([prepared([])], 0.05) is None
    assert fitted_y([], 0.05) is None


@pytest.mark.parametrize("count", [1, 4, 25])
def test_of_few_evaluations_the_first_is_left_out_if_that_more_than_halves_the_axis(
    count: int,
) -> None:
    runs = [prepared([4.3, 2.6 + run / 100, 2.3, 2.1, 2.0]) for run in range(count)]
    usual, every = fitted_y(runs, 0.05), fitted_y(runs, 0.0)
    assert usual is not None
    assert every is not None
    assert usual.high < 3.0
    assert every.high > 4.3
    steady = [prepared([5.0, 4.0, 3.0, 2.0, 1.0]) for _ in range(count)]
    assert fitted_y(steady, 0.05) == fitted_y(steady, 0.0)


def test_a_run_that_ended_in_the_first_steps_is_seen_whole_only_where_no_other_goes_on() -> None:
    failed, few = prepared([4.3]), prepared([4.3, 2.5, 2.3, 2.1, 2.0])
    alone = fitted_y([failed], 0.05)
    assert alone is not None
    assert alone.low < 4.3 < alone.high
    for usual in (few, prepared(falling())):
        assert fitted_y([usual, failed], 0.05) == fitted_y([usual], 0.05)
        every = fitted_y([usual, failed], 0.0)
        assert every is not None
        assert every.high > 4.3


def test_the_start_of_the_axis_is_left_out_whichever_line_begins_there() -> None:
    long, young = prepared(falling(1000)), prepared(falling(1000)[:80])
    together = fitted_y([long, young], 0.05)
    assert together is not None
    # Its newest point is seen, but not the steps that are left out of the other.
    assert young.raw.y[-1] < together.high < 3.5
    # What begins late has no start to leave out.
    branch = prepared([3.0, *[2.0] * 99], [float(step) for step in range(900, 1000)])
    with_branch = fitted_y([long, branch], 0.05)
    assert with_branch is not None
    assert with_branch.high > 3.0


def test_a_reference_widens_the_axis_only_where_it_is_near() -> None:
    run = prepared([4.3, 2.6, 2.3, 2.1, 2.0])

    def with_reference(value: float, left_out: float = 0.05) -> Span | None:
        line = ChartLine("r", "r", run.line.x, np.full(5, value), "#ffffff", is_reference=True)
        return fitted_y([run, PreparedLine(line, log=False, smoothing=0.0)], left_out)

    usual = fitted_y([run], 0.05)
    assert usual is not None
    assert with_reference(1.0) == usual
    near, every = with_reference(1.9), with_reference(1.0, 0.0)
    assert near is not None
    assert near.low == pytest.approx(1.9)
    assert every is not None
    assert every.low < 1.0


@pytest.mark.parametrize("rows", [3, 4, 5, 6, 30])
@pytest.mark.parametrize("y", [(0.0, 1.0), (700e6, 799e6), (1.05, 1.95), (0.02, 2.9), (0.3, 0.301)])
def test_the_smallest_chart_has_a_scale(rows: int, y: tuple[float, float]) -> None:
    plot = draw_plot([prepared([1.0, 2.0])], Span(0, 1), Span(*y), 20, rows)
    assert len(plot.y_ticks) > 1
    assert len(plot.y_ticks) < rows


@pytest.mark.parametrize("step", [0, 500])
def test_a_single_point_stands_at_the_left_end_of_the_axis(step: int) -> None:
    span = extent([prepared([4.0], [float(step)])])
    assert span is not None
    assert span.low == step < span.high


def test_a_thick_line_covers_thin_ones_and_is_taller() -> None:
    y = [float(index % 7) for index in range(80)]
    level = [3.0] * 80
    thin, thick = (prepared(level, style=style, has_markers=False) for style in ("line", "thick"))

    def dots(plot: Plot) -> int:
        codes = plot.characters[(plot.owner >= 0)]
        return sum(int(code - 0x2800).bit_count() for code in codes)

    assert dots(plot_of(thick)) == 2 * dots(plot_of(thin))
    noisy = prepared(y, has_markers=False)
    plot = plot_of(thick, noisy)
    # Although the noisy line comes later.
    assert (plot.owner == 0).any(axis=0).all()


def test_lines_of_one_kind_share_the_cells_in_which_they_meet() -> None:
    frame = prepared([0.0, 10.0], [0.0, 0.001], has_markers=False)
    one, other = (prepared([y] * 40, has_markers=False) for y in (2.0, 7.0))
    alone, both = plot_of(frame, one, rows=1), plot_of(frame, one, other, rows=1)
    dots, shared = (int(plot.characters[0, 20]) - 0x2800 for plot in (alone, both))
    assert shared & dots == dots
    assert shared != dots


@given(st.lists(st.integers(0, 9), max_size=10).map(sorted))
def test_labels_take_a_row_each_near_their_line(wanted: list[int]) -> None:
    places = spread(wanted, 10)
    assert len(set(places)) == len(wanted)
    assert places == sorted(places)
    assert all(0 <= place < 10 for place in places)
    if len(set(wanted)) == len(wanted):
        assert places == wanted
