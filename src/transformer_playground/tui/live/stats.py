"""Live statistics of a run: its numbers as text, the remaining time and the lines of its log."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from transformer_playground.evaluation.baseline import (
    USUAL_ORDER,
    BaselineResult,
    NGramBaseline,
    compare_with,
)
from transformer_playground.formatting import (
    UNKNOWN,
    age_text,
    count_text,
    duration_text,
    left_text,
    loss_text,
    milliseconds_text,
    optional_text,
    percent_text,
    signed_text,
    value_text,
)
from transformer_playground.jsonvalues import as_int, as_number, as_text
from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.remaining import progress_percent
from transformer_playground.runs.series import RunSeries
from transformer_playground.runs.summary import RunSummary, summary_of
from transformer_playground.terminal import visible_line
from transformer_playground.tui.live.quantities import memory_text

_MAX_TEXT = 2_000
_TRAIN_KEYS = ("lr", "grad_norm", "tokens_per_sec", "step_time_ms", "data_share", "memory")
_TIMED_EVENTS = ("train", "eval", "checkpoint", "status")
_LATE_SECONDS, _LATE_STEPS = 120.0, 100.0
_UNDER_WAY = frozenset({"running", "paused"})

Tone = Literal["plain", "warning", "error"]
LogKind = Literal["evaluation", "checkpoint", "warning", "status", "error"]


@dataclass(frozen=True)
class RunStats:
    """The numbers of one run.

    Attributes:
        values: Key of a train row -> its newest finite value.
        max_minutes: Limit of its training time, None without one.
        diverged_at: Step of the newest train row if its loss is not finite.
        error: Why the run failed, safe to print.
        updated: Unix time of the newest row.
        ngram: The run against n-grams of its dataset, if they were counted.
    """

    summary: RunSummary = field(default_factory=RunSummary)
    values: Mapping[str, float | None] = field(default_factory=dict)
    max_iters: int | None = None
    max_minutes: float | None = None
    diverged_at: int | None = None
    device: str = ""
    dtype: str = ""
    error: str = ""
    updated: float | None = None
    ngram: BaselineResult | None = None


@dataclass(frozen=True)
class RunActivity:
    """State of a run that is not in its files.

    Attributes:
        state: State of the run, or of the job that trains it.
        message: Why it failed, the latest warning, or progress of the preparation.
        is_failure: Whether `message` is the error that ended the run.
        trainer: Who trains it, safe to print: this console, or the process that does.
        waiting: Names of the jobs in the queue.
        remaining: Estimated seconds until the last step, as listed.
    """

    state: str = ""
    message: str = ""
    is_failure: bool = False
    is_warning: bool = False
    trainer: str = ""
    waiting: tuple[str, ...] = ()
    remaining: float | None = None

    @property
    def is_running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True)
class LogLine:
    """An event of a run; `text` is one line, safe to print."""

    time: float
    step: int
    kind: LogKind
    text: str


def stats_of(series: RunSeries, baseline: NGramBaseline | None = None) -> RunStats:
    """The numbers of a run from its metrics.

    Args:
        baseline: N-grams of its dataset, if they were counted.
    """
    start, summary = series.last_start or {}, summary_of(series)
    losses = series.column("train", "train_loss")
    is_diverged = bool(len(losses)) and not math.isfinite(losses[-1])
    end = as_int(start.get("max_iters")) or 0
    max_iters = end if end > 0 else None
    return RunStats(
        summary=summary,
        values={key: series.newest("train", key) for key in _TRAIN_KEYS},
        max_iters=max_iters,
        max_minutes=as_number(start.get("max_minutes")),
        diverged_at=summary.train_step if is_diverged else None,
        device=_line(start.get("device")),
        dtype=_line(start.get("dtype")),
        error=_line(summary.error) if summary.status == "failed" else "",
        updated=max(filter(None, (series.newest(e, "time") for e in _TIMED_EVENTS)), default=None),
        ngram=_against(baseline, series),
    )


def _against(baseline: NGramBaseline | None, series: RunSeries) -> BaselineResult | None:
    if baseline is None:
        return None
    steps, losses = series.column("eval", "step"), series.column("eval", "val_loss")
    return compare_with(baseline, USUAL_ORDER, steps, losses)


def _line(value: object) -> str:
    return visible_line((as_text(value) or "")[:_MAX_TEXT])


def log_line(row: Row) -> LogLine | None:
    """A row of the metrics as a line of the log, None for rows that the log does not show."""
    entry = _log_entry(row)
    if entry is None:
        return None
    return LogLine(as_number(row.get("time")) or 0.0, row["step"], *entry)


def _log_entry(row: Row) -> tuple[LogKind, str] | None:
    match row["event"]:
        case "eval":
            star = " ★ best" if row.get("is_best") is True else ""
            val, train = _number(row.get("val_loss")), _number(row.get("train_loss"))
            return "evaluation", f"val {val}{star} · train {train}"
        case "checkpoint":
            kinds = row.get("kinds")
            names = kinds if isinstance(kinds, list) else []
            return "checkpoint", f"checkpoint {' and '.join(_line(name) for name in names)}"
        case "warning":
            return "warning", _line(row.get("message")) or "warning without a message"
        case "request":
            action, sender = _line(row.get("action")) or "?", _line(row.get("sender")) or "?"
            outcome = "done" if row.get("done") is True else "not done"
            return "status", f"{action} requested from {sender}: {outcome}"
        case "resume":
            return "status", f"resumed from {_line(row.get('checkpoint')) or 'a checkpoint'}"
        case "status":
            return _status_entry(row)
    return None


def _status_entry(row: Row) -> tuple[LogKind, str]:
    state = _line(row.get("status")) or "?"
    error = _line(row.get("error"))
    if state == "failed":
        return "error", f"failed: {error}" if error else "failed"
    best = row.get("best_val_loss")
    ending = f" · best val {_number(best)}" if best is not None else ""
    early = " early" if row.get("early_stopped") is True else ""
    return "status", f"{state}{early}{ending}"


def _number(value: object) -> str:
    number = as_number(value)
    return "not a number" if number is None else loss_text(number)


def percent_of(stats: RunStats) -> int | None:
    """Progress in whole percent, None while it is unknown."""
    summary = stats.summary
    return progress_percent(
        summary.step, stats.max_iters, summary.active_seconds, stats.max_minutes
    )


def step_text(stats: RunStats) -> str:
    """Steps done and the number of steps."""
    step = optional_text(stats.summary.step, "{:,}".format, UNKNOWN)
    if stats.max_iters is None:
        return step
    end = f"{stats.max_iters:,}"
    return f"{step.rjust(len(end))}/{end}"


def time_text(stats: RunStats, activity: RunActivity, now: float) -> tuple[str, str]:
    """Label and time: remaining time of a run that is training, else the time it trained.

    Args:
        now: Unix time, for the time of day at which a running run ends.
    """
    if activity.state not in _UNDER_WAY:
        return "trained", duration_text(stats.summary.wall_time_s)
    if activity.remaining is None:
        return "left", UNKNOWN
    # While a run is paused nobody knows when it ends.
    return "left", left_text(activity.remaining, now if activity.is_running else None)


def best_text(stats: RunStats) -> str:
    """The lowest validation loss and its step."""
    best = stats.summary.best_val_loss
    return UNKNOWN if best is None else f"{loss_text(best)} @ {stats.summary.best_step:,}"


def beaten_text(result: BaselineResult, activity: RunActivity) -> str:
    """Since when a run is better than n-grams of its text, and their loss."""
    never = "not yet" if activity.state in _UNDER_WAY else "never"
    since = never if result.beaten_at is None else f"@ {result.beaten_at:,}"
    return f"{since} ({loss_text(result.loss)})"


def stats_table(stats: RunStats, activity: RunActivity, now: float) -> list[tuple[str, str, Tone]]:
    """(label, value, tone) of every number."""
    summary = stats.summary
    time_label, time = time_text(stats, activity, now)
    is_diverged = stats.diverged_at is not None
    train_loss = "not a number" if is_diverged else _loss(summary.train_loss)
    data_share = optional_text(stats.values.get("data_share"), percent_text, UNKNOWN)
    rows: list[tuple[str, str, Tone]] = [
        ("step", step_text(stats), "plain"),
        (time_label, time, "plain"),
        ("train loss", train_loss, "error" if is_diverged else "plain"),
        ("val loss", _loss(summary.val_loss), "plain"),
        ("best val", best_text(stats), "plain"),
        ("gap", optional_text(summary.generalisation_gap, _gap, UNKNOWN), "plain"),
        ("bits per byte", _loss(summary.bits_per_byte), "plain"),
        ("gradient norm", _gradient_norm(stats), "plain"),
        ("step time", _step_time(stats), "plain"),
        ("data loading", data_share, "plain"),
        ("tokens seen", _tokens(stats), "plain"),
    ]
    if stats.ngram is not None:
        label = f"beats {stats.ngram.order}-gram"
        rows.insert(6, (label, beaten_text(stats.ngram, activity), "plain"))
    if stats.device:
        rows.append(("device", f"{stats.device} {stats.dtype}".strip(), "plain"))
    memory = stats.values.get("memory")
    if memory is not None:
        rows.append(("memory", memory_text(memory), "plain"))
    if activity.trainer:
        rows.append(("trained by", activity.trainer, "plain"))
        rows.append(("last row", _row_age(stats, now), _row_tone(stats, activity, now)))
    return rows


def stats_line(stats: RunStats, activity: RunActivity, now: float) -> list[tuple[str, str, Tone]]:
    """(label, value, tone) of the most important numbers, padded so that they do not jump."""
    summary, is_diverged = stats.summary, stats.diverged_at is not None
    loss = "nan" if is_diverged else _loss(summary.train_loss)
    cells: list[tuple[str, str, Tone]] = [
        ("train", loss.rjust(6), "error" if is_diverged else "plain"),
        ("val", _loss(summary.val_loss).rjust(6), "plain"),
        ("grad", _gradient_norm(stats).rjust(6), "plain"),
        ("", _step_time(stats).rjust(8), "plain"),
        ("", f"{_tokens(stats):>5} tok", "plain"),
    ]
    if activity.trainer:
        # Short, so that the age has space in 80 columns.
        who = activity.trainer.replace("process ", "pid ", 1)
        text = f"{who}, {_row_age(stats, now)}"
        cells.append(("", text, _row_tone(stats, activity, now)))
    elif stats.device:
        cells.append(("", f"{stats.device} {stats.dtype}".strip(), "plain"))
    return cells


def _row_age(stats: RunStats, now: float) -> str:
    return UNKNOWN if stats.updated is None else f"{age_text(now - stats.updated)} ago"


def _row_tone(stats: RunStats, activity: RunActivity, now: float) -> Tone:
    """A row that is far older than a step takes says that something hangs."""
    if stats.updated is None or not activity.is_running:
        return "plain"
    step = (stats.values.get("step_time_ms") or 0.0) / 1e3
    is_late = now - stats.updated > max(_LATE_SECONDS, _LATE_STEPS * step)
    return "warning" if is_late else "plain"


def _gap(difference: float) -> str:
    return signed_text(difference, loss_text)


def _gradient_norm(stats: RunStats) -> str:
    return optional_text(stats.values.get("grad_norm"), value_text, UNKNOWN)


def _step_time(stats: RunStats) -> str:
    return optional_text(stats.values.get("step_time_ms"), milliseconds_text, UNKNOWN)


def _tokens(stats: RunStats) -> str:
    return optional_text(stats.summary.tokens_seen, count_text, UNKNOWN)


def _loss(value: float | None) -> str:
    return optional_text(value, loss_text, UNKNOWN)


def queue_text(waiting: Sequence[str]) -> str:
    """The first jobs in the queue, and how many more."""
    if not waiting:
        return ""
    shown = ", ".join(waiting[:3])
    return f"waiting: {shown}{f' and {len(waiting) - 3} more' if len(waiting) > 3 else ''}"
