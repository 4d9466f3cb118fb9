"""What the Machine view says: bars and figures of a reading, and how they changed lately."""

import textwrap
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from transformer_playground.formatting import (
    UNKNOWN,
    duration_text,
    milliseconds_text,
    optional_text,
    percent_text,
    size_text,
)
from transformer_playground.tui.charts.sparkline import share_blocks
from transformer_playground.tui.machine.service import BusyProcess, Reading
from transformer_playground.tui.machine.step_split import StepSplit
from transformer_playground.tui.shared.text import shorten

HISTORY = 60
"""Readings that are kept."""

Tone = Literal["plain", "muted", "full", "empty", "warning", "recent"]
Line = tuple[tuple[str, Tone], ...]
"""Pieces of one line, safe to print."""

_FULL, _EMPTY = "█", "░"
_LABEL = 8
_LEAST_BAR, _MOST_BAR = 6, 48
_LEAST_WITH_RECENT = 60
_CROWDED = 0.9
_MOST_CORES = 16


@dataclass
class MachineState:
    """The newest reading and the shares of those before it."""

    reading: Reading = field(default_factory=Reading)
    _recent: dict[str, deque[float]] = field(default_factory=dict)

    def add(self, reading: Reading) -> None:
        """Take in a new reading."""
        self.reading = reading
        for label, share, _ in _meters(reading):
            if share is not None:
                self._recent.setdefault(label, deque(maxlen=HISTORY)).append(share)

    def lines(self, width: int, name_of: Callable[[str], str]) -> Iterator[Line]:
        """Meters, then the busy processes.

        Args:
            width: Columns.
            name_of: What a run is called.
        """
        for label, share, text in _meters(self.reading):
            yield self._meter(label, share, text, width)
        yield ()
        yield from _process_lines(self.reading, width, name_of)

    def _meter(self, label: str, share: float | None, text: str, width: int) -> Line:
        head = f"{label:<{_LABEL}}"
        if share is None:
            return ((head, "muted"), (shorten(text, max(1, width - len(head))), "plain"))
        recent = width // 4 if width >= _LEAST_WITH_RECENT else 0
        bar = max(_LEAST_BAR, min(_MOST_BAR, width - _LABEL - recent - 24))
        full = round(min(1.0, max(0.0, share)) * bar)
        values = list(self._recent.get(label, ()))[-recent:] if recent else []
        blocks = share_blocks(values)
        return (
            (head, "muted"),
            (_FULL * full, "warning" if share >= _CROWDED else "full"),
            (_EMPTY * (bar - full), "empty"),
            (f" {text}".ljust(23), "plain"),
            (blocks, "recent"),
        )


def _meters(reading: Reading) -> Iterator[tuple[str, float | None, str]]:
    """Label, share in use (None without a bar) and figures of everything that is measured."""
    cores = reading.cores
    if len(cores) <= _MOST_CORES:
        for number, share in enumerate(cores):
            text = optional_text(share, lambda known: percent_text(round(known, 2)), UNKNOWN)
            yield f"cpu {number}", share, text
    elif known := [share for share in cores if share is not None]:
        busy = sum(known)
        yield "cpu", busy / len(cores), f"{busy:.1f} of {len(cores)} cores"
    else:
        yield "cpu", None, f"{UNKNOWN} of {len(cores)} cores"
    if reading.total:
        used = f"{size_text(reading.memory)} / {size_text(reading.total)}"
        yield "memory", reading.memory / reading.total, used
    for number, gpu in enumerate(reading.gpus):
        label, use = f"gpu {number}", gpu.use
        heat = optional_text(use.temperature, lambda degrees: f" · {degrees} °C")
        power = optional_text(use.power, lambda watts: f" · {watts:.0f} W")
        busy_text = optional_text(use.busy, percent_text, UNKNOWN)
        yield label, use.busy, f"{busy_text}{heat}{power}"
        if use.memory is not None and gpu.total:
            text = f"{size_text(use.memory)} / {size_text(gpu.total)}"
            yield f" mem {number}", use.memory / gpu.total, text
    if not reading.gpus:
        yield "gpu", None, "none found"
    written = optional_text(reading.written, lambda rate: f", {size_text(int(rate))}/s written")
    free = optional_text(reading.free, lambda size: f"{size_text(size)} free", "unknown")
    yield "disk", None, f"{free}{written}"
    count = len(cores) or 1
    yield "load", None, f"{reading.load:.1f} on {count} core{'s' if count > 1 else ''}"


def _process_lines(reading: Reading, width: int, name_of: Callable[[str], str]) -> Iterator[Line]:
    has_gpu = any(each.gpu_memory for each in reading.processes)
    gpu = "    on GPU" if has_gpu else ""
    yield ((f"{'process':>8}  cores    memory{gpu}  what", "muted"),)
    if not reading.processes:
        yield (("no busy processes", "muted"),)
    for each in reading.processes:
        memory = optional_text(each.memory, size_text, UNKNOWN)
        on_gpu = f"{size_text(each.gpu_memory) if each.gpu_memory else '':>10}" if has_gpu else ""
        figures = f"{each.pid:>8}  {each.cores:>5.2f}{memory:>10}{on_gpu}  "
        what = shorten(_what(each, name_of), max(1, width - len(figures)))
        tone: Tone = "plain" if each.run_id or each.is_own else "muted"
        yield ((figures, tone), (what, tone))


def _what(process: BusyProcess, name_of: Callable[[str], str]) -> str:
    trains = f"trains {name_of(process.run_id)}" if process.run_id else ""
    if process.is_own:
        return f"this console, {trains}" if trains else "this console"
    # Commands are long, and are cut at the end.
    return f"{trains}: {process.name}" if trains else process.name


def split_lines(split: StepSplit | None, width: int) -> Iterator[Line]:
    """The parts of a step as bars, of which a full one is the whole step."""
    if split is None:
        yield (("no logged step yet", "muted"),)
        return
    bar = max(_LEAST_BAR, width - 12 - 18)
    for name, part in split.parts.items():
        share = part / max(split.step, 1e-9)
        full = round(min(1.0, share) * bar)
        text = f" {milliseconds_text(part)} · {percent_text(share)}"
        yield (
            (f"{name:<11} ", "muted"),
            (_FULL * full, "full"),
            (_EMPTY * (bar - full), "empty"),
            (text, "plain"),
        )
    if len(split.parts) <= 1:
        text = "the other parts are unknown on an accelerator, which the host does not wait for"
        for line in textwrap.wrap(text, max(1, width)):
            yield ((line, "muted"),)
    if split.evaluation is not None:
        often = optional_text(split.interval, lambda steps: f" every {steps:,} steps")
        of_all = optional_text(split.evaluation_share, lambda part: f" ({percent_text(part)})")
        yield (
            ("evaluation  ", "muted"),
            (duration_text(split.evaluation) + often + of_all, "plain"),
        )
