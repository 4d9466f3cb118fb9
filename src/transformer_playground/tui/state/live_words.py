"""The numbers of a run as labels and values, in the order of reading."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from transformer_playground.formatting import (
    UNKNOWN,
    count_text,
    duration_text,
    loss_text,
    milliseconds_text,
    optional_text,
    percent_text,
    progress_percent,
    size_text,
    value_text,
)
from transformer_playground.training.events import StepLogged
from transformer_playground.tui.state.jobs import Job
from transformer_playground.tui.state.live import Facts

_FULL, _HALF, _EMPTY = "━", "╸", "─"


@dataclass(frozen=True)
class Standing:
    """Where a run stands, as far as the console knows more than the run's numbers.

    Attributes:
        state: As in lists of runs, or the state of the job that trains it.
        problem: Why it failed, or the latest warning.
        is_failure: Whether `problem` ended it.
        is_ours: Whether this console trains it.
        memory: Bytes of this process while it trains.
        waiting: Names of the jobs in the queue.
    """

    state: str = ""
    problem: str = ""
    is_failure: bool = False
    is_ours: bool = False
    memory: int | None = None
    waiting: tuple[str, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether it trains now."""
        return self.state == "running"


def with_event(facts: Facts, job: Job | None) -> Facts:
    """The numbers with what the job said since the files were read."""
    event: StepLogged | None = job.latest if job else None
    if job is None or event is None or event.step <= (facts.step or 0):
        return facts
    values = {
        "train_loss": event.train_loss,
        "lr": event.lr,
        "tokens_per_sec": event.tokens_per_sec,
        "step_time_ms": event.step_time_ms,
        "data_share": event.data_share,
        "grad_norm": event.grad_norm,
        "tokens_seen": float(event.tokens_seen),
    }
    return replace(
        facts,
        step=event.step,
        max_iters=job.max_iters or facts.max_iters,
        values={**(facts.values or {}), **values},
    )


def percent_done(facts: Facts) -> int | None:
    """Percent of the steps that are done, rounded down; None while their number is unknown."""
    if facts.max_iters is None or facts.step is None:
        return None
    return progress_percent(facts.step, facts.max_iters)


def progress_bar(percent: int, width: int) -> tuple[str, str]:
    """The full and the empty part of a bar, together `width` cells."""
    halves = percent * 2 * width // 100
    full = _FULL * (halves // 2) + _HALF * (halves % 2)
    return full, _EMPTY * (width - len(full))


def step_text(facts: Facts) -> str:
    """How many steps of how many."""
    step = optional_text(facts.step, "{:,}".format, UNKNOWN)
    if facts.max_iters is None:
        return step
    end = f"{facts.max_iters:,}"
    return f"{step.rjust(len(end))}/{end}"


def time_words(facts: Facts, standing: Standing) -> tuple[str, str]:
    """What there is to say of time: what is left of a run that trains, else what it took."""
    if standing.is_live and facts.remaining is not None:
        return "left", duration_text(facts.remaining)
    return "trained", duration_text(facts.elapsed)


def best_text(facts: Facts) -> str:
    """The lowest validation loss and where it was."""
    return UNKNOWN if facts.best is None else f"{loss_text(facts.best[0])} @ {facts.best[1]:,}"


Tone = Literal["plain", "error"]


def table(facts: Facts, standing: Standing) -> list[tuple[str, str, Tone]]:
    """Every number with its label."""
    left, time_text = time_words(facts, standing)
    loss: tuple[str, str, Tone] = ("train loss", _value(facts, "train_loss"), "plain")
    if facts.broken is not None:
        loss = ("train loss", "not a number", "error")
    rows: list[tuple[str, str, Tone]] = [
        ("step", step_text(facts), "plain"),
        (left, time_text, "plain"),
        loss,
        ("val loss", _value(facts, "val_loss"), "plain"),
        ("best val", best_text(facts), "plain"),
        ("bits per byte", _value(facts, "val_bits_per_byte"), "plain"),
        ("gradient norm", _value(facts, "grad_norm"), "plain"),
        ("step time", step_time(facts), "plain"),
        ("data loading", data_share(facts), "plain"),
        ("tokens seen", tokens(facts), "plain"),
    ]
    if facts.device:
        rows.append(("device", f"{facts.device} {facts.dtype}".strip(), "plain"))
    if standing.memory is not None:
        rows.append(("memory", size_text(standing.memory), "plain"))
    return rows


def line(facts: Facts, standing: Standing) -> list[tuple[str, str, Tone]]:
    """The numbers that matter most, each value padded to a width that stands still."""
    broken = facts.broken is not None
    loss = "nan" if broken else _value(facts, "train_loss")
    cells: list[tuple[str, str, Tone]] = [
        ("train", loss.rjust(6), "error" if broken else "plain"),
        ("val", _value(facts, "val_loss").rjust(6), "plain"),
        ("grad", _value(facts, "grad_norm").rjust(6), "plain"),
        ("", step_time(facts).rjust(8), "plain"),
        ("", f"{tokens(facts):>5} tok", "plain"),
    ]
    if standing.memory is not None:
        cells.append(("mem", size_text(standing.memory), "plain"))
    elif facts.device:
        cells.append(("", f"{facts.device} {facts.dtype}".strip(), "plain"))
    return cells


def step_time(facts: Facts) -> str:
    """Time of a step."""
    return optional_text(facts.value("step_time_ms"), milliseconds_text, UNKNOWN)


def data_share(facts: Facts) -> str:
    """How much of a step's time fetching batches takes."""
    return optional_text(facts.value("data_share"), percent_text, UNKNOWN)


def tokens(facts: Facts) -> str:
    """How many tokens were seen."""
    return optional_text(facts.value("tokens_seen"), count_text, UNKNOWN)


def queue_words(waiting: Sequence[str]) -> str:
    """Who waits, in a few words."""
    if not waiting:
        return ""
    shown = ", ".join(waiting[:3])
    return f"waiting: {shown}{f' and {len(waiting) - 3} more' if len(waiting) > 3 else ''}"


def _value(facts: Facts, key: str) -> str:
    return optional_text(facts.value(key), value_text if key == "grad_norm" else loss_text, UNKNOWN)
