"""Charts of the grid: the lines of each run or quantity, from a frame of the followers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transformer_playground.runs.series import Curve
from transformer_playground.tui.charts.grid import GridCell
from transformer_playground.tui.charts.modes import AS_MEASURED, ChartMode, ChartModes
from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.live.chart_series import (
    RunStyle,
    earlier_line,
    run_lines,
    small_line,
)
from transformer_playground.tui.live.follower import LiveFrame, RunCurves
from transformer_playground.tui.live.quantities import CurveSpec, Quantity


def run_cells(
    frame: LiveFrame,
    shown: Sequence[str],
    styles: Mapping[str, RunStyle],
    baseline: str | None,
    mode: ChartMode = AS_MEASURED,
) -> list[GridCell]:
    """One chart for each run; faint behind it the baseline and what a branch continues.

    Args:
        shown: The runs of the page.
        styles: Those of the runs and of the baseline.
        mode: How the quantity is drawn.
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
                    on_top=False,
                    in_legend=False,
                )
            )
        for earlier in frame.before:
            main = _main_curve(quantity, earlier.curves)
            if earlier.branch == run_id and main is not None:
                lines.append(earlier_line(earlier, *main, quantity, styles[run_id]))
        cells.append(GridCell(run_id, styles[run_id].label, lines, quantity.left_out, mode))
    return cells


def _main_line(run: RunCurves, quantity: Quantity, style: RunStyle) -> ChartLine | None:
    main = _main_curve(quantity, run.curves)
    if main is None:
        return None
    line = small_line(run.run_id, *main, quantity, style)
    return replace(line, colour=style.colour, on_top=True)


def _main_curve(quantity: Quantity, curves: Sequence[Curve]) -> tuple[CurveSpec, Curve] | None:
    """The primary curve, else the first one with points."""
    pairs = zip(quantity.curves, curves, strict=True)
    found = [(spec, curve) for spec, curve in pairs if len(curve.x)]
    return next((pair for pair in found if pair[0].is_primary), found[0]) if found else None


def quantity_cells(
    frame: LiveFrame,
    shown: Sequence[str],
    styles: Mapping[str, RunStyle],
    modes: ChartModes,
) -> list[GridCell]:
    """One chart for each quantity with the curves of all runs, as Live draws them.

    Faint behind them is what the run in focus continues.

    Args:
        frame: Of a request with the further quantities of all runs.
        shown: Ids of the quantities of the page.
        styles: Run id -> style.
        modes: How each quantity is drawn.
    """
    return [
        _quantity_cell(frame, place, quantity, styles, modes.of(quantity.id))
        for place, quantity in enumerate(frame.request.beside)
        if quantity.id in shown
    ]


def _quantity_cell(
    frame: LiveFrame,
    place: int,
    quantity: Quantity,
    styles: Mapping[str, RunStyle],
    mode: ChartMode,
) -> GridCell:
    curves = {run.run_id: run.beside[place] for run in frame.runs}
    lines = run_lines(curves, quantity, styles, is_smoothed=mode.smoothing > 0)
    if len(frame.runs) == 1:
        # A dense line that is alone needs no signs.
        lines = [replace(line, has_markers=line.style == "thick") for line in lines]
    for earlier in frame.before:
        lines += [
            earlier_line(earlier, spec, curve, quantity, styles[earlier.branch])
            for spec, curve in zip(quantity.curves, earlier.beside[place], strict=True)
            if len(curve.x)
        ]
    parts = (mode.text, "all" if mode.shows_all else "")
    note = " · ".join(part for part in parts if part)
    return GridCell(quantity.id, quantity.title, lines, quantity.left_out, mode, note)
