"""Which runs the live view shows, and their curves as lines of its chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformer_playground.runs.series import Axis
from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.core.workspace import Workspace
from transformer_playground.tui.live.follower import LiveFrame
from transformer_playground.tui.live.state import Part, Quantity

AXIS_TITLES: dict[Axis, str] = {"step": "step", "tokens": "tokens seen", "time": "time"}

_FAINT_GLYPH = "·"


@dataclass(frozen=True)
class Paint:
    """How a run's lines look.

    Attributes:
        faint: Its colour, closer to the background.
        on_top: Drawn over the others.
    """

    glyph: str
    colour: str
    faint: str
    on_top: bool = False


def runs_to_show(
    workspace: Workspace, training: str | None, known: Sequence[str]
) -> tuple[str, ...]:
    """The chosen runs; else what trains; else the newest.

    Args:
        workspace: The user's choices.
        training: The run that this console trains now.
        known: Every run, newest first.
    """
    chosen = workspace.chosen()
    if chosen:
        return tuple(chosen)
    if training is not None:
        return (training,)
    return tuple(known[:1])


def run_in_focus(
    shown: Sequence[str], wanted: str | None, current: str | None, training: str | None
) -> str | None:
    """The run whose numbers are shown: the one asked for, under the cursor, in training, or last.

    Args:
        shown: The runs in the chart.
        wanted: The one that the user went to here.
        current: The one under the cursor of the table.
        training: The one that this console trains.
    """
    candidates = [wanted, current, training, *reversed(shown)]
    return next((run_id for run_id in candidates if run_id in shown), None)


def chart_lines(
    frame: LiveFrame, paints: Mapping[str, Paint], *, is_smoothed: bool, has_room: bool
) -> list[ChartLine]:
    """The curves of a frame; what is to be looked at in full colour, the rest faint.

    Args:
        frame: What there is to see.
        paints: How each run looks.
        is_smoothed: Whether the chart smooths.
        has_room: Whether the legend may name the faint ones of several runs, too.
    """
    quantity, alone = frame.request.quantity, len(frame.runs) == 1
    lines = []
    for run in frame.runs:
        paint = paints[run.run_id]
        for part, curve in zip(quantity.parts, run.curves, strict=True):
            if not len(curve.x):
                continue
            is_faint = _is_faint(part, quantity)
            lines.append(
                ChartLine(
                    key=f"{part.event}.{part.key}/{run.run_id}",
                    label=part.name if alone else _label(run.run_id, part, quantity),
                    x=curve.x,
                    y=curve.y,
                    colour=paint.faint if is_faint else paint.colour,
                    glyph=_FAINT_GLYPH if is_faint else paint.glyph,
                    style="dim" if is_faint and not is_smoothed else "line",
                    on_top=paint.on_top,
                    best="lowest" if part.leads else None,
                    smooth=not part.leads,
                    in_legend=alone or has_room or not is_faint,
                )
            )
    # Later ones are drawn over earlier ones.
    return sorted(lines, key=lambda line: line.glyph != _FAINT_GLYPH)


def _is_faint(part: Part, quantity: Quantity) -> bool:
    return len(quantity.parts) > 1 and not part.leads


def _label(run_id: str, part: Part, quantity: Quantity) -> str:
    return f"{run_id} {part.name}" if _is_faint(part, quantity) else run_id
