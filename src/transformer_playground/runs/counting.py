"""Tallies of metrics files: counted from the first row, or carried on where one ended."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from transformer_playground.jsonvalues import as_text
from transformer_playground.runs.metrics import Mark
from transformer_playground.runs.series import RunSeries
from transformer_playground.runs.tally import PROGRESS, Tally
from transformer_playground.runs.throughput import Rates

_T = TypeVar("_T")
# Rows that count tokens. A newer checkpoint of a step replaces an older one, which no count that is
# carried on would notice: none is asked.
_TOKENS = tuple(event for event in PROGRESS if event != "checkpoint")


def count_rows(path: Path) -> tuple[Tally, Mark]:
    """The tally of a metrics file, and how far it reaches; an absent file has an empty one."""
    series = RunSeries(path)
    series.poll()
    return _tally(series, Rates()), series.mark


def count_on(path: Path, tally: Tally, mark: Mark) -> tuple[Tally, Mark] | None:
    """`tally` with the rows that came after `mark`, without reading the earlier ones again.

    Returns:
        None when only a whole count can tell: the file began anew, the new rows supersede
        earlier ones, or what is left of their throughputs does not hold the median.
    """
    if tally.rates.has_lost_median or tally.tokens_per_second != tally.rates.median:
        return None
    series = RunSeries(path, mark, tally.clock)
    series.poll()
    if series.was_reset or "resume" in series.events:
        return None
    for event, last in (("train", tally.train_step), ("eval", tally.eval_step)):
        steps = series.column(event, "step")
        if steps.size and last is not None and steps[0] <= last:
            return None
    later = _tally(series, tally.rates)
    if later.rates.has_lost_median:
        return None
    return _then(tally, later, has_status=series.last_status is not None), series.mark


def _tally(series: RunSeries, earlier: Rates) -> Tally:
    """The tally of some rows; throughputs are taken together with those of earlier ones."""
    rates = earlier.with_more(series.column("train", "tokens_per_sec").tolist())
    best_loss, best_step = _best(series)
    status = series.last_status or {}
    last_word, error = status.get("status"), status.get("error")
    return Tally(
        step=_largest(series, PROGRESS, "step"),
        train_step=_largest(series, ("train",), "step"),
        eval_step=_largest(series, ("eval",), "step"),
        train_loss=series.newest("train", "train_loss"),
        val_loss=series.newest("eval", "val_loss"),
        best_val_loss=best_loss,
        best_step=best_step,
        bits_per_byte=series.newest("eval", "val_bits_per_byte"),
        tokens_per_second=rates.median,
        tokens_seen=_largest(series, _TOKENS, "tokens_seen"),
        clock=series.clock,
        last_word=as_text(last_word),
        error=as_text(error),
        early_stopped=status.get("early_stopped") is True,
        rates=rates,
    )


def _best(series: RunSeries) -> tuple[float | None, int | None]:
    losses = series.column("eval", "val_loss")
    if np.isnan(losses).all():
        return None, None
    best = int(np.nanargmin(losses))
    return float(losses[best]), int(series.column("eval", "step")[best])


def _largest(series: RunSeries, events: tuple[str, ...], key: str) -> int | None:
    columns = [series.column(event, key) for event in events]
    known = [column[np.isfinite(column)] for column in columns]
    return max((int(column.max()) for column in known if column.size), default=None)


def _then(tally: Tally, later: Tally, *, has_status: bool) -> Tally:
    """The tally of two stretches of rows of which the later supersedes nothing."""
    best = tally if _is_as_low(tally.best_val_loss, later.best_val_loss) else later
    word = later if has_status else tally
    return replace(
        later,
        step=_higher(tally.step, later.step),
        train_step=_newer(tally.train_step, later.train_step),
        eval_step=_newer(tally.eval_step, later.eval_step),
        train_loss=_newer(tally.train_loss, later.train_loss),
        val_loss=_newer(tally.val_loss, later.val_loss),
        best_val_loss=best.best_val_loss,
        best_step=best.best_step,
        bits_per_byte=_newer(tally.bits_per_byte, later.bits_per_byte),
        tokens_seen=_higher(tally.tokens_seen, later.tokens_seen),
        last_word=word.last_word,
        error=word.error,
        early_stopped=word.early_stopped,
    )


def _is_as_low(loss: float | None, later: float | None) -> bool:
    return later is None or (loss is not None and loss <= later)


def _newer(value: _T | None, later: _T | None) -> _T | None:
    return value if later is None else later


def _higher(value: int | None, later: int | None) -> int | None:
    return max((one for one in (value, later) if one is not None), default=None)
