"""The losses of a run as curves: training, validation, the best point and where they break off."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from transformer_playground.runs.column_buffer import FloatArray
from transformer_playground.runs.curves import split_at_gaps
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.series import Axis, Curve, RunSeries, lowest

# Beyond this a loss says no more than that training has diverged, and no axis can show it.
_LARGEST = 1e12


@dataclass(frozen=True)
class Best:
    """The evaluation of lowest validation loss, the earliest of equals."""

    x: float
    loss: float
    step: int


@dataclass(frozen=True)
class LossCurves:
    """What a plot shows of a run; losses in nats per token.

    Attributes:
        run_id: Name of the run, untrusted text.
        train: Loss on the training batches, a mean for each logged row.
        val: Loss on the validation windows, for each evaluation.
        best: Where `val` is lowest; None without a finite one.
        breaks: The last point before each gap, and the last of all if the run failed.
    """

    run_id: str
    train: Curve
    val: Curve
    best: Best | None
    breaks: Curve

    @property
    def is_empty(self) -> bool:
        """Whether there is no finite loss at all."""
        return not (np.isfinite(self.train.y).any() or np.isfinite(self.val.y).any())


def read_loss_curves(run: RunFolder, x: Axis = "step", *, positive: bool = False) -> LossCurves:
    """Read the losses of a run along an axis; a run without rows has empty ones.

    Args:
        run: The run; only its metrics are read.
        x: As for `RunSeries.curve`.
        positive: Whether a loss that is not above zero is a gap, as a logarithmic axis needs it.
    """
    series = RunSeries(run.metrics_path)
    series.poll()
    train = _shown(series.curve("train", "train_loss", x), positive=positive)
    val = _shown(series.curve("eval", "val_loss", x), positive=positive)
    has_failed = series.last_status is not None and series.last_status.get("status") == "failed"
    return LossCurves(
        run_id=run.run_id,
        train=train,
        val=val,
        best=_best(val, series.curve("eval", "step", x).y),
        breaks=_breaks((train, val), has_failed=has_failed),
    )


def _shown(curve: Curve, *, positive: bool) -> Curve:
    drawable = np.isfinite(curve.y) & (np.abs(curve.y) < _LARGEST)
    if positive:
        drawable &= curve.y > 0
    return Curve(curve.x, np.where(drawable, curve.y, np.nan))


def _best(val: Curve, steps: FloatArray) -> Best | None:
    best = lowest(val.y)
    if best is None:
        return None
    return Best(float(val.x[best]), float(val.y[best]), int(steps[best]))


def _breaks(curves: tuple[Curve, Curve], *, has_failed: bool) -> Curve:
    points: list[tuple[float, float]] = []
    for curve in curves:
        stretches = split_at_gaps(curve.x, curve.y)
        points += [(float(x[-1]), float(y[-1])) for (x, y), _ in pairwise(stretches)]
        if stretches and not np.isfinite(curve.y[-1]):
            x, y = stretches[-1]
            points.append((float(x[-1]), float(y[-1])))
    ends = [curve for curve in curves if curve.y.size and np.isfinite(curve.y[-1])]
    if has_failed and ends:
        last = max(ends, key=lambda curve: float(curve.x[-1]))
        points.append((float(last.x[-1]), float(last.y[-1])))
    places = np.array(points, dtype=np.float64).reshape(-1, 2)
    return Curve(places[:, 0], places[:, 1])
