"""A run in a few numbers, as far as its rows go; what summaries and lists show."""

from dataclasses import dataclass, field

from transformer_playground.runs.throughput import Rates

# Rows whose step says how far training has come.
PROGRESS = ("train", "eval", "checkpoint", "status")


@dataclass(frozen=True)
class Clock:
    """Seconds spent training; the time between a stop and a resume, or in a pause, is left out.

    Attributes:
        total: Seconds in stretches that are over.
        begin: When the present stretch began, seconds since 1970.
        end: Time of its newest row.
    """

    total: float = 0.0
    begin: float | None = None
    end: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds up to the newest row."""
        if self.begin is None or self.end is None:
            return self.total
        # A clock that was set back must not make a run shorter.
        return self.total + max(0.0, self.end - self.begin)


@dataclass(frozen=True)
class Tally:
    """What the rows of a metrics file say, those that a resume superseded left out.

    What no row says is None. `clock` and the last three count superseded rows too, for they tell
    what happened, not what holds.

    Attributes:
        step: How far training has come.
        train_step: Step of the newest train row.
        eval_step: Step of the newest evaluation.
        train_loss: The newest, in nats per token.
        val_loss: The newest.
        best_val_loss: The lowest, the earliest of equals.
        best_step: Its step.
        bits_per_byte: Of the newest evaluation that says so.
        tokens_per_second: Throughput: the median over the train rows.
        tokens_seen: The most tokens any row counts.
        clock: Time spent training.
        last_word: `status` of the newest status row.
        error: Its `error`.
        early_stopped: Whether it says that training stopped early.
        rates: What that median needs to be carried on; empty where that was given up.
    """

    step: int | None = None
    train_step: int | None = None
    eval_step: int | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: int | None = None
    bits_per_byte: float | None = None
    tokens_per_second: float | None = None
    tokens_seen: int | None = None
    clock: Clock = field(default_factory=Clock)
    last_word: str | None = None
    error: str | None = None
    early_stopped: bool = False
    rates: Rates = field(default_factory=Rates)
