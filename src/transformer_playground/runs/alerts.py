"""Alerts: rules that tell from a run's metrics that something may be wrong with it.

Each rule raises one alert when its condition begins, not again while it lasts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from transformer_playground.files import free_space
from transformer_playground.formatting import count_text, loss_text, percent_text, size_text
from transformer_playground.jsonvalues import as_text, as_timestamp
from transformer_playground.runs.column_buffer import FloatArray
from transformer_playground.runs.series import RunSeries
from transformer_playground.terminal import visible_line

AlertKind = Literal["failed", "non-finite", "spike", "validation rising", "slow", "disk"]

RISES = 5
"""Evaluations in a row with a rising loss that raise an alert."""
LEAST_FREE = 2 << 30
"""Bytes of free disk space below which an alert is raised."""

# Rows before a spike that it is compared with.
_SPIKE_ROWS = 20
# A spike exceeds their median by so many standard deviations (estimated from the median absolute
# deviation) and by this share.
_SPIKE_DEVIATIONS, _SPIKE_SHARE = 6.0, 0.2
_TO_DEVIATION = 1.4826
# Median speed of the newest rows against that of the rows before.
_SLOW_ROWS, _USUAL_ROWS = 5, 100
_SLOW_SHARE, _RECOVERED_SHARE = 0.5, 0.75
_ROWS_AT_A_TIME = 10_000


@dataclass(frozen=True)
class Alert:
    """Something that may be wrong.

    Attributes:
        run_id: None for the disk.
        step: Where it began.
        time: Unix time of the row at which it began; None if the row has none.
        text: One sentence without the name of the run, safe to print.
    """

    kind: AlertKind
    run_id: str | None
    step: int | None
    time: float | None
    text: str

    @property
    def key(self) -> tuple[AlertKind, str | None, int | None]:
        """The same for the same alert, however often its run is read."""
        return self.kind, self.run_id, self.step

    def as_json(self) -> dict[str, Any]:
        """One flat JSON object."""
        return {
            "kind": self.kind,
            "run_id": self.run_id,
            "step": self.step,
            "time": self.time,
            "text": self.text,
        }


def alerts_of(run_id: str, series: RunSeries) -> tuple[Alert, ...]:
    """All alerts of a run, in order of step.

    - *failed*: its newest status is a failure.
    - *non-finite*: training or validation loss is not a finite number.
    - *spike*: the training loss exceeds the median of the 20 rows before by a fifth and by six
      standard deviations.
    - *validation rising*: five evaluations in a row, on the same windows, were each worse than the
      one before.
    - *slow*: the median speed of five rows is below half of that of the 100 rows before (20 at
      least).
    """
    found = [
        *_non_finite(run_id, series),
        *_spikes(run_id, series),
        *_rising(run_id, series),
        *_slow(run_id, series),
        *_failed(run_id, series),
    ]
    return tuple(sorted(found, key=lambda alert: alert.step or 0))


def disk_alert(folder: Path, free: int | None = None) -> Alert | None:
    """An alert if little space is left on the disk of a folder.

    Args:
        free: Free bytes; None asks the system, which counts as enough if it does not answer.
    """
    if free is None:
        free = free_space(folder)
    if free is None or free >= LEAST_FREE:
        return None
    text = f"only {size_text(free)} free on the disk of {visible_line(str(folder))}"
    return Alert("disk", None, None, None, text)


def failed_alert(run_id: str, step: int | None, time: float | None, error: str | None) -> Alert:
    """The alert of a run that failed.

    Args:
        run_id: Its id.
        step: Its last step.
        time: Unix time of the failure.
        error: Why it failed; untrusted text.
    """
    text = f"failed: {visible_line(error)}" if error else "failed"
    return Alert("failed", run_id, step, time, text)


def read_alerts(run_id: str, metrics_path: Path) -> tuple[Alert, ...]:
    """The alerts of a whole metrics file."""
    series = RunSeries(metrics_path)
    series.poll()
    return alerts_of(run_id, series)


def _failed(run_id: str, series: RunSeries) -> Iterator[Alert]:
    status = series.last_status or {}
    if status.get("status") == "failed":
        time, error = as_timestamp(status.get("time")), as_text(status.get("error"))
        yield failed_alert(run_id, status["step"], time, error)


def _non_finite(run_id: str, series: RunSeries) -> Iterator[Alert]:
    for event, key, name in (
        ("train", "train_loss", "training"),
        ("eval", "val_loss", "validation"),
    ):
        # Rows without the key are of a sink that writes something else.
        if key not in series.named_keys(event):
            continue
        is_bad = ~np.isfinite(series.column(event, key))
        for row in _begins(is_bad):
            yield _at(series, event, row, "non-finite", run_id, f"{name} loss is not finite")


def _spikes(run_id: str, series: RunSeries) -> Iterator[Alert]:
    losses = series.column("train", "train_loss")
    rows = np.flatnonzero(np.isfinite(losses))
    losses = losses[rows]
    middle, deviation = _before(losses, _SPIKE_ROWS)
    limit = middle + np.maximum(
        _SPIKE_DEVIATIONS * _TO_DEVIATION * deviation, _SPIKE_SHARE * np.abs(middle)
    )
    last = -_SPIKE_ROWS
    for place in np.flatnonzero(losses > limit):
        # The rows after a spike belong to it.
        if place - last >= _SPIKE_ROWS:
            usual = loss_text(float(middle[place]))
            text = f"training loss jumped to {loss_text(float(losses[place]))} from {usual}"
            yield _at(series, "train", int(rows[place]), "spike", run_id, text)
        last = int(place)


def _rising(run_id: str, series: RunSeries) -> Iterator[Alert]:
    losses = series.column("eval", "val_loss")
    if len(losses) <= RISES:
        return
    rows = np.flatnonzero(np.isfinite(losses) & series.same_windows())
    losses = losses[rows]
    streak = 0
    for place in range(1, len(losses)):
        streak = streak + 1 if losses[place] > losses[place - 1] else 0
        if streak == RISES:
            before, now = float(losses[place - RISES]), float(losses[place])
            text = (
                f"validation loss has risen for {RISES} evaluations, from {loss_text(before)} "
                f"to {loss_text(now)}"
            )
            yield _at(series, "eval", int(rows[place]), "validation rising", run_id, text)


def _slow(run_id: str, series: RunSeries) -> Iterator[Alert]:
    speeds = series.column("train", "tokens_per_sec")
    rows = np.flatnonzero(np.isfinite(speeds) & (speeds > 0))
    speeds = speeds[rows]
    count = len(speeds) - _SLOW_ROWS
    if count < _SPIKE_ROWS:
        return
    recent = _medians(speeds, _SLOW_ROWS)
    # The usual speed before each group of recent rows; of a short run that of its first rows.
    width = min(_USUAL_ROWS, count)
    usual = np.full(len(recent), np.nan)
    long = _medians(speeds, width)
    usual[width:] = long[: len(recent) - width]
    for place in range(_SPIKE_ROWS, width):
        usual[place] = np.median(speeds[:place])
    last = -1
    for place in _begins(recent < _SLOW_SHARE * usual):
        # A speed that wavers around the limit is one alert.
        since = slice(last + 1, place)
        if last >= 0 and not (recent[since] > _RECOVERED_SHARE * usual[since]).any():
            continue
        last = place
        share = percent_text(float(recent[place] / usual[place]))
        text = (
            f"speed fell to {share}: {count_text(float(recent[place]))} tokens/s after "
            f"{count_text(float(usual[place]))}"
        )
        yield _at(series, "train", int(rows[place + _SLOW_ROWS - 1]), "slow", run_id, text)


def _at(series: RunSeries, event: str, row: int, kind: AlertKind, run_id: str, text: str) -> Alert:
    step = int(series.column(event, "step")[row])
    return Alert(kind, run_id, step, series.at(event, "time", row), text)


def _begins(holds: NDArray[np.bool_]) -> list[int]:
    """Where a condition begins to hold."""
    before = np.concatenate([[False], holds[:-1]])
    return [int(place) for place in np.flatnonzero(holds & ~before)]


def _before(values: FloatArray, width: int) -> tuple[FloatArray, FloatArray]:
    """Median and median absolute deviation of the `width` values before each; NaN for the first."""
    middle, deviation = np.full(len(values), np.nan), np.full(len(values), np.nan)
    if len(values) <= width:
        return middle, deviation
    windows = sliding_window_view(values, width)[:-1]
    for part in _parts(len(windows)):
        centre = np.median(windows[part], axis=1)
        middle[width:][part] = centre
        deviation[width:][part] = np.median(np.abs(windows[part] - centre[:, None]), axis=1)
    return middle, deviation


def _medians(values: FloatArray, width: int) -> FloatArray:
    """Median of each `width` neighbouring values."""
    windows = sliding_window_view(values, width)
    parts = [np.median(windows[part], axis=1) for part in _parts(len(windows))]
    return np.concatenate(parts) if parts else np.empty(0)


def _parts(count: int) -> Iterable[slice]:
    """A median over all windows at once would copy them all."""
    return (slice(first, first + _ROWS_AT_A_TIME) for first in range(0, count, _ROWS_AT_A_TIME))
