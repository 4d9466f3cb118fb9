"""Columns of the comparison table and how they fit."""

from pathlib import Path

from builders.comparisons import finished_run
from transformer_playground.comparison.compare import compare_folders
from transformer_playground.comparison.leaderboard import Leaderboard, leaderboard
from transformer_playground.tui.compare.table_state import (
    CURVE_KEY,
    Row,
    columns_of,
    name_width,
    row_cells,
)


def board_of(tmp_path: Path, **settings: object) -> tuple[Leaderboard, list[Row]]:
    runs = [
        finished_run(tmp_path, "one", 2.0, model=dict.fromkeys(settings, "a")),
        finished_run(tmp_path, "two", 1.5, model=settings, parameters=5000),
    ]
    board = leaderboard(compare_folders(runs))
    rows = [
        Row(entry.name, entry.name, "●", "red", row_cells(entry.cells)) for entry in board.entries
    ]
    return board, rows


def test_settings_are_named_by_their_last_part_in_two_lines_if_need_be(tmp_path: Path) -> None:
    board, rows = board_of(tmp_path, positional_encoding="rope")
    column, *_ = columns_of(board, rows, 200)
    assert column.lines == ("positional_", "encoding")
    assert column.width == len("positional_")


def test_differences_of_all_metrics_are_shown_only_where_they_fit(tmp_path: Path) -> None:
    board, rows = board_of(tmp_path, norm="b")
    wide = {column.key: column.shift for column in columns_of(board, rows, 200)}
    narrow = {column.key: column.shift for column in columns_of(board, rows, 90)}
    assert wide["parameters"] > 0
    assert narrow["parameters"] == 0
    assert narrow["best_val_loss"] == wide["best_val_loss"] > 0
    assert wide[CURVE_KEY] == 0


def test_the_validation_loss_comes_first_where_it_would_not_be_seen(tmp_path: Path) -> None:
    board, rows = board_of(tmp_path, **{f"setting_{number}": "x" * 12 for number in range(6)})
    assert columns_of(board, rows, 200)[0].key == "model.setting_0"
    columns = columns_of(board, rows, 60)
    assert columns[0].key == "best_val_loss"
    # Each column still knows its cell.
    assert rows[0].cells[columns[0].place].value() == "1.5000 ◎"
    assert name_width(rows, 60) + columns[0].total <= 60
