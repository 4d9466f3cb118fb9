"""Progress and remaining training time, from the rows of a run or from its summary alone."""

from typing import TYPE_CHECKING

from transformer_playground.formatting import percent_done
from transformer_playground.jsonvalues import as_number
from transformer_playground.runs.fields import RunInfo

if TYPE_CHECKING:
    from transformer_playground.runs.column_buffer import FloatArray
    from transformer_playground.runs.series import RunSeries

# Enough rows for a robust median, few enough to follow a machine that gets busier.
_RECENT_ROWS = 400


def progress_share(
    step: int | None, max_iters: int | None, seconds: float, max_minutes: float | None
) -> float | None:
    """Progress from 0 to 1: of the steps or of the time, whichever is further.

    The learning rate follows the same one.

    Args:
        step: Steps done; None before the first.
        max_iters: Steps of the run, if they are known.
        seconds: Training time that counts against the limit, see `RunSummary.active_seconds`.
        max_minutes: Limit of the training time; 0 or None without one.

    Returns:
        None before the first step, and if neither is known.
    """
    if step is None:
        return None
    parts = [step / max_iters] if max_iters else []
    if max_minutes:
        parts.append(seconds / (60 * max_minutes))
    return min(max(0.0, *parts), 1.0) if parts else None


def progress_percent(
    step: int | None, max_iters: int | None, seconds: float, max_minutes: float | None
) -> int | None:
    """`progress_share` in whole percent, rounded down: 100 only at the end."""
    if step is None:
        return None
    of_steps = percent_done(step, max_iters)
    if not max_minutes:
        return of_steps
    of_time = min(int(100 * seconds / (60 * max_minutes)), 100)
    return max(of_time, of_steps or 0)


def max_minutes_of(row: RunInfo) -> float | None:
    """Limit of the training time of a listed run; None if it is not known."""
    return as_number(row.settings.get("train.runtime.max_minutes"))


def remaining_of_series(series: "RunSeries", max_iters: int | None) -> float | None:
    """Estimated seconds until the last step, evaluations included; None if unknown."""
    if max_iters is None:
        return None
    curve = series.curve("train", "step", "time")
    found = remaining_seconds(curve.y, curve.x, series.column("eval", "step"), max_iters)
    minutes = as_number((series.last_start or {}).get("max_minutes"))
    if found is None or not minutes:
        return found
    counted = series.clock.seconds + (series.earlier_seconds or 0.0)
    return min(found, max(0.0, 60 * minutes - counted))


def remaining_seconds(
    steps: "FloatArray", seconds: "FloatArray", evaluated: "FloatArray", end: int
) -> float | None:
    """Remaining training time estimated from recent rows; None with too few rows.

    Uses the median time of a step and the median extra time of an evaluation (with its sample and
    checkpoint), so that a moment in which the machine slept or was busy does not count.

    Args:
        steps: Steps of training rows, ascending.
        seconds: Seconds of training at each of them.
        evaluated: Steps at which the run was evaluated, ascending.
        end: The last step.
    """
    import numpy as np

    steps, seconds = steps[-_RECENT_ROWS:], seconds[-_RECENT_ROWS:]
    taken, spent = np.diff(steps), np.diff(seconds)
    usable = (taken > 0) & (spent >= 0)
    if not usable.any():
        return None
    # An evaluation at step n happens after the training row of step n.
    has_evaluation = np.isin(steps[:-1], evaluated) & usable
    plain = usable & ~has_evaluation
    if not plain.any():
        plain = usable
    pace = float(np.median(spent[plain] / taken[plain]))
    left = max(0.0, end - float(steps[-1]))
    remaining = left * pace
    gaps = np.diff(evaluated[-_RECENT_ROWS:])
    if plain is not usable and has_evaluation.any() and (gaps > 0).any():
        extra = np.median(spent[has_evaluation] - pace * taken[has_evaluation])
        remaining += max(0.0, float(extra)) * left / float(np.median(gaps[gaps > 0]))
    return remaining


def remaining_of_run(row: RunInfo) -> float | None:
    """Estimated seconds until the last step of a listed run, without reading its rows.

    A step takes as long as its tokens at the median speed, or as the average over the run's
    training time, which includes evaluations, if that is longer. (It is shorter in a branch, whose
    step counts on from its parent's and whose time does not.)

    Returns:
        None before the first logged step, or if the number of steps is unknown.
    """
    summary = row.summary
    step, speed, tokens = summary.train_step, summary.tokens_per_sec_median, summary.tokens_seen
    if row.max_iters is None or not step or step < 0 or not speed or not tokens:
        return None
    pace = max(tokens / step / speed, summary.wall_time_s / step)
    left = max(0, row.max_iters - step) * pace
    minutes = max_minutes_of(row)
    return min(left, max(0.0, 60 * minutes - summary.active_seconds)) if minutes else left
