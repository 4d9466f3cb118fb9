"""Which architecture of another program computes what a `[model]` table says: a table as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import ExportError

Features = Mapping[str, Any]


@dataclass(frozen=True)
class AtMost:
    """Numbers up to a limit."""

    limit: float

    def __contains__(self, value: Any) -> bool:
        return bool(value <= self.limit)

    def __getitem__(self, _index: int) -> float:
        return self.limit


Allowed = tuple[Any, ...] | AtMost


@dataclass(frozen=True)
class Row:
    """An architecture and the settings that it can express.

    Attributes:
        name: As the other program calls it.
        allowed: Setting -> its possible values; settings that are not named may have any value.
    """

    name: str
    allowed: Mapping[str, Allowed] = field(default_factory=dict)

    def refused(self, features: Features) -> dict[str, Allowed]:
        """Settings that this architecture does not express, with the values that it does."""
        return {
            key: values
            for key, values in self.allowed.items()
            if key in features and features[key] not in values
        }


AnyRow = TypeVar("AnyRow", bound=Row)


def features(config: ModelConfig) -> dict[str, Any]:
    """The settings that decide what a model computes.

    Settings without an effect are left out, such as those of a disabled MLP; `attention_window` and
    `logit_softcap` are None if they are off or limit nothing.
    """
    window = config.attention_window
    found: dict[str, Any] = {
        "norm_position": config.norm_position,
        "logit_softcap": config.logit_softcap or None,
        "norm": config.norm,
        "positional_encoding": config.positional_encoding,
        "qk_norm": config.qk_norm,
        "attention_window": None if window is None or window >= config.block_size else window,
        "parallel_residual": config.parallel_residual and config.mlp_enabled,
        "bias": config.bias,
        "tie_embeddings": config.tie_embeddings,
    }
    if config.mlp_enabled:
        found |= {"activation": config.activation, "mlp_ratio": config.mlp_ratio}
    return found


def choose_row(
    config: ModelConfig, rows: Sequence[AnyRow], *, program: str, instead: str = ""
) -> AnyRow:
    """The first row that has every setting of a model.

    Args:
        config: The model.
        rows: In order of preference.
        program: Name of the other program.
        instead: A second sentence for the hint.

    Raises:
        ExportError: There is none; the sentence names the settings, the hint the nearest row.
    """
    own = features(config)
    refused = {row.name: (row, row.refused(own)) for row in rows}
    for row, problems in refused.values():
        if not problems:
            return row
    row, problems = min(refused.values(), key=lambda entry: len(entry[1]))
    stated = _join(f"model.{key} = {_shown(own[key])}" for key in problems)
    needed = _join(f"model.{key} = {_shown(values[0])}" for key, values in problems.items())
    hint = f"With {needed} it would be {row.name}; that needs a newly trained model."
    raise ExportError(
        f"{program} has no architecture with {stated} beside the other settings of this model.",
        f"{hint} {instead}".strip(),
    )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _join(parts: Any) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else str(last)
