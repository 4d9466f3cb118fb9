"""Colours of sampled tokens: one ramp, on which a less likely token is brighter."""

import re
from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import Theme

import transformer_playground.tui.sample
from transformer_playground.tui.contrast import contrast
from transformer_playground.tui.sample.token_view import STYLES
from transformer_playground.tui.themes import THEMES

STYLESHEET = Path(transformer_playground.tui.sample.__file__).parent / "sample.tcss"


def contrasts(theme: Theme) -> list[float]:
    """Contrast of each level with the background of a theme."""
    background = Color.parse(theme.background or "")
    text = Color.parse(theme.foreground or "")
    shares = [re.search(r"\$foreground (\d+)%", style) for style in STYLES]
    colours = [background.blend(text, int(share[1]) / 100 if share else 1.0) for share in shares]
    return [contrast(colour, background) for colour in colours]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_a_less_likely_token_is_brighter_and_the_dimmest_is_readable(theme: Theme) -> None:
    found = contrasts(theme)
    assert found == sorted(found)
    assert len(set(found)) == 4
    assert found[0] >= 4.5


def test_only_the_least_likely_tokens_are_underlined_and_the_stylesheet_has_the_same_ramp() -> None:
    assert ["underline" in style for style in STYLES] == [False] * 4 + [True]
    rules = STYLESHEET.read_text(encoding="utf-8")
    for number, style in enumerate(STYLES):
        found = re.search(
            rf"token--{number} {{\s*color: ([^;]+);(?:\s*text-style: ([^;]+);)?", rules
        )
        assert found is not None
        assert set(style.split()) == {*found[1].split(), *(found[2] or "").split()}
