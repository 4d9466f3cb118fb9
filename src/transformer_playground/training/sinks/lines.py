"""Events as plain sentences, for logs and pipes."""

import time
from collections.abc import Callable
from pathlib import Path

from transformer_playground.terminal import visible
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    Sampled,
    StatusChanged,
    StepLogged,
    Warned,
)


def describe(event: Event) -> str:
    """One or more lines of plain text that say what happened."""
    match event:
        case RunStarted():
            return _started(event)
        case StepLogged():
            return (
                f"step {event.step}: loss {event.train_loss:.4f}, lr {event.lr:.2e}, "
                f"{event.tokens_per_sec:,.0f} tokens/s, {event.step_time_ms:.1f} ms, "
                f"grad norm {event.grad_norm:.2f}"
            )
        case Evaluated():
            mark = " (best)" if event.is_best else ""
            return (
                f"step {event.step}: train loss {event.train_loss:.4f}, "
                f"val loss {event.val_loss:.4f}{mark}"
            )
        case Sampled():
            return f"step {event.step}: sample\n{event.prompt}{event.text}"
        case CheckpointSaved():
            return f"step {event.step}: saved {' and '.join(event.kinds)}: {Path(event.path).name}"
        case Warned():
            return f"warning: {event.message}"
        case StatusChanged():
            return f"step {event.step}: {event.status}"
        case RunFinished():
            return _finished(event)
        case RunFailed():
            return f"step {event.step}: failed: {event.error}"
        case _:
            raise TypeError(f"no words for {type(event).__name__}")


def _started(event: RunStarted) -> str:
    words = "starting" if event.resumed_from is None else f"resuming from {event.resumed_from}"
    return (
        f"{event.run_id}: {words} at step {event.step} of {event.max_iters}, "
        f"{event.parameters:,} parameters, {event.device}, {event.dtype} ({event.dtype_reason}), "
        f"{event.tokens_per_step:,} tokens a step"
    )


def _finished(event: RunFinished) -> str:
    early = ", stopped early: no improvement" if event.early_stopped else ""
    best = ""
    if event.best_val_loss is not None:
        best = f", best val loss {event.best_val_loss:.4f} at step {event.best_step}"
    return f"step {event.step}: {event.status}{early}{best}, {event.wall_time:.1f} s"


class LineSink:
    """Writes each event as plain lines through a function that takes one string."""

    essential = False

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def handle(self, event: Event) -> None:
        """Write the event's words, with control characters made visible."""
        self._write(visible(describe(event)))

    def sync(self) -> None:
        """Nothing here outlives a crash or needs to."""

    def close(self) -> None:
        """Nothing is held open."""


class LogFileSink:
    """Appends each event with its local time to `logs/train.log`."""

    essential = False

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def handle(self, event: Event) -> None:
        """Append the event's words."""
        self.write(describe(event), event.time)

    def write(self, line: str, moment: float | None = None) -> None:
        """Append any words with the time of a moment in Unix seconds; None = now."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
        self._file.write(f"{stamp} {visible(line)}\n")
        self._file.flush()

    def sync(self) -> None:
        """Nothing here outlives a crash or needs to."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
