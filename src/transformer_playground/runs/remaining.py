"""Progress and remaining training time of a listed run, the same wherever they are shown."""

from transformer_playground.formatting import percent_done
from transformer_playground.jsonvalues import as_number
from transformer_playground.runs.fields import RunInfo


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
