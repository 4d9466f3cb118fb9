"""Quantities of the live chart: which numbers of the metrics rows it can plot."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_playground.formatting import (
    VALUE_WIDTH,
    count_text,
    learning_rate_text,
    loss_text,
    milliseconds_text,
    percent_text,
    size_text,
    value_text,
)
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.tui.settings import Settings

# The y axis need not reach this share of a line, its start: there losses fall most.
LEFT_OUT = 0.05
# Numbers of the rows that count or identify something.
_BOOKKEEPING = frozenset({"step", "time", "monotonic", "eval_windows", "window_tokens"})
_NO_CURVES = frozenset({"status", "resume", "request", "warning", "checkpoint"})
_OWN_EVENT, _MEASURED_EVENT = "train", "eval"
_MAX_TITLE = 60


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
        key: The console's name for it, else the key of the values in the rows of `event`.
        title: Printable text.
        show: Formats a value of the chart as the numbers beside it are written.
        scale: Factor from values of the rows to those of the chart.
        left_out: Share of each curve, at its start, that the y axis need not reach.
        event: Event of the rows of a number that the console does not know; empty for others.
        may_lack: Whether rows may be without it, which is no failure of the run.
    """

    key: str
    title: str
    curves: tuple[CurveSpec, ...]
    show: Callable[[float], str] = loss_text
    scale: float = 1.0
    left_out: float = LEFT_OUT
    event: str = ""
    may_lack: bool = False

    @property
    def id(self) -> str:
        """A text that no other quantity has; events and keys may hold any character."""
        return repr((self.event, self.key)) if self.event else self.key


def _of_training(
    key: str,
    title: str,
    show: Callable[[float], str],
    scale: float = 1.0,
    left_out: float = LEFT_OUT,
) -> Quantity:
    return Quantity(key, title, (CurveSpec("train", key, title),), show, scale, left_out)


def memory_text(value: float) -> str:
    """Bytes in binary units, as short as a value of a chart: 784 MiB, 11.5 GiB."""
    text = size_text(max(0, round(value)))
    number, unit = text.split()
    return text if len(text) <= VALUE_WIDTH else f"{float(number):.0f} {unit}"


def _percent(value: float) -> str:
    return percent_text(value / 100)


def _of_machine(key: str, title: str, show: Callable[[float], str], event: str = "") -> Quantity:
    """A system metric."""
    curves = (CurveSpec("train", key, title),)
    return Quantity(key, title, curves, show, event=event, may_lack=True)


_VAL_LOSS = CurveSpec("eval", "val_loss", "val", is_primary=True)
_BITS_PER_BYTE = CurveSpec("eval", "val_bits_per_byte", "val", is_primary=True)
QUANTITIES = (
    Quantity("loss", "loss", (CurveSpec("train", "train_loss", "train"), _VAL_LOSS)),
    # The warm-up of the learning rate is its start.
    _of_training("lr", "learning rate", learning_rate_text, left_out=0.0),
    _of_training("grad_norm", "gradient norm", value_text),
    _of_training("tokens_per_sec", "tokens/s", count_text),
    Quantity("bits_per_byte", "bits per byte", (_BITS_PER_BYTE,)),
    _of_machine("memory", "memory", memory_text),
    _of_training("step_time_ms", "step time (ms)", milliseconds_text),
    _of_training("data_share", "data loading (%)", _percent, scale=100.0),
    # 100 = one core.
    _of_machine("cpu_percent", "CPU (%)", _percent),
    _of_machine("others_cpu_percent", "CPU of others (%)", _percent),
    _of_machine("host_memory", "host memory", memory_text),
    _of_machine("disk_free", "free disk space", memory_text),
)
"""What the console knows by name, in the order of lists."""
BESIDE = QUANTITIES[1:6]
"""The quantities of the small charts beside the loss."""

# How many GPUs a run uses is up to the run.
_GPU = re.compile(r"gpu([0-9]{1,4})_([a-z]+)")
_GPU_FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "percent": ("(%)", _percent),
    "memory": ("memory", memory_text),
    "watts": ("power (W)", "{:.0f} W".format),
    "celsius": ("temperature (°C)", "{:.0f} °C".format),
}


def find_quantity(key: str, event: str = "") -> Quantity:
    """The quantity with this key, of the rows of an event if there is one; else the loss."""
    if event:
        return _of_rows(event, key) if key else QUANTITIES[0]
    return next((each for each in QUANTITIES if each.key == key), QUANTITIES[0])


def remembered_quantity(settings: "Settings", view: str) -> Quantity:
    """The quantity that a view showed last."""
    return find_quantity(
        settings.remembered(view, "quantity", QUANTITIES[0].key),
        settings.remembered(view, "quantity_event", ""),
    )


def remember_quantity(settings: "Settings", view: str, quantity: Quantity) -> None:
    """Show it again after a restart of the console."""
    settings.remember(view, "quantity", quantity.key)
    settings.remember(view, "quantity_event", quantity.event)


def remembered_log_charts(settings: "Settings", view: str) -> list[Any]:
    """Ids of the quantities that a view drew on a log axis; untrusted.

    Where an axis of all charts was remembered instead, it becomes that of the quantity shown last.
    """
    if settings.layout.get(view, {}).pop("log", None) is True:
        found = settings.remembered(view, "log_charts", [remembered_quantity(settings, view).id])
        settings.remember(view, "log_charts", found)
    ids: list[Any] = settings.remembered(view, "log_charts", [])
    return ids


def _of_rows(event: str, key: str) -> Quantity:
    """A number that the console does not list, such as one of a sink of the user's own."""
    gpu = _GPU.fullmatch(key) if event == _OWN_EVENT else None
    if gpu is not None and gpu[2] in _GPU_FIGURES:
        what, show = _GPU_FIGURES[gpu[2]]
        return _of_machine(key, f"GPU {gpu[1]} {what}", show, event)
    name = key if event == _OWN_EVENT else f"{event}: {key}"
    title = visible_line(name.replace("_", " "))[:_MAX_TITLE]
    return Quantity(key, title, (CurveSpec(event, key, title),), value_text, event=event)


def quantities_in(keys: Iterable[tuple[str, str]]) -> tuple[Quantity, ...]:
    """The quantities of rows: those known by name first, then all other numbers by name.

    Args:
        keys: Event and key of each number in the rows.
    """
    found = set(keys)
    known = [
        each for each in QUANTITIES if any((spec.event, spec.key) in found for spec in each.curves)
    ]
    named = {(spec.event, spec.key) for each in QUANTITIES for spec in each.curves}
    others = [
        (event, key)
        for event, key in found - named
        if event and key and event not in _NO_CURVES and key not in _BOOKKEEPING
    ]
    # Sorted with those of training and evaluation first, and GPUs behind the rest of the machine.
    others.sort(
        key=lambda each: (
            each[0] != _OWN_EVENT,
            each[0] != _MEASURED_EVENT,
            not _GPU.fullmatch(each[1]),
            *each,
        )
    )
    return (*known, *(_of_rows(*each) for each in others))
