"""Themes, and the colours and glyphs of runs.

The colours are those of Okabe and Ito (2008, "Color Universal Design"), which people with colour
vision deficiencies can tell apart. Each run also has a glyph of its own, so nothing depends on
colour alone: filled shapes first, then their outlines, then letters.
"""

from typing import NamedTuple

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
    primary="#006aa6",
    secondary="#006b50",
    accent="#984b00",
    foreground="#1d232a",
    background="#fbfaf7",
    surface="#f2f0eb",
    panel="#e6e3dc",
    success="#006b50",
    warning="#7a5600",
    error="#b03a00",
    dark=False,
    variables={"footer-key-foreground": "#984b00", "block-cursor-text-style": "none"},
)
THEMES = (DARK, LIGHT)


class Series(NamedTuple):
    """Glyph and colour of a run in tables and charts."""

    glyph: str
    dark: str
    light: str

    def colour(self, *, dark: bool) -> str:
        return self.dark if dark else self.light


_COLOURS = (
    ("#56b4e9", "#0072b2"),
    ("#e69f00", "#9c5c00"),
    ("#2fbf8f", "#00795a"),
    ("#cc79a7", "#a34a7f"),
    ("#e8704a", "#c24a12"),
    ("#f0e442", "#857c00"),
)
# Letters that resemble a sign of the charts or one another are left out.
_GLYPHS = "●▲■◆★✚○△□◇☆▼ABCDEFGHJKLMNPQRTU"


def _series(place: int) -> Series:
    """A run's series; the outline of a shape has another colour than the shape."""
    turn, number = divmod(place, len(_COLOURS))
    dark, light = _COLOURS[(number + turn * len(_COLOURS) // 2) % len(_COLOURS)]
    return Series(_GLYPHS[place], dark, light)


SERIES = tuple(map(_series, range(len(_GLYPHS))))
# For runs beyond those with their own glyph.
PLAIN = Series("·", "#7b8591", "#6c747e")


def series_of(slot: int | None) -> Series:
    """Glyph and colour of a run by its slot in the workspace; None has no own colour."""
    return PLAIN if slot is None else SERIES[slot]


# Each widget class has its own rules; the console has more than Textual's limit of 64.
_MAX_CACHED_SOURCES = 512


class CachedStylesheet(Stylesheet):
    """Textual's stylesheet, which keeps parsed rules instead of parsing them again for each view.

    Rules are parsed again when a variable has changed.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(_MAX_CACHED_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        self.parse()
