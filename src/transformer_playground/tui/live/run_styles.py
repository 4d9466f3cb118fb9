"""Glyph, colours and name of each run in the charts of a view."""

from collections.abc import Iterable
from typing import Any

from textual.app import App
from textual.color import Color

from transformer_playground.tui.contrast import dimmed
from transformer_playground.tui.live.chart_series import RunStyle
from transformer_playground.tui.shared.view import View
from transformer_playground.tui.themes import series_of

# Shares of a colour that are mixed with the background.
_FAINT, _MUTED = 0.5, 0.35


def muted_colour(app: App[Any]) -> str:
    """The colour of lines that are set back: that of text, mixed with the background."""
    background = Color.parse(app.current_theme.background or "#000000")
    return dimmed(Color.parse(app.theme_variables["foreground"]), background, _MUTED).hex


def run_styles(
    view: View, run_ids: Iterable[str], *, on_top: str | None = None
) -> dict[str, RunStyle]:
    """Run id -> style.

    Args:
        on_top: The run in focus; it and the baseline are drawn over the others.
    """
    workspace, theme = view.context.workspace, view.app.current_theme
    background = Color.parse(theme.background or "#000000")
    plain = Color.parse(view.app.theme_variables["foreground"]).hex
    muted = muted_colour(view.app)
    ids = tuple(run_ids)
    names = view.context.short_names(ids)
    styles = {}
    for run_id in ids:
        slot = workspace.slot(run_id)
        # A run that is shown because none is chosen has no slot.
        series = series_of(0 if slot is None and len(ids) == 1 else slot)
        colour = series.colour(dark=theme.dark)
        styles[run_id] = RunStyle(
            view.context.name_of(run_id),
            series.glyph,
            colour,
            dimmed(Color.parse(colour), background, _FAINT).hex,
            plain,
            run_id in (workspace.baseline, on_top),
            names[run_id],
            muted,
            run_id == on_top,
        )
    return styles
