"""Quantities by which runs are compared: names and kinds of the figures of a `RunSummary`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from transformer_playground.jsonvalues import as_number
from transformer_playground.runs.summary import RunSummary

Kind = Literal["count", "step", "seconds", "rate", "loss", "perplexity"]
Measures = Mapping[str, float | None]
"""Key of each of `QUANTITIES` -> one run's figure; None where it was not measured."""


@dataclass(frozen=True)
class Quantity:
    """One figure of a run.

    Attributes:
        key: Its name in comparisons.
        label: What people call it.
        kind: What kind of number it is.
        per_token: It counts tokens, so that it says nothing across tokenizers.
        has_delta: The difference between two runs means something.
        source: Its name in `RunSummary`, where that differs.
    """

    key: str
    label: str
    kind: Kind
    per_token: bool = False
    has_delta: bool = True
    source: str = ""


QUANTITIES = (
    Quantity("parameters", "parameters", "count"),
    Quantity("tokens_seen", "tokens seen", "count", per_token=True),
    Quantity("final_step", "steps", "step", has_delta=False, source="step"),
    Quantity("wall_time_s", "wall time", "seconds"),
    Quantity(
        "tokens_per_second", "tokens/s", "rate", per_token=True, source="tokens_per_sec_median"
    ),
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


def measures_of(parameters: object, summary: RunSummary) -> Measures:
    """The figures of a run.

    Args:
        parameters: What `config.json` says of the number of weights.
        summary: Its metrics.
    """
    others: dict[str, object] = {"parameters": parameters}
    if summary.clock.begin is None:
        # No row says when it was written.
        others["wall_time_s"] = None
    return {
        key: as_number(others[key] if key in others else getattr(summary, each.source or key))
        for each in QUANTITIES
        for key in [each.key]
    }
