"""Contrast of colours by WCAG 2, and theme colours that can be told from their background."""

from collections.abc import Mapping
from functools import lru_cache

from textual.color import BLACK, WHITE, Color

MIN_CONTRAST = 3.0
"""Minimum contrast ratio of lines, borders and symbols (WCAG 2, success criterion 1.4.11)."""
MIN_TEXT_CONTRAST = 4.5
"""Minimum contrast ratio of text (success criterion 1.4.3)."""
_STEPS = 40
_ROLES = ("primary", "secondary", "accent", "warning", "error", "success", "foreground")
_MUTED = 0.66
# The terminal defines the colours of these themes; this one is grey in every common palette.
_ANSI_LINE = "ansi_bright_black"


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio of two opaque colours, from 1 (equal) to 21 (black on white)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# A theme's variables are asked for several times at the start.
@lru_cache(maxsize=256)
def readable(colour: Color, *backgrounds: Color, least: float = MIN_CONTRAST) -> Color:
    """The colour, lighter or darker as far as it needs for a contrast with the backgrounds."""
    if any(each.ansi is not None for each in (colour, *backgrounds)):
        return colour
    end = max(WHITE, BLACK, key=lambda each: min(contrast(each, on) for on in backgrounds))
    for step in range(_STEPS + 1):
        candidate = colour.blend(end, step / _STEPS, alpha=1)
        if all(contrast(candidate, on) >= least for on in backgrounds):
            return candidate
    return end


def dimmed(colour: Color, background: Color, share: float) -> Color:
    """`share` of the colour mixed with its background, or more as `MIN_CONTRAST` needs it."""
    if background.ansi is not None:
        # As the colour of a line this is the terminal's own text colour.
        return background
    for step in range(_STEPS + 1):
        candidate = background.blend(colour, share + (1 - share) * step / _STEPS, alpha=1)
        if contrast(candidate, background) >= MIN_CONTRAST:
            return candidate
    return readable(colour, background)


def readable_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """A theme's CSS variables with readable colours.

    `line` is for borders, grids and scroll bars, `cursor` for the background of the cursor's row,
    and `text-muted` can be read on it.
    """
    background, surface = (Color.parse(variables[name]) for name in ("background", "surface"))
    if background.ansi is not None:
        own = {"line": _ANSI_LINE, "text-muted": _ANSI_LINE}
        return {**variables, **own, "cursor": variables["panel-lighten-2"]}
    changed = {
        name: readable(Color.parse(variables[name]), background, surface).hex for name in _ROLES
    }
    panel, *cursors = (
        Color.parse(variables[name]) for name in ("panel", "panel-lighten-2", "panel-darken-1")
    )
    line = readable(cursors[0], background, surface, panel)
    cursor = max(cursors, key=lambda each: contrast(each, background))
    muted = readable(
        background.blend(Color.parse(variables["foreground"]), _MUTED, alpha=1),
        *(background, surface, panel, cursor),
        least=MIN_TEXT_CONTRAST,
    )
    own = {
        "line": line.hex,
        "scrollbar": line.hex,
        "cursor": cursor.hex,
        "text-muted": muted.hex,
    }
    return {**variables, **changed, **own}
