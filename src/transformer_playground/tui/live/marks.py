"""Events of a run on the time axis of its chart: checkpoints, the best one, pauses, samples."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.series import Curve

MarkKind = Literal["sample", "checkpoint", "best", "pause", "resume"]
# In drawing order: where several fall on one cell, the last is seen.
MARK_GLYPHS: dict[MarkKind, str] = {
    "sample": "S",
    "checkpoint": "◆",
    "best": "★",
    "pause": "‖",
    "resume": "▶",
}
"""Kind of an event -> its sign."""


@dataclass(frozen=True)
class EventMark:
    """An event at a position of the x axis."""

    kind: MarkKind
    x: float


class MarkedSteps:
    """Steps of the events in the rows of a run, at most `most` of each kind, the newest ones."""

    def __init__(self, most: int) -> None:
        self._steps: dict[MarkKind, deque[int]] = {
            kind: deque(maxlen=most) for kind in ("checkpoint", "pause", "resume")
        }
        self._is_paused = False

    def clear(self) -> None:
        """Forget all of them."""
        for steps in self._steps.values():
            steps.clear()
        self._is_paused = False

    def add(self, row: Row) -> None:
        """Note the event of a metrics row, if it is one that is marked."""
        kind = self._kind_of(row)
        if kind is None:
            return
        step = row["step"]
        if row["event"] == "resume":
            for steps in self._steps.values():
                while steps and steps[-1] > step:
                    steps.pop()
        self._steps[kind].append(step)

    def _kind_of(self, row: Row) -> MarkKind | None:
        match row["event"], row.get("status"):
            case "checkpoint", _:
                return "checkpoint"
            case "resume", _:
                self._is_paused = False
                return "resume"
            case "status", "paused":
                self._is_paused = True
                return "pause"
            case "status", "running" if self._is_paused:
                self._is_paused = False
                return "resume"
        return None

    def on_axis(
        self, positions: Curve, samples: Sequence[int], best: int | None
    ) -> tuple[EventMark, ...]:
        """The events at their positions, in drawing order.

        Args:
            positions: Position -> step of the train rows, between which steps are interpolated.
            samples: Steps with samples.
            best: Step of the best evaluation.
        """
        if not len(positions.x):
            return ()
        return tuple(
            EventMark(kind, float(x))
            for kind, steps in self._all(samples, best)
            for x in np.interp(steps, positions.y, positions.x)
        )

    def _all(
        self, samples: Sequence[int], best: int | None
    ) -> Iterator[tuple[MarkKind, Sequence[int]]]:
        steps = {**self._steps, "sample": samples, "best": () if best is None else (best,)}
        for kind in MARK_GLYPHS:
            yield kind, list(dict.fromkeys(steps[kind]))


def marks_text(marks: Sequence[EventMark]) -> str:
    """What the signs on the axis mean: ◆ checkpoint ★ best."""
    kinds = {mark.kind for mark in marks}
    return " ".join(f"{glyph} {kind}" for kind, glyph in MARK_GLYPHS.items() if kind in kinds)
