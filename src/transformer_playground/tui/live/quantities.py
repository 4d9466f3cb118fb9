"""Quantities of the live chart: which numbers of the metrics rows it can plot."""

from dataclasses import dataclass


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
    """Something that the chart can show; `key` is its name in the settings file."""

    key: str
    title: str
    curves: tuple[CurveSpec, ...]


def _of_training(key: str, title: str) -> Quantity:
    return Quantity(key, title, (CurveSpec("train", key, title),))


_VAL_LOSS = CurveSpec("eval", "val_loss", "val", is_primary=True)
_BITS_PER_BYTE = CurveSpec("eval", "val_bits_per_byte", "val", is_primary=True)
QUANTITIES = (
    Quantity("loss", "loss", (CurveSpec("train", "train_loss", "train"), _VAL_LOSS)),
    _of_training("lr", "learning rate"),
    _of_training("tokens_per_sec", "tokens/s"),
    _of_training("grad_norm", "gradient norm"),
    _of_training("step_time_ms", "step time (ms)"),
    _of_training("data_share", "share of data loading"),
    Quantity("bits_per_byte", "bits per byte", (_BITS_PER_BYTE,)),
)


def find_quantity(key: str) -> Quantity:
    """The quantity with this key, else the first one."""
    return next((each for each in QUANTITIES if each.key == key), QUANTITIES[0])
