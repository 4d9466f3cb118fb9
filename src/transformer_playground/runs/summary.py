"""Run summary: metrics of a run in one record, computed from `metrics.jsonl`."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.jsonvalues import LARGEST, as_text
from transformer_playground.runs.clock import TrainingClock
from transformer_playground.runs.loss_curve import LossCurve
from transformer_playground.runs.metrics import FileOffset, RunningMedian

if TYPE_CHECKING:
    from transformer_playground.runs.series import RunSeries


@dataclass(frozen=True)
class RunSummary:
    """Metrics of one run, without rows superseded by a resume; None = unknown.

    Losses are mean cross-entropies in nats per token; evaluations use fixed windows. `clock`,
    `status` and `error` include superseded rows. "Final" values are those of the last evaluation.

    Attributes:
        train_loss: Newest finite value, as `val_loss`, `bits_per_byte` and `tokens_per_sec`.
        best_val_loss: Lowest finite validation loss, the earliest of equals, among evaluations on
            the same windows as the newest one.
        eval_windows: Windows of the newest evaluation, each of at most `window_tokens` tokens;
            None in runs of older versions, which chose windows at random.
        has_other_windows: Earlier evaluations were measured on other windows.
        best_bits_per_byte: Bits per byte of that evaluation.
        tokens_per_sec_median: Median over train rows, which exclude evaluation, sampling and
            saving; robust against slow first steps.
        earlier_seconds: See `RunSeries`.
        throughput: State that continues the median; empty if it was lost.
        val_curve: All validation losses as a short curve.
    """

    step: int | None = None
    train_step: int | None = None
    eval_step: int | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    bits_per_byte: float | None = None
    best_val_loss: float | None = None
    best_step: int | None = None
    best_bits_per_byte: float | None = None
    final_train_loss: float | None = None
    final_val_loss: float | None = None
    final_bits_per_byte: float | None = None
    eval_windows: int | None = None
    window_tokens: int | None = None
    has_other_windows: bool = False
    tokens_per_sec: float | None = None
    tokens_per_sec_median: float | None = None
    tokens_seen: int | None = None
    clock: TrainingClock = field(default_factory=TrainingClock)
    status: str | None = None
    error: str | None = None
    early_stopped: bool = False
    earlier_seconds: float | None = None
    throughput: RunningMedian = field(default_factory=RunningMedian, compare=False)
    val_curve: LossCurve = field(default_factory=LossCurve)

    @property
    def wall_time_s(self) -> float:
        """Seconds of training, without pauses."""
        return round(self.clock.seconds, 3)

    @property
    def active_seconds(self) -> float:
        """Seconds that count against `max_minutes`: those of a branch with those of its parent."""
        return self.clock.seconds + (self.earlier_seconds or 0.0)

    @property
    def generalisation_gap(self) -> float | None:
        """`final_val_loss - final_train_loss`."""
        if self.final_val_loss is None or self.final_train_loss is None:
            return None
        return self.final_val_loss - self.final_train_loss

    @property
    def best_perplexity(self) -> float | None:
        """`exp(best_val_loss)`; None on overflow."""
        return _perplexity(self.best_val_loss)

    @property
    def final_perplexity(self) -> float | None:
        """`exp(final_val_loss)`; None on overflow."""
        return _perplexity(self.final_val_loss)


def _perplexity(loss: float | None) -> float | None:
    return None if loss is None or loss > math.log(LARGEST) else math.exp(loss)


def summary_of(
    series: "RunSeries",
    throughput: RunningMedian | None = None,
    val_curve: LossCurve | None = None,
) -> RunSummary:
    """Compute the summary of a series; `throughput` and `val_curve` continue earlier rows'."""
    from transformer_playground.runs.series import PROGRESS

    rates = series.throughput(throughput or RunningMedian())
    same_windows = series.same_windows()
    best = series.best_evaluation(same_windows)
    reached = (_last_step(series, event) for event in PROGRESS)
    status = series.last_status or {}
    return RunSummary(
        step=max((step for step in reached if step is not None), default=None),
        train_step=_last_step(series, "train"),
        eval_step=_last_step(series, "eval"),
        train_loss=series.newest("train", "train_loss"),
        val_loss=series.newest("eval", "val_loss"),
        bits_per_byte=series.newest("eval", "val_bits_per_byte"),
        best_val_loss=series.at("eval", "val_loss", best),
        best_step=_whole(series.at("eval", "step", best)),
        best_bits_per_byte=series.at("eval", "val_bits_per_byte", best),
        final_train_loss=series.at("eval", "train_loss", -1),
        final_val_loss=series.at("eval", "val_loss", -1),
        final_bits_per_byte=series.at("eval", "val_bits_per_byte", -1),
        eval_windows=_whole(series.at("eval", "eval_windows", -1)),
        window_tokens=_whole(series.at("eval", "window_tokens", -1)),
        has_other_windows=not same_windows.all(),
        tokens_per_sec=series.newest("train", "tokens_per_sec"),
        tokens_per_sec_median=rates.median,
        # Without checkpoint rows: a later row may replace one of the same step, which an
        # incremental summary would not notice.
        tokens_seen=_largest(series, ("train", "eval", "status"), "tokens_seen"),
        clock=series.clock,
        status=as_text(status.get("status")),
        error=as_text(status.get("error")),
        early_stopped=status.get("early_stopped") is True,
        earlier_seconds=series.earlier_seconds,
        throughput=rates,
        val_curve=(val_curve or LossCurve()).with_more(series.column("eval", "val_loss").tolist()),
    )


def _last_step(series: "RunSeries", event: str) -> int | None:
    return _whole(series.at(event, "step", -1))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _largest(series: "RunSeries", events: tuple[str, ...], key: str) -> int | None:
    import numpy as np

    columns = [series.column(event, key) for event in events]
    highest = [float(np.fmax.reduce(column)) for column in columns if column.size]
    return max((int(value) for value in highest if math.isfinite(value)), default=None)


def read_summary(path: Path) -> tuple[RunSummary, FileOffset]:
    """Summary of a metrics file and the offset read; empty if the file is missing."""
    from transformer_playground.runs.series import RunSeries

    series = RunSeries(path)
    series.poll()
    return summary_of(series), series.position


def extend_summary(
    path: Path, summary: RunSummary, start: FileOffset
) -> tuple[RunSummary, FileOffset] | None:
    """Extend `summary` by the rows after `start`, without reading earlier ones.

    Returns:
        None if the whole file must be read: it was replaced, new rows supersede earlier ones, or
        the running median was lost.
    """
    from transformer_playground.runs.series import RunSeries

    if summary.throughput.has_lost_median or (
        summary.tokens_per_sec_median != summary.throughput.median
    ):
        return None
    series = RunSeries(path, start, summary.clock)
    series.poll()
    if series.was_reset or "resume" in series.events:
        return None
    for event, last in (("train", summary.train_step), ("eval", summary.eval_step)):
        steps = series.column(event, "step")
        if steps.size and last is not None and steps[0] <= last:
            return None
    later = summary_of(series, summary.throughput, summary.val_curve)
    if later.throughput.has_lost_median or _changes_windows(summary, later):
        return None
    return _merge(summary, later, has_status=series.last_status is not None), series.position


def update_summary(
    path: Path, summary: RunSummary, start: FileOffset
) -> tuple[RunSummary, FileOffset]:
    """Update a summary that covers the file up to `start`."""
    return extend_summary(path, summary, start) or read_summary(path)


_NEWEST = (
    *("train_step", "eval_step", "train_loss", "val_loss", "bits_per_byte", "tokens_per_sec"),
    "earlier_seconds",
)
_HIGHEST = ("step", "tokens_seen")
_OF_BEST = ("best_val_loss", "best_step", "best_bits_per_byte")
_OF_LAST = (
    *("final_train_loss", "final_val_loss", "final_bits_per_byte"),
    *("eval_windows", "window_tokens"),
)
_OF_STATUS = ("status", "error", "early_stopped")


def _merge(earlier: RunSummary, later: RunSummary, *, has_status: bool) -> RunSummary:
    """Merge summaries of consecutive rows; the later rows supersede none of the earlier."""
    kept = [key for key in _NEWEST if getattr(later, key) is None]
    for key in _HIGHEST:
        before, after = getattr(earlier, key), getattr(later, key)
        if after is None or (before is not None and before > after):
            kept.append(key)
    # Of equal losses the earlier one is best.
    best = earlier.best_val_loss
    if best is not None and (later.best_val_loss is None or best <= later.best_val_loss):
        kept += _OF_BEST
    if later.eval_step is None:
        kept += _OF_LAST
    if not has_status:
        kept += _OF_STATUS
    changes: dict[str, Any] = {key: getattr(earlier, key) for key in kept}
    changes["has_other_windows"] = earlier.has_other_windows or later.has_other_windows
    return replace(later, **changes)


def _changes_windows(earlier: RunSummary, later: RunSummary) -> bool:
    """Whether evaluations of the later rows were measured on other windows than earlier ones."""
    if earlier.eval_step is None or later.eval_step is None:
        return False
    before, after = (
        (each.eval_windows, each.window_tokens, each.has_other_windows and each is later)
        for each in (earlier, later)
    )
    return before != after
