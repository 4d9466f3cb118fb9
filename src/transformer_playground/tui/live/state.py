"""Live statistics of runs: quantities of the chart, numbers, remaining time, lines of the log."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from transformer_playground.formatting import loss_text
from transformer_playground.jsonvalues import as_int, as_number, as_text
from transformer_playground.runs.column_buffer import FloatArray
from transformer_playground.runs.fields import GLYPHS
from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.series import Axis, RunSeries
from transformer_playground.runs.summary import RunSummary, summary_of
from transformer_playground.terminal import visible_line

AXES: tuple[Axis, ...] = ("step", "tokens", "time")
# Enough rows for a robust middle, few enough to follow a machine that gets busier.
_RECENT_ROWS = 400
_LONGEST_TEXT = 2_000
_STATE_GLYPHS = {**GLYPHS, "paused": "‖", "queued": "…", "preparing": "…", "starting": "…"}


@dataclass(frozen=True)
class Part:
    """One line that a run has in the chart.

    Attributes:
        event: Event of the rows.
        key: Key of the values in them.
        name: What the legend calls it.
        leads: Whether it is the one to look at: in full colour, never smoothed.
    """

    event: str
    key: str
    name: str
    leads: bool = False


@dataclass(frozen=True)
class Quantity:
    """Something that the chart can show.

    Attributes:
        key: Its name in the settings.
        title: Its name on the screen.
        parts: The lines of each run.
    """

    key: str
    title: str
    parts: tuple[Part, ...]


def _of_training(key: str, title: str) -> Quantity:
    return Quantity(key, title, (Part("train", key, title),))


QUANTITIES = (
    Quantity(
        "loss",
        "loss",
        (Part("train", "train_loss", "train"), Part("eval", "val_loss", "val", leads=True)),
    ),
    _of_training("lr", "learning rate"),
    _of_training("tokens_per_sec", "tokens/s"),
    _of_training("grad_norm", "gradient norm"),
    _of_training("step_time_ms", "step time (ms)"),
    _of_training("data_share", "share of data loading"),
    Quantity(
        "bits_per_byte",
        "bits per byte",
        (Part("eval", "val_bits_per_byte", "val", leads=True),),
    ),
)


def quantity_named(key: str) -> Quantity:
    """The quantity with this key, or the first."""
    return next((each for each in QUANTITIES if each.key == key), QUANTITIES[0])


@dataclass(frozen=True)
class RunStats:
    """The numbers of one run.

    Attributes:
        summary: Its metrics, as everywhere.
        values: Key of a train row -> its newest finite value.
        diverged_at: Step of the newest train row if its loss is not a finite number.
        error: Why it failed, harmless text.
        remaining: Seconds until the end at the pace of late, evaluations included.
    """

    summary: RunSummary = field(default_factory=RunSummary)
    values: Mapping[str, float | None] = field(default_factory=dict)
    max_iters: int | None = None
    diverged_at: int | None = None
    device: str = ""
    dtype: str = ""
    error: str = ""
    remaining: float | None = None

    def newest(self, key: str) -> float | None:
        """The newest value of a key, None while there is none."""
        return self.values.get(key)


_TRAIN_KEYS = ("grad_norm", "step_time_ms", "data_share")


def stats_of(series: RunSeries) -> RunStats:
    """The numbers of a run from its metrics."""
    start, summary = series.last_start or {}, summary_of(series)
    losses = series.column("train", "train_loss")
    is_diverged = bool(len(losses)) and not math.isfinite(losses[-1])
    end = as_int(start.get("max_iters")) or 0
    max_iters = end if end > 0 else None
    return RunStats(
        summary=summary,
        values={key: series.newest("train", key) for key in _TRAIN_KEYS},
        max_iters=max_iters,
        diverged_at=summary.train_step if is_diverged else None,
        device=_word(start.get("device")),
        dtype=_word(start.get("dtype")),
        error=_word(summary.error) if summary.status == "failed" else "",
        remaining=_remaining(series, max_iters),
    )


def _word(value: object) -> str:
    return visible_line((as_text(value) or "")[:_LONGEST_TEXT])


def _remaining(series: RunSeries, max_iters: int | None) -> float | None:
    if max_iters is None:
        return None
    curve = series.curve("train", "step", "time")
    evaluated = series.column("eval", "step")
    return remaining_seconds(curve.y, curve.x, evaluated, max_iters)


def remaining_seconds(
    steps: FloatArray, seconds: FloatArray, evaluated: FloatArray, end: int
) -> float | None:
    """How long training still takes, judged by its latest rows; None while they are too few.

    Medians, so that a moment in which the machine slept or was busy does not count: one for a
    step, one for what an evaluation (with its sample and checkpoint) adds.

    Args:
        steps: Steps of training rows, ascending.
        seconds: Seconds of training at each of them.
        evaluated: Steps at which the run was evaluated, ascending.
        end: The last step.
    """
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


def state_text(state: str) -> str:
    """Glyph and word of a state."""
    return f"{_STATE_GLYPHS.get(state, '?')} {visible_line(state)}"


LogKind = Literal["evaluation", "checkpoint", "warning", "status", "error"]


@dataclass(frozen=True)
class LogLine:
    """Something that happened to a run.

    Attributes:
        text: Harmless, on one line.
    """

    time: float
    step: int
    kind: LogKind
    text: str


def log_line(row: Row) -> LogLine | None:
    """A row of the metrics as a line of the log; None for one that is not told."""
    told = _told(row)
    if told is None:
        return None
    return LogLine(as_number(row.get("time")) or 0.0, row["step"], told[0], told[1])


def _told(row: Row) -> tuple[LogKind, str] | None:
    match row["event"]:
        case "eval":
            star = " ★ best" if row.get("is_best") is True else ""
            val, train = _number(row.get("val_loss")), _number(row.get("train_loss"))
            return "evaluation", f"val {val}{star} · train {train}"
        case "checkpoint":
            kinds = row.get("kinds")
            names = kinds if isinstance(kinds, list) else []
            return "checkpoint", f"checkpoint {' and '.join(_word(name) for name in names)}"
        case "warning":
            return "warning", _word(row.get("message")) or "a warning without words"
        case "resume":
            return "status", f"resumed from {_word(row.get('checkpoint')) or 'a checkpoint'}"
        case "status":
            return _told_status(row)
    return None


def _told_status(row: Row) -> tuple[LogKind, str]:
    state = _word(row.get("status")) or "?"
    error = _word(row.get("error"))
    if state == "failed":
        return "error", f"failed: {error}" if error else "failed"
    best = row.get("best_val_loss")
    ending = f" · best val {_number(best)}" if best is not None else ""
    early = " early" if row.get("early_stopped") is True else ""
    return "status", f"{state}{early}{ending}"


def _number(value: object) -> str:
    found = as_number(value)
    return "not a number" if found is None else loss_text(found)
