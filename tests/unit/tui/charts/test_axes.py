"""Ticks are round values inside the window with distinct labels; windows zoom and pan."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.tui.charts.axes import (
    Kind,
    Span,
    Viewport,
    fit_span,
    ticks,
    to_log_axis,
)
from transformer_playground.tui.charts.strips import compute_layout


@settings(max_examples=500, deadline=None)
@given(
    st.floats(-1e15, 1e15),
    st.floats(1e-12, 1e15),
    st.integers(1, 15),
    st.sampled_from(("linear", "seconds")),
)
def test_ticks_are_inside_ascending_and_labelled_differently(
    low: float, width: float, most: int, kind: Kind
) -> None:
    span = fit_span(low, low + width)
    found = ticks(span, most, kind)
    positions = [tick.position for tick in found]
    assert all(span.low <= position <= span.high for position in positions)
    assert positions == sorted(set(positions))
    assert len({tick.label for tick in found}) == len(found) <= most


@settings(max_examples=300, deadline=None)
@given(st.floats(-290, 290), st.floats(1e-6, 300), st.integers(1, 15))
def test_ticks_of_a_log_axis_are_inside_ascending_and_labelled_differently(
    low: float, width: float, most: int
) -> None:
    span = Span(low, low + width)
    found = ticks(span, most, "log")
    positions = [tick.position for tick in found]
    assert all(span.low <= position <= span.high for position in positions)
    assert positions == sorted(set(positions))
    assert len({tick.label for tick in found}) == len(found)


def labels(low: float, high: float, most: int, kind: Kind = "linear") -> list[str]:
    return [tick.label for tick in ticks(Span(low, high), most, kind)]


def test_ticks_are_round_values_in_human_units() -> None:
    assert labels(0, 2000, 5) == ["0", "500", "1.0k", "1.5k", "2.0k"]
    assert labels(0, 3e6, 4) == ["0", "1M", "2M", "3M"]
    assert labels(1.5, 4.2, 6) == ["1.5", "2.0", "2.5", "3.0", "3.5", "4.0"]
    assert labels(0, 0.003, 4) == ["0", "0.001", "0.002", "0.003"]
    assert labels(0, 3e-4, 4) == ["0", "1e-4", "2e-4", "3e-4"]
    assert labels(-1, 1, 3) == ["-1", "0", "1"]


def test_ticks_of_time_are_parts_of_hours_and_days() -> None:
    assert labels(0, 3600, 5, "seconds") == ["0", "15m", "30m", "45m", "1h"]
    assert labels(0, 40, 5, "seconds") == ["0", "10s", "20s", "30s", "40s"]
    assert labels(0, 4 * 86400, 5, "seconds") == ["0", "1d", "2d", "3d", "4d"]
    assert labels(3600, 3720, 5, "seconds")[:3] == ["1h", "1h 00m 30s", "1h 01m"]


def test_a_log_axis_has_decades_and_where_there_is_room_twos_and_fives() -> None:
    assert labels(0, 6, 8, "log") == ["1", "10", "100", "1k", "10k", "100k", "1M"]
    assert labels(0, 2, 8, "log") == ["1", "2", "5", "10", "20", "50", "100"]
    assert labels(-3, -1, 3, "log") == ["0.001", "0.01", "0.1"]
    # Within less than a decade evenly spaced values read better.
    assert labels(math.log10(1.5), math.log10(4.2), 6, "log") == [
        "1.5",
        "2.0",
        "2.5",
        "3.0",
        "3.5",
        "4.0",
    ]


def test_a_window_too_fine_for_numbers_has_no_ticks_that_coincide() -> None:
    low = 1e15
    found = ticks(Span(low, math.nextafter(low, 2e15)), 5)
    assert len({tick.label for tick in found}) == len(found)


def test_zooming_keeps_its_centre() -> None:
    span = Span(0, 100).zoomed(0.5, 25)
    assert (span.low, span.high) == (12.5, 62.5)
    assert span.share(25) == Span(0, 100).share(25)


def test_zooming_stops_at_the_precision_of_floats() -> None:
    span = Span(1e6, 1e6 + 10)
    for _ in range(500):
        span = span.zoomed(0.5, 1e6 + 3)
    assert span.low < 1e6 + 3 < span.high
    for _ in range(5000):
        span = span.zoomed(2.0, 0.0)
    assert math.isfinite(span.width)


def test_a_window_that_shows_everything_follows_again() -> None:
    full = Span(0, 100)
    near = Viewport().zoomed_x(full, 0.5, 50)
    assert near.x == Span(25, 75)
    assert not near.follows
    assert near.zoomed_x(full, 4, 50).follows


def test_panning_never_loses_the_data() -> None:
    full = Span(0, 100)
    view = Viewport(Span(40, 60))
    for _ in range(50):
        view = view.panned_x(full, 1.0)
    assert view.x is not None
    assert view.x.low < 100
    assert Viewport().panned_x(full, 1.0) == Viewport()


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_any_two_values_fit_into_a_span_with_a_length(one: float, other: float) -> None:
    low, high = sorted((one, other))
    span = fit_span(low, high, 0.05)
    assert span.low < span.high
    assert math.isfinite(span.width)
    if abs(low) < 1e300:
        assert span.low <= low


def test_outliers_are_shown() -> None:
    span = fit_span(0.0, 1000.0, 0.05)
    assert (span.low, span.high) == (-50.0, 1050.0)


def test_values_that_are_not_positive_are_nan_on_a_log_axis() -> None:
    places = to_log_axis(np.array([100.0, 0.0, -5.0, math.nan, 1.0]))
    assert places[[0, 4]].tolist() == [2.0, 0.0]
    assert np.isnan(places[1:4]).all()


@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 20), st.integers(5, 40))
def test_every_size_leaves_space_for_the_plot(
    width: int, height: int, legend: int, label: int
) -> None:
    layout = compute_layout(width, height, legend_rows=legend, label_width=label)
    assert layout.columns >= 1
    assert layout.rows >= 1
    assert layout.rows + layout.legend + layout.axis == height
