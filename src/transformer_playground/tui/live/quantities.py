"""Quantities of the live chart: which numbers of the metrics rows it can plot."""

from collections.abc import Callable
from dataclasses import dataclass

from transformer_playground.formatting import (
    count_text,
    learning_rate_text,
    loss_text,
    milliseconds_text,
    percent_text,
    value_text,
)


@dataclass(frozen=True)
class CurveSpec:
    """One curve of a quantity.

    Attributes:
        event: Event of the rows that hold the values.
        key: Key of the values in these rows.
        name: Name in the legend.
        is_primary: Whether it is drawn in full colour and never smoothed.
    """

    event: str
    key: str
    name: str
    is_primary: bool = False


@dataclass(frozen=True)
class Quantity:
    """Something that the chart can show.

    Attributes:
        key: Its name in the settings file.
        show: Formats a value of the chart as the numbers beside it are written.
        scale: Factor from values of the rows to those of the chart.
    """

    key: str
    title: str
    curves: tuple[CurveSpec, ...]
    show: Callable[[float], str] = loss_text
    scale: float = 1.0


def _of_training(
    key: str, title: str, show: Callable[[float], str], scale: float = 1.0
) -> Quantity:
    return Quantity(key, title, (CurveSpec("train", key, title),), show, scale)


def _percent(value: float) -> str:
    return percent_text(value / 100)


_VAL_LOSS = CurveSpec("eval", "val_loss", "val", is_primary=True)
_BITS_PER_BYTE = CurveSpec("eval", "val_bits_per_byte", "val", is_primary=True)
QUANTITIES = (
    Quantity("loss", "loss", (CurveSpec("train", "train_loss", "train"), _VAL_LOSS)),
    _of_training("lr", "learning rate", learning_rate_text),
    _of_training("tokens_per_sec", "tokens/s", count_text),
    _of_training("grad_norm", "gradient norm", value_text),
    _of_training("step_time_ms", "step time (ms)", milliseconds_text),
    _of_training("data_share", "data loading (%)", _percent, scale=100.0),
    Quantity("bits_per_byte", "bits per byte", (_BITS_PER_BYTE,)),
)


def find_quantity(key: str) -> Quantity:
    """The quantity with this key, else the first one."""
    return next((each for each in QUANTITIES if each.key == key), QUANTITIES[0])
