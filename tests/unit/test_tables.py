"""Tables for terminals, documents and spreadsheets."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from transformer_playground.tables import (
    Column,
    csv_text,
    escape_markdown,
    labelled_columns,
    markdown_table,
    split_columns,
    table_lines,
)

COLUMNS = [
    Column("run", ["a-rather-long-name", "b"]),
    Column("step", ["1", "2,000"], right_aligned=True, weight=3),
    Column("params", ["796k", "1.00M"], right_aligned=True, weight=1),
    Column("note", ["short", "漢字 and more"], weight=2),
]


def test_a_table_without_a_width_is_whole() -> None:
    assert table_lines(COLUMNS, None) == [
        "run                  step  params  note",
        "a-rather-long-name      1    796k  short",
        "b                   2,000   1.00M  漢字 and more",
    ]


def test_the_least_important_columns_go_first() -> None:
    headers = [table_lines(COLUMNS, width)[0].split() for width in (60, 44, 26, 20)]
    assert headers == [
        ["run", "step", "params", "note"],
        ["run", "step", "note"],
        ["run", "step"],
        ["run"],
    ]


def test_what_cannot_go_is_cut_the_longest_first() -> None:
    columns = [Column("id", ["x" * 30]), Column("value", ["y" * 50]), Column("n", ["12345678"])]
    (_, row) = table_lines(columns, 40)
    parts = row.split()
    assert [part[-1] for part in parts] == ["…", "…", "8"]
    assert [len(part) for part in parts] == [14, 14, 8], row


def test_a_column_that_is_to_stay_whole_is_cut_last() -> None:
    def row(width: int) -> str:
        columns = [Column("key", ["k" * 30], shrink_last=True), Column("v", ["y" * 50])]
        return table_lines([*columns, Column("by", ["z" * 50])], width)[1]

    assert row(80) == f"{'k' * 30}  {'y' * 22}…  {'z' * 22}…"
    assert row(50) == f"{'k' * 30}  {'y' * 7}…  {'z' * 7}…"
    assert row(40) == f"{'k' * 19}…  {'y' * 7}…  {'z' * 7}…"


def test_control_characters_become_visible() -> None:
    lines = table_lines([Column("\x1b[31m", ["a\nb\tc\x07"])], None)
    assert lines == ["␛[31m", "a␊b␉c␇"]


@pytest.mark.parametrize("width", [30, 40, 80])
@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=90)), min_size=1, max_size=3))
def test_no_line_is_wider_than_the_terminal(width: int, cells: list[tuple[str, str]]) -> None:
    columns = [Column(header, [cell]) for header, cell in cells]
    assert max(map(cell_len, table_lines(columns, width))) <= width


def test_a_table_is_cut_between_columns_and_repeats_its_labels() -> None:
    table = labelled_columns(("", "aaaa", "bbbb", "cc"), [("row", "1", "2", "3")])
    # 3 + (2 + 4) + (2 + 4) = 15; with the last column 19.
    assert split_columns(table, 19) == [table]
    assert split_columns(table, 18) == [
        labelled_columns(("", "aaaa", "bbbb"), [("row", "1", "2")]),
        labelled_columns(("", "cc"), [("row", "3")]),
    ]
    headers = [[column.header for column in piece] for piece in split_columns(table, 1)]
    assert headers == [["", "aaaa"], ["", "bbbb"], ["", "cc"]]


def test_markdown_shows_every_cell_as_it_is() -> None:
    columns = [Column("run", ["a|b", "__x__ snake_case"]), Column("n", [" <1>", "\n"], True)]
    assert markdown_table(columns) == [
        "| run | n |",
        "| :-- | --: |",
        r"| a\|b | \<1\> |",
        r"| \_\_x\_\_ snake_case |  |",
    ]


def test_markdown_keeps_no_control_character() -> None:
    assert escape_markdown("a\x1b[31m\nb#!") == r"a␛\[31m␊b\#\!"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str) -> None:
    ((name,), (cell,)) = csv.reader(io.StringIO(csv_text([text], [[text]])))
    assert name == cell
    assert cell.startswith("'")


def test_numbers_in_csv_stay_numbers_at_full_precision() -> None:
    row = [-0.1, 1e-05, -3, None, True, "a,b", ["x"]]
    assert csv_text(list("abcdefg"), [row], lambda value: f"<{value}>").splitlines() == [
        "a,b,c,d,e,f,g",
        "-0.1,1e-05,-3,,<True>,\"a,b\",<['x']>",
    ]


def test_csv_cells_are_one_line_without_control_characters() -> None:
    assert csv_text(["note"], [["two\nlines\x1b"]]).splitlines() == ["note", "two␊lines␛"]
