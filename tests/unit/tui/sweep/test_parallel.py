"""Parallel coordinates as characters."""

import re

import pytest
from rich.cells import cell_len

from builders.hostile import harm_in, hostile_texts
from builders.sweeps import GRID, additive, grid_states
from transformer_playground.sweeps.figures import (
    ParallelAxis,
    ParallelLine,
    parallel_coordinates,
)
from transformer_playground.tui.sweep.parallel import MOST_LINES, Row, parallel_rows

STATES = grid_states(additive)
AXES, LINES = parallel_coordinates(GRID.axes, STATES)


def text(row: Row) -> str:
    """A row without its colours."""
    return "".join(part for part, _ in row)


@pytest.mark.parametrize(("width", "height"), [(40, 6), (76, 10), (136, 14), (200, 40)])
def test_the_drawing_has_the_size_of_its_pane(width: int, height: int) -> None:
    rows = parallel_rows(AXES, LINES, (), width, height)

    assert len(rows) == height
    assert {cell_len(text(row)) for row in rows} == {width}


def test_axes_have_their_names_and_ticks_and_lines_meet_them() -> None:
    titles, *rows = [text(row) for row in parallel_rows(AXES, LINES, (), 76, 12)]

    assert titles.split() == ["norm", "learning_rate", "tokens/s", "val", "loss"]
    assert rows[0].startswith("layernorm┤")
    assert rows[0][10] != " "
    assert rows[-1].startswith("  rmsnorm┤")
    assert rows[-1][10] != " "
    # The best loss is at the bottom.
    assert rows[-1].rstrip().endswith("2.0100┤")
    assert rows[0].rstrip().endswith("3.1200┤")


def test_labels_stand_apart_from_the_lines_before_them() -> None:
    rows = [text(row) for row in parallel_rows(AXES, LINES, (), 76, 12)[1:]]

    labels = [re.search(r"(.)3\.1200┤$", row) for row in rows]
    (before,) = [found.group(1) for found in labels if found]
    assert before == " "


def test_a_narrow_pane_leaves_out_the_speed_and_keeps_the_loss() -> None:
    titles = text(parallel_rows(AXES, LINES, (), 44, 8)[0])

    assert "tokens/s" not in titles
    assert titles.rstrip().endswith("val loss")


def test_the_runs_under_the_cursor_are_brought_out() -> None:
    best = LINES[-1].state.row
    assert best is not None

    rows = parallel_rows(AXES, LINES, {best.run_id}, 76, 12)

    inks = {ink for row in rows for _, ink in row}
    assert "current" in inks
    assert "current" not in {
        ink for row in parallel_rows(AXES, LINES, (), 76, 12) for _, ink in row
    }


def test_a_run_without_a_speed_has_no_line_to_that_axis() -> None:
    axes = (
        ParallelAxis("a", "setting", ((0.0, "x"),)),
        ParallelAxis("val loss", "loss", ((0.0, "1.0"),)),
    )
    lines = (ParallelLine(STATES[0], (None, 0.0), 0.0),)

    rows = parallel_rows(axes, lines, (), 40, 6)

    assert not any(0x2800 <= ord(char) < 0x2900 for row in rows for char in text(row))


def test_only_the_best_of_many_lines_are_drawn() -> None:
    axes = (
        ParallelAxis("a", "setting", ((0.0, "x"),)),
        ParallelAxis("val loss", "loss", ((0.0, "1.0"),)),
    )
    worst = ParallelLine(STATES[0], (1.0, 1.0), 1.0)
    best = ParallelLine(STATES[0], (0.0, 0.0), 0.0)

    rows = parallel_rows(axes, (worst, *[best] * MOST_LINES), (), 40, 6)

    drawn = [any(0x2800 < ord(char) < 0x2900 for char in text(row)) for row in rows]
    assert drawn == [False] * 5 + [True]


def test_no_axis_shows_what_a_terminal_obeys() -> None:
    for hostile in hostile_texts(40, seed=9):
        axes = (
            ParallelAxis(hostile, "setting", ((0.0, hostile), (1.0, "b"))),
            ParallelAxis("val loss", "loss", ((0.0, "1.0"),)),
        )
        for row in parallel_rows(axes, (), (), 50, 8):
            assert harm_in(text(row), one_line=True) is None
