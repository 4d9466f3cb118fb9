"""Shortening of texts to a width in cells."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from transformer_playground.tui.shared.text import shorten, shorten_middle, shorten_start

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
