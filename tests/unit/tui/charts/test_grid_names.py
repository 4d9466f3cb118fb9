"""Names and values of small charts: which of many lines a title and a legend have room for."""

import numpy as np
from rich.style import Style
from textual.color import Color

from transformer_playground.tui.charts.grid_names import (
    entries_of,
    has_room_for_best,
    legend_rows,
    legend_strips,
    title_strip,
)
from transformer_playground.tui.charts.modes import AS_MEASURED, SMOOTHINGS, ChartModes
from transformer_playground.tui.charts.series import ChartLine, PreparedLine, ranked
from transformer_playground.tui.charts.strips import Palette

PLAIN = Style()
PALETTE = Palette(PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, Color.parse("#000000"))


def line(name: str, y: list[float], *, best: bool = True, in_legend: bool = True) -> PreparedLine:
    made = ChartLine(
        name,
        f"run {name}",
        np.arange(len(y), dtype=float),
        np.array(y),
        "#56b4e9",
        name,
        best="lowest" if best else None,
        in_legend=in_legend,
    )
    return PreparedLine(made, log=False, smoothing=0)


def title(lines: list[PreparedLine], width: int, at: float | None = None, note: str = "") -> str:
    entries = entries_of(lines, at, PALETTE)
    return title_strip("loss", note, entries, width, PALETTE, PLAIN).text


LINES = [line("a", [3.0, 1.0, 2.0]), line("b", [2.0, 2.5]), line("c", [1.0, 3.0, 0.5])]


def test_the_best_line_comes_first_at_the_cursor_and_without_one_at_the_end() -> None:
    def order(at: float | None) -> str:
        return "".join(each.line.glyph for each in ranked(LINES, at))

    assert [order(at) for at in (None, 0, 1, 2)] == ["cab", "cba", "abc", "cab"]
    # Where no value is better they stay in their order; what the legend leaves out has no name.
    others = [line("x", [9.0], best=False), line("y", [1.0], best=False)]
    shown = ranked([*others, line("z", [0.0], in_legend=False), *LINES], None)
    assert "".join(each.line.glyph for each in shown) == "cabxy"


def test_a_title_has_the_values_of_as_many_lines_as_fit_the_best_first() -> None:
    assert title(LINES, 40, 1.0) == "loss" + 10 * " " + "a 1.0000 b 2.5000 c 3.0000"
    assert title(LINES, 26, 1.0) == "loss" + 5 * " " + "a 1.0000 b 2.5000"
    assert title(LINES, 16, 1.0) == "loss" + 4 * " " + "a 1.0000"
    # A run that had ended at the cursor is the last.
    assert title(LINES, 40, 2.0).split() == ["loss", "c", "0.5000", "a", "2.0000", "b", "–"]
    # How the chart is drawn comes before further values.
    assert title(LINES, 30, 1.0, "log") == "loss log" + 5 * " " + "a 1.0000 b 2.5000"
    assert title(LINES, 16, 1.0, "log") == title(LINES, 16, 1.0)
    for width in range(60):
        for entries in (entries_of(LINES, None, PALETTE), ()):
            strip = title_strip("a title", "log", entries, width, PALETTE, PLAIN)
            assert strip.cell_length == width


def test_a_title_of_one_line_has_its_sign_and_best_value() -> None:
    assert title(LINES[:1], 30) == "a loss" + 9 * " " + "2.0000 ◎ 1.0000"
    entries = entries_of(LINES[:1], None, PALETTE)
    plain = title_strip("loss", "", entries, 30, PALETTE, PLAIN, has_best=False)
    assert plain.text == "a loss" + 18 * " " + "2.0000"
    assert [has_room_for_best("loss", entries, width) for width in (21, 22)] == [False, True]
    assert has_room_for_best("loss", entries_of(LINES, None, PALETTE), 1)
    assert title([], 10) == "  loss    "


def test_the_legend_names_the_lines_with_their_values_in_the_selected_chart() -> None:
    entries = entries_of(LINES, 1.0, PALETTE)
    (only,) = legend_strips("loss", "1", entries, 100, 1, PALETTE)
    shown = " ".join(only.text.split())
    assert shown == "loss @ 1 a run a 1.0000 b run b 2.5000 c run c 3.0000"
    first, second = legend_strips("loss", "", entries, 70, 2, PALETTE)
    assert first.text.startswith("loss  ")
    assert second.text.startswith(" " * 22 + "c run c")
    assert {strip.cell_length for strip in (first, second)} == {70}
    many = [line(chr(97 + number), [1.0]) for number in range(20)]
    (crowded,) = legend_strips("loss", "", entries_of(many, None, PALETTE), 80, 1, PALETTE)
    assert "more" in crowded.text


def test_a_legend_takes_few_rows_of_a_small_grid_and_none_of_a_single_run() -> None:
    assert legend_rows(1, 140, 45) == 0
    assert legend_rows(2, 140, 45) == 1
    assert legend_rows(20, 76, 20) == 1
    assert legend_rows(20, 136, 41) == 2
    assert legend_rows(20, 196, 56) == 3


def test_each_quantity_has_a_mode_of_its_own() -> None:
    modes = ChartModes(["loss", 3])
    assert modes.of("loss").text == "log"
    for weight in (*SMOOTHINGS[1:], 0.0):
        modes.change("lr", lambda mode: mode.smoother)
        assert modes.of("lr").smoothing == weight
        assert modes.of("lr").text == (f"smooth {weight:.2f}" if weight else "")
    assert modes.of("lr") == modes.of("else") == AS_MEASURED
    assert modes.logarithmic == ["loss"]
