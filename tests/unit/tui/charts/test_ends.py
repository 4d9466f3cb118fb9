"""Labels at the ends of lines, and what stands above the plot instead."""

import numpy as np
import pytest
from rich.style import Style
from textual.color import Color
from textual.geometry import Size

from transformer_playground.tui.charts.drawing import ChartDrawing
from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.charts.strips import Legend, LegendEntry, Palette
from transformer_playground.tui.themes import SERIES

PLAIN = Style()
PALETTE = Palette(PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, Color.parse("black"))


def chart(count: int, width: int, height: int) -> list[str]:
    """The rows of a chart; the later a line, the lower it is."""
    drawing = ChartDrawing("nothing")
    x = np.arange(1.0, 20.0)
    drawing.set_lines(
        [
            ChartLine(
                *(f"{number}", f"run number {number:02}", x, (count - number) + 1 / x),
                SERIES[number].dark,
                SERIES[number].glyph,
                best="lowest",
                on_top=number == 0,
            )
            for number in range(count)
        ]
    )
    return [strip.text for strip in drawing.strips(Size(width, height), PALETTE)]


def labelled(rows: list[str], count: int) -> list[int]:
    return [
        number for number in range(count) if any(f"run number {number:02}" in row for row in rows)
    ]


@pytest.mark.parametrize(("count", "height"), [(2, 10), (8, 14), (20, 30)])
def test_every_line_is_named_with_its_glyph_and_value(count: int, height: int) -> None:
    rows = chart(count, 100, height)
    assert labelled(rows, count) == list(range(count))
    assert "more" not in "".join(rows)
    for number in range(count):
        label = f"{SERIES[number].glyph} run number {number:02}"
        assert any(label in row for row in rows)
        value = f"{count - number}.0"
        assert any(f"run number {number:02}" in row and value in row for row in rows)


def test_of_more_lines_than_rows_the_best_and_the_baseline_are_named_and_the_rest_counted() -> None:
    rows = chart(20, 80, 12)
    named = labelled(rows, 20)
    assert named == [0, *range(21 - len(named), 20)]
    assert f"+{20 - len(named)} more" in "".join(rows)


@pytest.mark.parametrize(("width", "expected"), [(120, "a long name "), (60, " long ")])
def test_a_short_name_stands_at_the_end_of_a_line_where_the_whole_one_has_no_room(
    width: int, expected: str
) -> None:
    drawing = ChartDrawing("nothing")
    x = np.arange(1.0, 20.0)
    name = "a long name of a run"
    drawing.set_lines([ChartLine("x", name, x, x, SERIES[0].dark, short="long")])
    legend, *rows = [strip.text for strip in drawing.strips(Size(width, 20), PALETTE)]
    assert name in legend
    assert any(f"{SERIES[0].glyph} {expected.strip()}" in row for row in rows)
    assert any(name in row for row in rows) == (width == 120)


def test_few_lines_keep_a_legend_with_the_best_values_above_the_plot() -> None:
    rows = chart(2, 100, 20)
    assert "◎" in rows[0]
    assert "run number 01" in rows[0]


def named_by_value(height: int, focus: int) -> list[str]:
    """The rows of a chart whose lines end at 3, 1, 2 and at nothing finite."""
    drawing = ChartDrawing("nothing")
    x = np.arange(1.0, 20.0)
    drawing.set_lines(
        [
            ChartLine(
                *(str(number), f"run {number}", x, end + 1 / x, SERIES[number].dark),
                glyph=SERIES[number].glyph,
                best="lowest",
                on_top=number == focus,
                in_focus=number == focus,
            )
            for number, end in enumerate((3.0, 1.0, 2.0, np.nan))
        ]
    )
    return [strip.text for strip in drawing.strips(Size(100, height), PALETTE)]


def test_the_legend_has_the_best_newest_value_first_and_marks_the_line_in_focus() -> None:
    legend = " ".join(named_by_value(40, focus=0)[:3])
    places = [legend.index(f"run {number}") for number in (1, 2, 0, 3)]
    assert places == sorted(places)
    assert f"{SERIES[0].glyph}▸run 0" in legend
    assert legend.count("▸") == 1


def test_labels_stand_in_the_order_of_the_values_and_say_what_ends_beyond_the_plot() -> None:
    drawing = ChartDrawing("nothing")
    x = np.arange(1.0, 20.0)
    ends = (2.00, 2.03, 2.01, 5.0, 2.02)
    drawing.set_lines(
        [
            ChartLine(
                *(str(number), f"run {number}", x, np.linspace(end + 0.01, end, 19)),
                SERIES[number].dark,
                SERIES[number].glyph,
                best="lowest",
                is_reference=number == 3,
            )
            for number, end in enumerate(ends)
        ]
    )
    drawing.left_out = 0.05
    rows = [strip.text for strip in drawing.strips(Size(100, 20), PALETTE)]
    labels = [row[-10:] for row in rows if "run" in row[-10:]]
    assert [label[label.index("run") :].strip() for label in labels] == [
        f"run {number}" for number in (3, 1, 4, 2, 0)
    ]
    beyond = [label for label in labels if "↑" in label]
    assert [f"{SERIES[3].glyph}↑run 3" in label for label in beyond] == [True]


def test_the_line_in_focus_has_a_place_in_a_legend_that_does_not_hold_all() -> None:
    entries = [
        LegendEntry("●", f"run {number}", "1.0", "", PLAIN, is_kept=number == 5)
        for number in range(6)
    ]
    legend = Legend(entries, (), 100, 1, PLAIN, PLAIN)
    (row,) = [strip.text for strip in legend.strips(1)]
    assert [number for number in range(6) if f"run {number}" in row] == [0, 1, 5]
    assert "+3 more" in row
