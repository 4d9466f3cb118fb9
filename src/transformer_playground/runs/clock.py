"""Training clock: seconds of training, without pauses, sleep and the time between two sessions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from transformer_playground.runs.column_buffer import FloatArray

CLOCK_COLUMNS = ("time", "monotonic", "step_time_ms")
"""Columns of metrics rows that `advance` reads."""

# Rows without `monotonic`: a gap that exceeds an hour and all of these is taken for sleep.
_SLEEP_SECONDS = 3600.0
_SLEEP_GAPS = 10.0
_SLEEP_STEPS = 100.0


@dataclass(frozen=True)
class TrainingClock:
    """Training time in seconds, without pauses, sleep and the time between a stop and a resume.

    Rows of older versions have no `monotonic`. There, a gap between two rows is sleep if it is
    longer than an hour, than ten times the longest gap before it in the session, and than a hundred
    steps of the row that ends it; it then counts as that longest gap.

    Attributes:
        total: Seconds of completed sessions.
        begin: Unix time at which the current session began; None before the first timed row.
        end: Unix time of its newest row, without sleep on which `monotonic` stood still.
        offset: `time` minus `monotonic` in the session's first row that has both.
        slept: Seconds of the session taken for sleep, in rows without `monotonic`.
        longest: The longest gap between two rows of the session, in seconds, without sleep.
    """

    total: float = 0.0
    begin: float | None = None
    end: float | None = None
    offset: float | None = None
    slept: float = 0.0
    longest: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds up to the newest row."""
        if self.begin is None or self.end is None:
            return self.total
        # The system clock may have been set back.
        return self.total + max(0.0, self.end - self.slept - self.begin)


def advance(
    clock: TrainingClock, columns: "Mapping[str, FloatArray]", begins: Iterable[int]
) -> "tuple[TrainingClock, FloatArray]":
    """Advance the clock by rows.

    Args:
        clock: The clock after all earlier rows.
        columns: `CLOCK_COLUMNS` of the rows.
        begins: Indices of rows that begin a session.

    Returns:
        The new clock, and the training seconds at each row (NaN if its time is unknown).
    """
    import numpy as np

    parts = [columns[key] for key in CLOCK_COLUMNS]
    starts = {index for index in begins if np.isfinite(parts[0][index])}
    if not starts:
        return _advance_session(clock, *parts)
    seconds = np.empty(len(parts[0]))
    for first, last in pairwise([*sorted(starts | {0}), len(seconds)]):
        if first in starts:
            clock = TrainingClock(clock.seconds)
        clock, seconds[first:last] = _advance_session(clock, *(part[first:last] for part in parts))
    return clock, seconds


def _advance_session(
    clock: TrainingClock, times: "FloatArray", awake: "FloatArray", step_ms: "FloatArray"
) -> "tuple[TrainingClock, FloatArray]":
    """`advance` within one session; `awake` are the times on a clock that stands still in sleep."""
    import numpy as np

    # A poll reads few rows, so that each operation on them counts.
    offsets = times - awake
    has_both = np.isfinite(offsets)
    both, count = np.count_nonzero(has_both), len(times)
    offset = clock.offset
    if offset is None and both:
        offset = float(offsets[has_both.argmax()])
    stamped = times if offset is None or not both else np.where(has_both, awake + offset, times)
    known = has_both if both == count else np.isfinite(times)
    all_known = np.count_nonzero(known) == count
    if not all_known:
        stamped, has_both, step_ms = stamped[known], has_both[known], step_ms[known]
    if not stamped.size:
        return clock, np.full(count, np.nan)
    begin = float(stamped[0]) if clock.begin is None else clock.begin
    gaps = np.empty(len(stamped))
    gaps[0] = stamped[0] - (begin if clock.end is None else clock.end)
    np.subtract(stamped[1:], stamped[:-1], out=gaps[1:])
    slept: FloatArray | float = clock.slept
    longest = max(clock.longest, float(gaps.max()))
    if longest > _SLEEP_SECONDS and both < len(stamped):
        sleep, longest = _sleep(clock.longest, gaps, has_both, step_ms)
        # In one sum from the start of the session, so that the parts in which a file is read do not
        # change it.
        slept = np.cumsum([slept, *sleep])[1:]
    elapsed = clock.total + np.maximum(0.0, stamped - slept - begin)
    seconds = elapsed if all_known else np.full(count, np.nan)
    if not all_known:
        seconds[known] = elapsed
    total_sleep = float(slept[-1]) if isinstance(slept, np.ndarray) else slept
    end = float(stamped[-1])
    return TrainingClock(clock.total, begin, end, offset, total_sleep, longest), seconds


def _sleep(
    longest: float, gaps: "FloatArray", has_both: "NDArray[np.bool_]", step_ms: "FloatArray"
) -> "tuple[FloatArray, float]":
    """Seconds of sleep in each gap, and the longest gap without sleep; `longest` is that so far."""
    import numpy as np

    sleep, counted = np.zeros(len(gaps)), 0
    for index in np.flatnonzero((gaps > _SLEEP_SECONDS) & ~has_both).tolist():
        longest = max(longest, float(gaps[counted:index].max(initial=0.0)))
        counted = index
        of_steps = step_ms[index] / 1e3 if step_ms[index] > 0 else 0.0
        if longest and gaps[index] > max(_SLEEP_GAPS * longest, _SLEEP_STEPS * of_steps):
            sleep[index] = gaps[index] - longest
            counted += 1
    return sleep, max(longest, float(gaps[counted:].max(initial=0.0)))
