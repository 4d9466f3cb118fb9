"""The parts of a training step: batches, forward pass, backward pass, optimizer, and evaluation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_playground.runs.series import RunSeries

_ROWS = 50
_PARTS = ("forward", "backward", "optimizer")


@dataclass(frozen=True)
class StepSplit:
    """Where the time of a run goes lately; medians of its newest rows.

    Attributes:
        step: Milliseconds of a step.
        parts: Name -> milliseconds of a step, in order. Only "data" on an accelerator, whose work
            the host does not wait for, and in rows of older versions.
        evaluation: Seconds of an evaluation.
        interval: Steps from one evaluation to the next.
    """

    step: float
    parts: dict[str, float]
    evaluation: float | None = None
    interval: int | None = None

    @property
    def evaluation_share(self) -> float | None:
        """Share of all time that evaluations take."""
        if self.evaluation is None or not self.interval:
            return None
        training = self.interval * self.step / 1e3
        return self.evaluation / max(self.evaluation + training, 1e-9)


def split_of(series: RunSeries) -> StepSplit | None:
    """The split of the newest rows of a run; None before the first one."""
    step = _median(series, "train", "step_time_ms")
    if step is None:
        return None
    share = _median(series, "train", "data_share")
    parts = {} if share is None else {"data": share * step}
    for name in _PARTS:
        found = _median(series, "train", f"{name}_ms")
        if found is not None:
            parts[name] = found
    if len(parts) > 1:
        parts["other"] = max(0.0, step - sum(parts.values()))
    gaps = np.diff(series.column("eval", "step")[-_ROWS:])
    return StepSplit(
        step,
        parts,
        _median(series, "eval", "seconds"),
        _usual_gap(gaps[gaps > 0]),
    )


def _usual_gap(gaps: NDArray[np.float64]) -> int | None:
    """The most frequent gap, of equally frequent ones the longest.

    The last evaluation of a run, and those on request, are closer to the one before.
    """
    if not len(gaps):
        return None
    values, counts = np.unique(gaps, return_counts=True)
    return int(values[counts == counts.max()][-1])


def _median(series: RunSeries, event: str, key: str) -> float | None:
    values = series.column(event, key)[-_ROWS:]
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None
