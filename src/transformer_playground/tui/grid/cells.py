"""Charts of the grid: the lines of each run or quantity, from a frame of the followers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from transformer_playground.tui.charts.grid import GridCell
from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.live.chart_series import RunStyle, small_line
from transformer_playground.tui.live.follower import LiveFrame, RunCurves
from transformer_playground.tui.live.quantities import Quantity


def run_cells(
    frame: LiveFrame,
    shown: Sequence[str],
    styles: Mapping[str, RunStyle],
    baseline: str | None,
) -> list[GridCell]:
    """One chart for each run, with the curve of the baseline faint behind it.

    Args:
        shown: The runs of the page.
        styles: Those of the runs and of the baseline.
    """
    quantity = frame.request.quantity
    known = {run.run_id: run for run in frame.runs}
    behind = _main_line(known[baseline], quantity, styles[baseline]) if baseline in known else None
    cells = []
    for run_id in shown:
        own = _main_line(known[run_id], quantity, styles[run_id]) if run_id in known else None
        lines = [] if own is None else [own]
        if behind is not None and run_id != baseline:
            lines.append(
                replace(
                    behind,
                    key=f"baseline/{behind.key}",
                    colour=styles[baseline or ""].faint,
                    style="dim",
                    best=None,
                    has_markers=False,
                    in_legend=False,
                )
            )
        cells.append(GridCell(run_id, styles[run_id].label, lines, quantity.left_out))
    return cells


def _main_line(run: RunCurves, quantity: Quantity, style: RunStyle) -> ChartLine | None:
    """The primary curve, else the first one with points."""
    pairs = zip(quantity.curves, run.curves, strict=True)
    found = [(spec, curve) for spec, curve in pairs if len(curve.x)]
    if not found:
        return None
    spec, curve = next((pair for pair in found if pair[0].is_primary), found[0])
    line = small_line(run.run_id, spec, curve, quantity, style)
    return replace(line, colour=style.colour, on_top=True)


def quantity_cells(frame: LiveFrame, shown: Sequence[str], style: RunStyle) -> list[GridCell]:
    """One chart for each quantity of the run in focus, with all of its curves.

    Args:
        shown: Ids of the quantities of the page.
    """
    return [cell for cell in _quantity_cells(frame, style) if cell.key in shown]


def _quantity_cells(frame: LiveFrame, style: RunStyle) -> Iterator[GridCell]:
    focus = frame.focus
    if focus is None:
        return
    for quantity, curves in zip(frame.request.beside, focus.beside, strict=True):
        lines = [
            small_line(focus.run_id, spec, curve, quantity, style)
            for spec, curve in zip(quantity.curves, curves, strict=True)
            if len(curve.x)
        ]
        # The primary curve is what the title says.
        lines.sort(key=lambda line: line.style != "thick")
        yield GridCell(quantity.id, quantity.title, lines, quantity.left_out)
