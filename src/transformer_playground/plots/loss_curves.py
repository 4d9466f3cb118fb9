"""Loss curves of a run: training, validation, the best point and where the curves end."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transformer_playground.evaluation.baseline import NGramBaseline
from transformer_playground.runs.column_buffer import FloatArray
from transformer_playground.runs.curves import split_at_gaps
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.metrics import Axis
from transformer_playground.runs.series import Curve, RunSeries, lowest

# A larger loss only shows that training has diverged, and no axis can show it.
_MAX_LOSS = 1e12


@dataclass(frozen=True)
class PlottedNGram:
    """A horizontal line: the mean loss of n-grams of one length, in nats per token."""

    order: int
    loss: float

    @classmethod
    def of(cls, baseline: NGramBaseline, order: int) -> "PlottedNGram | None":
        """The line of a baseline; None if n-grams of this length were not counted."""
        loss = baseline.losses.get(order)
        return None if loss is None else cls(order, loss)


@dataclass(frozen=True)
class PlotRequest:
    """Options of a loss plot.

    Attributes:
        out: The file; its extension selects the format, and an existing file is replaced.
        title: Any text, cleaned and shortened; None = a default title.
        log_y: Logarithmic loss axis.
        smooth: Weight of the debiased moving average over the training loss, 0 = none.
        x: Optimizer steps, training tokens seen, or training time.
        ngram: N-grams of the runs' dataset to draw; None = none.
    """

    out: Path
    title: str | None = None
    log_y: bool = False
    smooth: float = 0.0
    x: Axis = "step"
    ngram: PlottedNGram | None = None


@dataclass(frozen=True)
class Best:
    """Evaluation of lowest validation loss, the earliest of equals."""

    x: float
    loss: float
    step: int


@dataclass(frozen=True)
class LossCurves:
    """Loss curves of a run, in nats per token.

    Attributes:
        run_id: Untrusted text.
        train: Mean loss on the training batches, per logged row.
        val: Loss on the validation windows, per evaluation.
        best: Minimum of `val`; None without a finite value.
        breaks: The last point before each gap, and the last of all if the run failed.
    """

    run_id: str
    train: Curve
    val: Curve
    best: Best | None
    breaks: Curve

    @property
    def is_empty(self) -> bool:
        """Whether there is no finite loss."""
        return not (np.isfinite(self.train.y).any() or np.isfinite(self.val.y).any())


def read_loss_curves(run: RunFolder, x: Axis = "step", *, positive: bool = False) -> LossCurves:
    """Read the loss curves of a run; they are empty for a run without rows.

    Args:
        positive: Treat losses of zero or below as gaps, for a logarithmic axis.
    """
    series = RunSeries(run.metrics_path)
    series.poll()
    train = _drawable(series.curve("train", "train_loss", x), positive=positive)
    val = _drawable(series.curve("eval", "val_loss", x), positive=positive)
    has_failed = series.last_status is not None and series.last_status.get("status") == "failed"
    return LossCurves(
        run_id=run.run_id,
        train=train,
        val=val,
        best=_best(val, series.curve("eval", "step", x).y, series),
        breaks=_breaks((train, val), has_failed=has_failed),
    )


def _drawable(curve: Curve, *, positive: bool) -> Curve:
    drawable = np.isfinite(curve.y) & (np.abs(curve.y) < _MAX_LOSS)
    if positive:
        drawable &= curve.y > 0
    return Curve(curve.x, np.where(drawable, curve.y, np.nan))


def _best(val: Curve, steps: FloatArray, series: RunSeries) -> Best | None:
    comparable = series.column("eval", "step")[series.same_windows()]
    best = lowest(np.where(np.isin(steps, comparable), val.y, np.nan))
    if best is None:
        return None
    return Best(float(val.x[best]), float(val.y[best]), int(steps[best]))


def _breaks(curves: tuple[Curve, Curve], *, has_failed: bool) -> Curve:
    points: list[tuple[float, float]] = []
    for curve in curves:
        segments = split_at_gaps(curve.x, curve.y)
        if segments and np.isfinite(curve.y[-1]):
            # The last segment does not end at a gap.
            segments = segments[:-1]
        points += [(float(x[-1]), float(y[-1])) for x, y in segments]
    ends = [curve for curve in curves if curve.y.size and np.isfinite(curve.y[-1])]
    if has_failed and ends:
        last = max(ends, key=lambda curve: float(curve.x[-1]))
        points.append((float(last.x[-1]), float(last.y[-1])))
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    return Curve(array[:, 0], array[:, 1])
