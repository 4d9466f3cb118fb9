"""Chart series of the live view: which runs are shown, and their curves as lines of the chart."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from transformer_playground.evaluation.baseline import USUAL_ORDER
from transformer_playground.runs.series import Curve
from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.live.follower import EarlierCurves, LiveFrame
from transformer_playground.tui.live.quantities import CurveSpec, Quantity

# Beyond as many runs only primary curves are drawn, and beyond these most of them are set back.
_MOST_WITH_ALL, _MOST_IN_FULL = 3, 8
_NGRAM_QUANTITY = "loss"
_THIN_GLYPH, _BASELINE_GLYPH = "─", "┄"


@dataclass(frozen=True)
class RunStyle:
    """How a run is drawn.

    Attributes:
        label: What the run is called.
        faint: Its colour blended with the background.
        plain: The colour of text, for the primary curve of a run that is alone.
        muted: The colour of the lines that many runs have in common.
        on_top: Whether it is drawn over the others.
        in_focus: Whether it is the run in focus, which the legend marks.
        short: Its name where there is little room; empty for the label.
    """

    label: str
    glyph: str
    colour: str
    faint: str
    plain: str
    on_top: bool = False
    short: str = ""
    muted: str = "#808080"
    in_focus: bool = False


def chart_lines(
    frame: LiveFrame,
    styles: Mapping[str, RunStyle],
    *,
    is_smoothed: bool,
    has_baseline: bool = True,
) -> list[ChartLine]:
    """The curves of a frame, primary ones first.

    A run alone has a thick primary curve in the colour of text and a thin other one in its own
    colour. Of several runs the other curves are faint, and beyond three they are left out; beyond
    eight `set_back` applies. What the run in focus continues is faint, too. The loss of n-grams of
    the same dataset is a horizontal line.

    Args:
        is_smoothed: Whether the chart smooths its lines.
        has_baseline: Whether to draw the line of n-grams.
    """
    curves = {run.run_id: run.curves for run in frame.runs}
    found = run_lines(curves, frame.request.quantity, styles, is_smoothed=is_smoothed)
    found += _earlier_lines(frame, styles)
    focus = styles.get(frame.request.focus or "")
    if has_baseline and focus is not None and found:
        found += _baseline_lines(frame, focus, found)
    return found


def run_lines(
    curves: Mapping[str, Sequence[Curve]],
    quantity: Quantity,
    styles: Mapping[str, RunStyle],
    *,
    is_smoothed: bool,
) -> list[ChartLine]:
    """The curves of runs, primary ones first; drawn as `chart_lines` says.

    Args:
        curves: Run id -> one for each curve of the quantity.
        quantity: What they show.
        styles: Run id -> style.
        is_smoothed: Whether the chart smooths its lines.
    """
    is_single, is_crowded = len(curves) == 1, len(curves) > _MOST_WITH_ALL
    lines: list[tuple[bool, ChartLine]] = []
    for run_id, own in curves.items():
        for spec, curve in _shown_curves(quantity, own, is_crowded=is_crowded):
            is_other = not spec.is_primary and len(quantity.curves) > 1
            line = curve_line(
                run_id,
                spec,
                curve,
                quantity,
                styles[run_id],
                is_single=is_single,
                is_other=is_other,
                is_smoothed=is_smoothed,
            )
            lines.append((is_other, line))
    muted = next((style.muted for style in styles.values()), "")
    return set_back([line for _, line in sorted(lines, key=lambda item: item[0])], muted)


def set_back(lines: Sequence[ChartLine], muted: str) -> list[ChartLine]:
    """The lines of a chart; of many all but those on top and the best are thin and in one colour.

    So the runs that matter stand out from a band of others, which keep their names in the legend.

    Args:
        lines: Those in the legend stand for a run each.
        muted: The colour.
    """
    if sum(line.in_legend for line in lines) <= _MOST_IN_FULL:
        return list(lines)
    values = [_lowest(line) for line in lines]
    best = lines[values.index(min(values))] if min(values) < math.inf else None
    return [
        line
        if line is best or line.on_top or not line.in_legend
        else replace(line, colour=muted, style="line", has_markers=False, set_back=True)
        for line in lines
    ]


def _lowest(line: ChartLine) -> float:
    """The best value of a line that marks it."""
    finite = line.y[np.isfinite(line.y)] if line.best == "lowest" and line.in_legend else ()
    return float(np.min(finite)) if len(finite) else math.inf


def why_no_ngram_line(frame: LiveFrame, quantity_key: str) -> str:
    """Why counted n-grams have no line in the chart of a frame; empty if they have one.

    Args:
        frame: What is shown.
        quantity_key: The key that chooses another quantity.
    """
    if frame.request.quantity.id != _NGRAM_QUANTITY:
        return f"N-grams have a line only beside the loss; {quantity_key} switches to it."
    if frame.baseline is None:
        return "N-grams have no line here: the shown runs have different datasets."
    return ""


def _baseline_lines(
    frame: LiveFrame, style: RunStyle, lines: Sequence[ChartLine]
) -> Iterator[ChartLine]:
    """The loss of n-grams from the first to the last point of the curves."""
    loss = frame.baseline.losses.get(USUAL_ORDER) if frame.baseline else None
    if loss is None or frame.request.quantity.id != _NGRAM_QUANTITY:
        return
    positions = np.concatenate([line.x[np.isfinite(line.x)] for line in lines])
    if not len(positions):
        return
    yield ChartLine(
        key="ngram",
        label=f"{USUAL_ORDER}-gram",
        x=np.array([positions.min(), positions.max()]),
        y=np.array([loss, loss]),
        colour=style.plain,
        glyph=_BASELINE_GLYPH,
        style="dim",
        has_markers=False,
        is_reference=True,
        smooth=False,
        show=frame.request.quantity.show,
    )


def _earlier_lines(frame: LiveFrame, styles: Mapping[str, RunStyle]) -> Iterator[ChartLine]:
    """Curves of the runs that branches continue, up to where they left them."""
    quantity = frame.request.quantity
    for run in frame.before:
        for spec, curve in zip(quantity.curves, run.curves, strict=True):
            if len(curve.x) and run.branch in styles:
                yield earlier_line(run, spec, curve, quantity, styles[run.branch])


def earlier_line(
    run: EarlierCurves, spec: CurveSpec, curve: Curve, quantity: Quantity, style: RunStyle
) -> ChartLine:
    """One curve of a run that a branch of this style continues: faint and without signs."""
    line = curve_line(run.run_id, spec, curve, quantity, style, is_single=False)
    return replace(
        line,
        key=f"{line.key}/before/{run.branch}",
        colour=style.faint,
        style="line",
        has_markers=False,
        best=None,
        on_top=False,
        in_focus=False,
        in_legend=False,
    )


def _shown_curves(
    quantity: Quantity, curves: Sequence[Curve], *, is_crowded: bool
) -> list[tuple[CurveSpec, Curve]]:
    pairs = zip(quantity.curves, curves, strict=True)
    found = [(spec, curve) for spec, curve in pairs if len(curve.x)]
    primary = [(spec, curve) for spec, curve in found if spec.is_primary]
    return primary if is_crowded and primary else found


def curve_line(
    run_id: str,
    spec: CurveSpec,
    curve: Curve,
    quantity: Quantity,
    style: RunStyle,
    *,
    is_single: bool,
    is_other: bool = False,
    is_smoothed: bool = False,
) -> ChartLine:
    """One curve of a run as a line of a chart.

    Args:
        is_single: Whether the chart shows no other run.
        is_other: Whether there is a primary curve beside it.
        is_smoothed: Whether the chart smooths it.
    """
    is_faint = is_other and not is_single
    colour = (
        style.plain
        if is_single and spec.is_primary and len(quantity.curves) > 1
        else (style.faint if is_faint else style.colour)
    )
    return ChartLine(
        key=f"{spec.event}.{spec.key}/{run_id}",
        label=spec.name if is_single else style.label,
        short="" if is_single else style.short,
        x=curve.x,
        y=curve.y,
        buckets=curve.buckets,
        colour=colour,
        glyph=_THIN_GLYPH if is_other else style.glyph,
        style="thick" if spec.is_primary else "dim" if is_faint and not is_smoothed else "line",
        has_markers=not is_other,
        on_top=style.on_top and not is_faint,
        in_focus=style.in_focus and not is_single and not is_faint,
        best="lowest" if spec.is_primary else None,
        smooth=not spec.is_primary,
        show=quantity.show,
        may_lack=quantity.may_lack,
        in_legend=is_single or not is_other,
    )


def small_line(
    run_id: str, spec: CurveSpec, curve: Curve, quantity: Quantity, style: RunStyle
) -> ChartLine:
    """The curve of a small chart that shows no other run: without signs on a dense line."""
    line = curve_line(run_id, spec, curve, quantity, style, is_single=True)
    return replace(line, has_markers=spec.is_primary)
