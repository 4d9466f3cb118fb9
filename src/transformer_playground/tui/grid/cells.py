"""Charts of the grid: the lines of each run or quantity, from a frame of the followers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from transformer_playground.runs.series import Curve
from transformer_playground.tui.charts.grid import GridCell
from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.live.chart_series import RunStyle, earlier_line, small_line
from transformer_playground.tui.live.follower import LiveFrame, RunCurves
from transformer_playground.tui.live.quantities import CurveSpec, Quantity


def run_cells(
    frame: LiveFrame,
    shown: Sequence[str],
    styles: Mapping[str, RunStyle],
    baseline: str | None,
) -> list[GridCell]:
    """One chart for each run; faint behind it the baseline and what a branch continues.

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
        for earlier in frame.before:
            main = _main_curve(quantity, earlier.curves)
            if earlier.branch == run_id and main is not None:
                lines.append(earlier_line(earlier, *main, quantity, styles[run_id]))
        cells.append(GridCell(run_id, styles[run_id].label, lines, quantity.left_out))
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
    for place, (quantity, curves) in enumerate(
        zip(frame.request.beside, focus.beside, strict=True)
    ):
        lines = [
            small_line(focus.run_id, spec, curve, quantity, style)
            for spec, curve in zip(quantity.curves, curves, strict=True)
            if len(curve.x)
        ]
        # The primary curve is what the title says.
        lines.sort(key=lambda line: line.style != "thick")
        for earlier in frame.before:
            lines += [
                earlier_line(earlier, spec, curve, quantity, style)
                for spec, curve in zip(quantity.curves, earlier.beside[place], strict=True)
                if len(curve.x)
            ]
        yield GridCell(quantity.id, quantity.title, lines, quantity.left_out)
