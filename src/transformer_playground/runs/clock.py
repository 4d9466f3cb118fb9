"""Training clock: seconds of training, without pauses, sleep and the time between two sessions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    times = columns["time"]
    known = np.isfinite(times)
    starts = {index for index in begins if known[index]}
    seconds = np.full(len(times), np.nan)
    for first, last in pairwise([*sorted(starts | {0}), len(times)]):
        if first in starts:
            clock = TrainingClock(clock.seconds)
        part = slice(first, last)
        clock, seconds[part] = _advance_session(
            clock, times[part], columns["monotonic"][part], columns["step_time_ms"][part] / 1e3
        )
    return clock, seconds


def _advance_session(
    clock: TrainingClock, times: "FloatArray", awake: "FloatArray", per_step: "FloatArray"
) -> "tuple[TrainingClock, FloatArray]":
    """`advance` within one session; `awake` are the times on a clock that stands still in sleep."""
    import numpy as np

    offsets = times - awake
    has_both = np.isfinite(offsets)
    offset = clock.offset
    if offset is None and has_both.any():
        offset = float(offsets[has_both][0])
    known = np.isfinite(times)
    corrected = times if offset is None else np.where(has_both, awake + offset, times)
    stamped = corrected[known]
    seconds = np.full(len(times), np.nan)
    if not stamped.size:
        return clock, seconds
    begin = float(stamped[0]) if clock.begin is None else clock.begin
    gaps = np.diff(stamped, prepend=begin if clock.end is None else clock.end)
    per_step, longest, counted = per_step[known], clock.longest, 0
    sleep = np.zeros(len(gaps))
    for index in np.flatnonzero((gaps > _SLEEP_SECONDS) & ~has_both[known]).tolist():
        longest = max(longest, float(gaps[counted:index].max(initial=0.0)))
        counted = index
        of_steps = per_step[index] if per_step[index] > 0 else 0.0
        if gaps[index] > max(_SLEEP_GAPS * longest, _SLEEP_STEPS * of_steps):
            sleep[index] = gaps[index] - longest
            counted += 1
    longest = max(longest, float(gaps[counted:].max(initial=0.0)))
    # In one sum from the start of the session, so that the parts in which a file is read do not
    # change it.
    slept = np.cumsum([clock.slept, *sleep])[1:]
    seconds[known] = clock.total + np.maximum(0.0, stamped - slept - begin)
    end = float(stamped[-1])
    return TrainingClock(clock.total, begin, end, offset, float(slept[-1]), longest), seconds
