"""Validation curves of compared runs over each other."""

from typing import TYPE_CHECKING

from transformer_playground.runs.series import Axis
from transformer_playground.tui.state.comparing import Compared
from transformer_playground.tui.state.lines import ChartLine
from transformer_playground.tui.themes import PLAIN, SERIES
from transformer_playground.tui.widgets.chart import Chart

if TYPE_CHECKING:
    from transformer_playground.tui.app import Console

_LABELS: dict[Axis, str] = {"step": "step", "tokens": "tokens", "time": "time trained"}


class ComparisonCurves(Chart):
    """The baseline lies on top; each line's lowest point is marked."""

    def __init__(self) -> None:
        super().__init__(
            id="compare-curves",
            classes="compare-pane pane",
            empty="none of these runs has been evaluated yet",
        )
        self.title = "validation loss"

    def show(self, console: "Console", compared: Compared) -> None:
        """Draw these runs."""
        axis = compared.request.axis
        self.x_label = _LABELS[axis]
        self.x_kind = "seconds" if axis == "time" else "linear"
        first = next(iter(compared.curves), None)
        lines = []
        for run_id, curve in compared.curves.items():
            slot = console.workspace.slot(run_id)
            series = PLAIN if slot is None else SERIES[slot]
            lines.append(
                ChartLine(
                    key=run_id,
                    label=run_id,
                    x=curve.x,
                    y=curve.y,
                    colour=series.colour(dark=console.current_theme.dark),
                    glyph=series.glyph,
                    on_top=run_id == first,
                    best="lowest",
                )
            )
        self.set_lines(lines)
