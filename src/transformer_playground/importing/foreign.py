"""Foreign model: weights, tokenizer and training state that another program saved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from transformer_playground.data.tokenizers import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

Format = Literal["nanogpt", "huggingface"]


class Moments(NamedTuple):
    """State of AdamW for one parameter: number of updates and running averages of its gradient."""

    step: float
    exp_avg: "Tensor"
    exp_avg_sq: "Tensor"


@dataclass(frozen=True)
class ForeignModel:
    """A model of another program under the names of our own.

    Attributes:
        source: The file or folder it was read from.
        model_args: The `[model]` table with the vocabulary size.
        weights: Float32 weights by parameter name; a tied head is left out.
        tokenizer: Its tokenizer; None if it is unknown.
        tokenizer_problem: Why the tokenizer is unknown: one sentence.
        step: Number of finished optimizer steps; 0 if unknown.
        moments: Optimizer state by parameter name; None if there is none.
        moments_problem: Why there is no optimizer state; empty if there is one or none is expected.
        settings: Training settings as tables of the configuration, such as `train`.
        val_loss: Validation loss of these weights in nats per token, if recorded.
    """

    source: Path
    format: Format
    model_args: Mapping[str, Any]
    weights: "Mapping[str, Tensor]"
    tokenizer: Tokenizer | None
    tokenizer_problem: str = ""
    step: int = 0
    moments: Mapping[str, Moments] | None = None
    moments_problem: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    val_loss: float | None = None
