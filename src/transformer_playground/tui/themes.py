"""Themes, and the colours of runs.

Runs take the colours of Okabe and Ito (2008, "Color Universal Design"), which people with colour
vision deficiencies tell apart; a glyph goes with each so that no meaning hangs on colour alone.
"""

from dataclasses import dataclass

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet
from textual.theme import Theme

DARK = Theme(
    name="playground-dark",
    primary="#56b4e9",
    secondary="#009e73",
    accent="#e69f00",
    foreground="#d7dbe0",
    background="#11151a",
    surface="#171c22",
    panel="#20262e",
    success="#2fbf8f",
    warning="#e6b800",
    error="#e8704a",
    dark=True,
    variables={"footer-key-foreground": "#e69f00", "block-cursor-text-style": "none"},
)
LIGHT = Theme(
    name="playground-light",
    primary="#0072b2",
    secondary="#00795a",
    accent="#a35200",
    foreground="#1d232a",
    background="#fbfaf7",
    surface="#f2f0eb",
    panel="#e6e3dc",
    success="#00795a",
    warning="#8a6100",
    error="#b03a00",
    dark=False,
    variables={"footer-key-foreground": "#a35200", "block-cursor-text-style": "none"},
)
THEMES = (DARK, LIGHT)


@dataclass(frozen=True)
class Series:
    """How a run looks in tables and charts."""

    glyph: str
    dark: str
    light: str

    def colour(self, *, dark: bool) -> str:
        """Its colour on this kind of background."""
        return self.dark if dark else self.light


SERIES = (
    Series("●", "#56b4e9", "#0072b2"),
    Series("▲", "#e69f00", "#b36b00"),
    Series("■", "#2fbf8f", "#00795a"),
    Series("◆", "#cc79a7", "#a34a7f"),
    Series("★", "#e8704a", "#c24a12"),
    Series("✚", "#f0e442", "#857c00"),
)
# Runs beyond those with a colour of their own.
PLAIN = Series("·", "#7b8591", "#7d8590")
# Each class of widgets brings its own rules; Textual's 64 are fewer than a console has.
_SOURCES = 512


class LastingStylesheet(Stylesheet):
    """Textual's stylesheet, but it parses rules once, not again for each view.

    Rules are read again where the colours that they name have changed.

    Args:
        variables: Name of a variable -> its value.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take over variables; the same ones again change nothing."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Bring the rules up to date with their sources and the variables."""
        self.parse()
