"""Cells of comparison tables as text."""

from collections.abc import Callable, Mapping
from typing import Any

from transformer_playground.comparison.columns import Delta
from transformer_playground.comparison.compare import MISSING
from transformer_playground.comparison.compared_run import Kind
from transformer_playground.comparison.estimates import Estimate
from transformer_playground.config.toml import shortened
from transformer_playground.formatting import (
    UNKNOWN,
    change_text,
    count_text,
    duration_text,
    loss_text,
    perplexity_text,
    position_text,
    signed_text,
)
from transformer_playground.runs.fields import setting_text

_MAX_VALUE_CHARS = 32
_FORMATS: Mapping[str, Callable[[float], str]] = {
    "count": count_text,
    "step": lambda value: position_text(round(value)),
    "seconds": duration_text,
    "rate": count_text,
    "loss": loss_text,
    "perplexity": perplexity_text,
}


def value_text(value: Any, *, shorten: bool) -> str:
    """The value of a setting, or another value of a run."""
    if value is MISSING:
        return UNKNOWN
    text = setting_text(value, is_exact=not shorten)
    return shortened(text, _MAX_VALUE_CHARS) if shorten else text


def estimate_text(kind: Kind, value: Estimate) -> str:
    """A mean and its standard error."""
    if value.mean is None:
        return UNKNOWN
    number = _FORMATS[kind]
    # Equal counts have no error.
    if value.standard_error is None or (kind in ("count", "step") and not value.standard_error):
        return number(value.mean)
    return f"{number(value.mean)} ± {number(value.standard_error)}"


def delta_text(kind: Kind, value: Delta, *, percent: bool = True) -> str:
    """A difference with its sign and standard error, and in percent if wanted."""
    number = _FORMATS[kind]
    text = signed_text(value.difference, number)
    if value.standard_error:
        text += f" ± {number(value.standard_error)}"
    if value.percent is None or not percent:
        return text
    return f"{text} ({change_text(value.percent / 100)})"
