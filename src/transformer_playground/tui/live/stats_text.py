"""Statistics of a run as labels and values, in the order of reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transformer_playground.formatting import (
    UNKNOWN,
    count_text,
    duration_text,
    loss_text,
    milliseconds_text,
    optional_text,
    percent_done,
    percent_text,
    size_text,
    value_text,
)
from transformer_playground.tui.live.state import RunStats

_FULL, _HALF, _EMPTY = "━", "╸", "─"

Tone = Literal["plain", "error"]


@dataclass(frozen=True)
class RunActivity:
    """What becomes of a run now, as far as the console knows more than its files.

    Attributes:
        state: As in lists of runs, or the state of the job that trains it.
        problem: Why it failed, or the latest warning.
        is_failure: Whether `problem` ended it.
        is_ours: Whether this console trains it.
        memory: Bytes of this process while it trains.
        waiting: Names of the jobs in the queue.
    """

    state: str = ""
    problem: str = ""
    is_failure: bool = False
    is_ours: bool = False
    memory: int | None = None
    waiting: tuple[str, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether it trains now."""
        return self.state == "running"


def percent_of(stats: RunStats) -> int | None:
    """How far training is, in whole percent; None while its length is unknown."""
    return percent_done(stats.summary.step, stats.max_iters)


def progress_bar(percent: int, width: int) -> tuple[str, str]:
    """The full and the empty part of a bar, together `width` cells."""
    halves = percent * 2 * width // 100
    full = _FULL * (halves // 2) + _HALF * (halves % 2)
    return full, _EMPTY * (width - len(full))


def step_text(stats: RunStats) -> str:
    """How many steps of how many."""
    step = optional_text(stats.summary.step, "{:,}".format, UNKNOWN)
    if stats.max_iters is None:
        return step
    end = f"{stats.max_iters:,}"
    return f"{step.rjust(len(end))}/{end}"


def time_text(stats: RunStats, activity: RunActivity) -> tuple[str, str]:
    """Label and time: what is left of a run that trains, else what it took."""
    if activity.is_live and stats.remaining is not None:
        return "left", duration_text(stats.remaining)
    return "trained", duration_text(stats.summary.wall_time_s)


def best_text(stats: RunStats) -> str:
    """The lowest validation loss and where it was."""
    best = stats.summary.best_val_loss
    return UNKNOWN if best is None else f"{loss_text(best)} @ {stats.summary.best_step:,}"


def stats_table(stats: RunStats, activity: RunActivity) -> list[tuple[str, str, Tone]]:
    """Every number with its label."""
    summary = stats.summary
    time_label, time = time_text(stats, activity)
    is_broken = stats.diverged_at is not None
    rows: list[tuple[str, str, Tone]] = [
        ("step", step_text(stats), "plain"),
        (time_label, time, "plain"),
        (
            "train loss",
            "not a number" if is_broken else _value(summary.train_loss),
            "error" if is_broken else "plain",
        ),
        ("val loss", _value(summary.val_loss), "plain"),
        ("best val", best_text(stats), "plain"),
        ("bits per byte", _value(summary.bits_per_byte), "plain"),
        ("gradient norm", optional_text(stats.newest("grad_norm"), value_text, UNKNOWN), "plain"),
        ("step time", _step_time(stats), "plain"),
        ("data loading", _data_share(stats), "plain"),
        ("tokens seen", _tokens(stats), "plain"),
    ]
    if stats.device:
        rows.append(("device", f"{stats.device} {stats.dtype}".strip(), "plain"))
    if activity.memory is not None:
        rows.append(("memory", size_text(activity.memory), "plain"))
    return rows


def stats_line(stats: RunStats, activity: RunActivity) -> list[tuple[str, str, Tone]]:
    """The numbers that matter most, each value padded to a width that stands still."""
    summary, is_broken = stats.summary, stats.diverged_at is not None
    loss = "nan" if is_broken else _value(summary.train_loss)
    cells: list[tuple[str, str, Tone]] = [
        ("train", loss.rjust(6), "error" if is_broken else "plain"),
        ("val", _value(summary.val_loss).rjust(6), "plain"),
        ("grad", optional_text(stats.newest("grad_norm"), value_text, UNKNOWN).rjust(6), "plain"),
        ("", _step_time(stats).rjust(8), "plain"),
        ("", f"{_tokens(stats):>5} tok", "plain"),
    ]
    if activity.memory is not None:
        cells.append(("mem", size_text(activity.memory), "plain"))
    elif stats.device:
        cells.append(("", f"{stats.device} {stats.dtype}".strip(), "plain"))
    return cells


def _step_time(stats: RunStats) -> str:
    return optional_text(stats.newest("step_time_ms"), milliseconds_text, UNKNOWN)


def _data_share(stats: RunStats) -> str:
    return optional_text(stats.newest("data_share"), percent_text, UNKNOWN)


def _tokens(stats: RunStats) -> str:
    return optional_text(stats.summary.tokens_seen, count_text, UNKNOWN)


def _value(value: float | None) -> str:
    return optional_text(value, loss_text, UNKNOWN)


def queue_text(waiting: Sequence[str]) -> str:
    """Who waits, in a few words."""
    if not waiting:
        return ""
    shown = ", ".join(waiting[:3])
    return f"waiting: {shown}{f' and {len(waiting) - 3} more' if len(waiting) > 3 else ''}"
