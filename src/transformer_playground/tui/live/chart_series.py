"""Chart series of the live view: which runs are shown, and their curves as lines of the chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.core.workspace import Workspace
from transformer_playground.tui.live.follower import LiveFrame
from transformer_playground.tui.live.quantities import CurveSpec, Quantity

_FAINT_GLYPH = "·"


@dataclass(frozen=True)
class RunStyle:
    """Glyph and colours of a run; `faint` is its colour blended with the background."""

    glyph: str
    colour: str
    faint: str
    on_top: bool = False


def runs_to_show(workspace: Workspace, known: Sequence[str]) -> tuple[str, ...]:
    """The chosen runs and the one in training, else the newest run.

    Args:
        known: All runs, newest first.
    """
    return tuple(workspace.live_runs() or known[:1])


def run_in_focus(shown: Sequence[str], workspace: Workspace) -> str | None:
    """The first of these that the chart shows: opened, in training, under the cursor, its last."""
    candidates = [workspace.opened, workspace.training, workspace.current, *reversed(shown)]
    return next((run_id for run_id in candidates if run_id in shown), None)


def chart_lines(
    frame: LiveFrame, styles: Mapping[str, RunStyle], *, is_smoothed: bool, is_tall: bool
) -> list[ChartLine]:
    """The curves of a frame: primary curves in full colour, the others faint.

    Args:
        is_tall: Whether the legend has space for faint curves of several runs.
    """
    quantity, is_single = frame.request.quantity, len(frame.runs) == 1
    lines = []
    for run in frame.runs:
        style = styles[run.run_id]
        for spec, curve in zip(quantity.curves, run.curves, strict=True):
            if not len(curve.x):
                continue
            is_faint = _is_faint(spec, quantity)
            lines.append(
                ChartLine(
                    key=f"{spec.event}.{spec.key}/{run.run_id}",
                    label=spec.name if is_single else _label(run.run_id, spec, quantity),
                    x=curve.x,
                    y=curve.y,
                    colour=style.faint if is_faint else style.colour,
                    glyph=_FAINT_GLYPH if is_faint else style.glyph,
                    style="dim" if is_faint and not is_smoothed else "line",
                    on_top=style.on_top,
                    best="lowest" if spec.is_primary else None,
                    smooth=not spec.is_primary,
                    show=quantity.show,
                    in_legend=is_single or is_tall or not is_faint,
                )
            )
    # Later lines are drawn over earlier ones.
    return sorted(lines, key=lambda line: line.glyph != _FAINT_GLYPH)


def _is_faint(spec: CurveSpec, quantity: Quantity) -> bool:
    return len(quantity.curves) > 1 and not spec.is_primary


def _label(run_id: str, spec: CurveSpec, quantity: Quantity) -> str:
    return f"{run_id} {spec.name}" if _is_faint(spec, quantity) else run_id
