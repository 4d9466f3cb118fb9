"""The numbers that two runs are compared by, taken from what a run folder holds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformer_playground.jsonvalues import as_number
from transformer_playground.runs.lines import Row
from transformer_playground.runs.summary import best_evaluation
from transformer_playground.runs.throughput import Rates

Kind = Literal["count", "step", "seconds", "rate", "loss", "perplexity"]


@dataclass(frozen=True)
class Measures:
    """One run in numbers; what was not measured, or was not finite, is None.

    Losses are mean cross-entropies per token in nats, of evaluations: both splits on the same fixed
    windows in evaluation mode. "Final" is the last evaluation, "best" the one of lowest validation
    loss.

    Attributes:
        parameters: Number of weights.
        tokens_seen: Training tokens of all steps.
        final_step: Optimizer steps done.
        wall_time_s: Seconds spent training, pauses between a stop and a resume left out.
        tokens_per_second: Median over the logged training rows, which leave out evaluation,
            sampling and saving. The median ignores the slow first steps and short disturbances.
        best_val_loss: Lowest validation loss.
        best_step: Step of that evaluation.
        final_train_loss: Training loss of the last evaluation.
        final_val_loss: Validation loss of the last evaluation.
        generalisation_gap: `final_val_loss - final_train_loss`.
        best_bits_per_byte: Bits per UTF-8 byte of validation text at the best evaluation.
        final_bits_per_byte: The same at the last evaluation.
        best_perplexity: `exp(best_val_loss)`.
        final_perplexity: `exp(final_val_loss)`.
    """

    parameters: float | None = None
    tokens_seen: float | None = None
    final_step: float | None = None
    wall_time_s: float | None = None
    tokens_per_second: float | None = None
    best_val_loss: float | None = None
    best_step: float | None = None
    final_train_loss: float | None = None
    final_val_loss: float | None = None
    generalisation_gap: float | None = None
    best_bits_per_byte: float | None = None
    final_bits_per_byte: float | None = None
    best_perplexity: float | None = None
    final_perplexity: float | None = None


@dataclass(frozen=True)
class Quantity:
    """What one number of `Measures` is.

    Attributes:
        key: Its name there.
        label: What people call it.
        kind: What kind of number it is.
        per_token: It counts tokens, so that it says nothing across tokenizers.
        has_delta: The difference between two runs means something.
    """

    key: str
    label: str
    kind: Kind
    per_token: bool = False
    has_delta: bool = True


QUANTITIES = (
    Quantity("parameters", "parameters", "count"),
    Quantity("tokens_seen", "tokens seen", "count", per_token=True),
    Quantity("final_step", "steps", "step", has_delta=False),
    Quantity("wall_time_s", "wall time", "seconds"),
    Quantity("tokens_per_second", "tokens/s", "rate", per_token=True),
    Quantity("best_val_loss", "best val loss", "loss", per_token=True),
    Quantity("best_step", "best step", "step", has_delta=False),
    Quantity("final_train_loss", "final train loss", "loss", per_token=True),
    Quantity("final_val_loss", "final val loss", "loss", per_token=True),
    Quantity("generalisation_gap", "gap val - train", "loss", per_token=True),
    Quantity("best_bits_per_byte", "best bits/byte", "loss"),
    Quantity("final_bits_per_byte", "final bits/byte", "loss"),
    Quantity("best_perplexity", "best perplexity", "perplexity", per_token=True),
    Quantity("final_perplexity", "final perplexity", "perplexity", per_token=True),
)


def measure(parameters: Any, summary: Mapping[str, Any], rows: Sequence[Row]) -> Measures:
    """The numbers of a run.

    Args:
        parameters: What `config.json` says of the number of weights.
        summary: As `runs.summary.summarise` makes it.
        rows: The metrics rows that still hold, as `runs.metrics.read_rows` gives them.
    """
    best = best_evaluation(rows) or {}
    final = next((row for row in reversed(rows) if row["event"] == "eval"), {})
    best_loss, final_loss = as_number(best.get("val_loss")), as_number(final.get("val_loss"))
    train_loss = as_number(final.get("train_loss"))
    gap = None if final_loss is None or train_loss is None else final_loss - train_loss
    return Measures(
        parameters=as_number(parameters),
        tokens_seen=as_number(summary.get("tokens_seen")),
        final_step=as_number(summary.get("final_step")),
        wall_time_s=as_number(summary.get("wall_time_s")) if _are_timed(rows) else None,
        tokens_per_second=_median_rate(rows),
        best_val_loss=best_loss,
        best_step=None if best_loss is None else as_number(best.get("step")),
        final_train_loss=train_loss,
        final_val_loss=final_loss,
        generalisation_gap=gap,
        best_bits_per_byte=as_number(best.get("val_bits_per_byte")),
        final_bits_per_byte=as_number(final.get("val_bits_per_byte")),
        best_perplexity=_perplexity(best_loss),
        final_perplexity=_perplexity(final_loss),
    )


def _are_timed(rows: Sequence[Row]) -> bool:
    return any(as_number(row.get("time")) is not None for row in rows)


def _median_rate(rows: Sequence[Row]) -> float | None:
    rates = [as_number(row.get("tokens_per_sec")) for row in rows if row["event"] == "train"]
    return Rates().with_more(rate for rate in rates if rate is not None).median


def _perplexity(loss: float | None) -> float | None:
    try:
        return None if loss is None else as_number(math.exp(loss))
    except OverflowError:
        return None
