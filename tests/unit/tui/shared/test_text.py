"""Shortening of texts to a width in cells, bars and titles."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from transformer_playground.tui.shared.text import (
    one_line,
    progress_bar,
    shorten,
    shorten_middle,
    shorten_start,
    title_lines,
    typed_number,
)

TEXTS = ["", "short", "x" * 100, "宽" * 50, "a宽" * 30, "宽" * 6, "é" * 20]


@pytest.mark.parametrize("text", TEXTS)
def test_a_long_name_keeps_both_ends_within_its_width(text: str) -> None:
    cut = shorten_middle(text, 11)
    assert cell_len(cut) <= 11
    assert cut == text or ("…" in cut and cut[0] == text[0] and (cut[-1] == text[-1]))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("cut", [shorten, shorten_middle, shorten_start])
def test_a_shortened_text_fits_any_width_and_wastes_no_space(
    cut: Callable[[str, int], str], text: str
) -> None:
    for width in range(15):
        found = cut(text, width)
        assert cell_len(found) <= width
        # A wide character may leave one free cell at each cut.
        assert found == text or cell_len(found) >= width - 2


def test_the_end_of_a_text_of_wide_characters_is_kept_in_full() -> None:
    assert shorten_start("宽" * 5, 8) == "…宽宽宽"
    assert shorten_start("words", 3) == "…ds"


def test_a_long_title_has_two_lines_broken_where_both_are_short() -> None:
    assert title_lines("positional_encoding", 8) == ("positional_", "encoding")
    assert title_lines("tokens per second", 8) == ("tokens", "per second")
    assert title_lines("lr", 4) == ("lr",)
    assert title_lines("n_layer", 4) == ("n_layer",)
    assert title_lines("optimizer", 4) == ("optimizer",)


def test_a_progress_bar_counts_half_cells() -> None:
    assert progress_bar(0, 4) == ("", "────")
    assert progress_bar(40, 4) == ("━╸", "──")
    assert progress_bar(100, 4) == ("━━━━", "")


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        *((" 12 ", 12), ("41,216", 41_216), ("1.000.000", 1_000_000), ("1 000", 1_000)),
        *(("999999999999", 999_999_999_999), ("9999999999999", None), ("9" * 5_000, None)),
        *(("12.5", None), ("1,000.000", None), ("", None), ("-1", None), ("1e3", None)),
    ],
)
def test_a_number_is_whole_short_and_separated_by_thousands(typed: str, number: int | None) -> None:
    assert typed_number(typed) == number


def test_a_text_in_one_line_shows_its_breaks_and_hides_control_characters() -> None:
    assert one_line("a\n\tb\r\x1b[31m") == "a⏎ b␍␛[31m"
