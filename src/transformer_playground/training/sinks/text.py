"""Sinks for reading: event lines as text or JSON, the run's log file and a progress bar."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from transformer_playground.errors import RunError
from transformer_playground.files import open_to_append, refuse_link
from transformer_playground.formatting import (
    count_text,
    date_text,
    duration_text,
    learning_rate_text,
    loss_text,
    milliseconds_text,
    rate_text,
    value_text,
)
from transformer_playground.runs.remaining import progress_share
from transformer_playground.terminal import visible
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RequestAnswered,
    RunFailed,
    RunFinished,
    RunStarted,
    Sampled,
    StatusChanged,
    StepLogged,
    Warned,
)
from transformer_playground.training.sinks.base import Sink, SinkBehind
from transformer_playground.training.sinks.run_files import event_rows

_MIN_BAR_WIDTH = 6
# Width of step, metrics and remaining time; a bar is shown only if the terminal is wider.
_TEXT_WIDTH = 74
# Log lines kept in memory while the disk is full.
_MOST_WAITING_BYTES = 1 << 20


def describe(event: Event) -> str:
    """One or more lines of plain text for an event."""
    match event:
        case RunStarted(resumed_from=origin):
            action = "starting" if origin is None else f"resuming from {origin}"
            minutes = event.max_minutes
            limit = f" in at most {duration_text(60 * minutes)}" if minutes else ""
            return (
                f"{event.run_id}: {action} at step {event.step} of {event.max_iters}{limit}, "
                f"{count_text(event.parameters)} parameters, {event.device}, "
                f"{event.dtype} ({event.dtype_reason}), {event.tokens_per_step:,} tokens per step"
            )
        case StepLogged():
            return (
                f"step {event.step}: loss {loss_text(event.train_loss)}, "
                f"lr {learning_rate_text(event.lr)}, {rate_text(event.tokens_per_sec)}, "
                f"{milliseconds_text(event.step_time_ms)}, "
                f"grad norm {value_text(event.grad_norm)}"
            )
        case Evaluated():
            mark = " (best)" if event.is_best else ""
            return (
                f"step {event.step}: train loss {loss_text(event.train_loss)}, "
                f"val loss {loss_text(event.val_loss)}{mark}{_scores_text(event)}"
            )
        case Sampled():
            return f"step {event.step}: sample\n{event.prompt}{event.text}"
        case CheckpointSaved():
            return f"step {event.step}: saved {' and '.join(event.kinds)}: {Path(event.path).name}"
        case Warned():
            return f"warning: {event.message}"
        case RequestAnswered():
            outcome = "done" if event.done else "not done"
            return f"step {event.step}: {event.action} requested from {event.sender}: {outcome}"
        case StatusChanged():
            return f"step {event.step}: {event.status}"
        case RunFinished():
            return _finished(event)
        case RunFailed():
            return f"step {event.step}: failed: {event.error}"
        case _:
            raise TypeError(f"no text for {type(event).__name__}")


def _scores_text(event: Evaluated) -> str:
    """The highest induction score and its head, if heads are scored."""
    if event.head_scores is None:
        return ""
    score, head = max(
        (score, f"{layer}.{head}")
        for layer, scores in enumerate(event.head_scores["induction"])
        for head, score in enumerate(scores)
    )
    return f", induction score {score:.2f} (head {head})"


def _finished(event: RunFinished) -> str:
    early = ", stopped early: no improvement" if event.early_stopped else ""
    best = ""
    if event.best_val_loss is not None:
        best = f", best val loss {loss_text(event.best_val_loss)} at step {event.best_step}"
    return f"step {event.step}: {event.status}{early}{best}, {duration_text(event.wall_time)}"


class LineSink(Sink):
    """Passes the text of each event to `write`, with control characters made visible."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def handle(self, event: Event) -> None:
        """Write the event's text."""
        self._write(visible(describe(event)))


class JsonStreamSink(Sink):
    """Passes the JSON rows of each event to `write`."""

    def __init__(self, write: Callable[[Any], object]) -> None:
        self._write = write

    def handle(self, event: Event) -> None:
        """Write the event's rows."""
        for row in event_rows(event):
            self._write(row)


class LogFileSink(Sink):
    """Appends each event with its local time to `logs/train.log`.

    Lines that could not be written are kept and written first at the next event.
    """

    def __init__(self, path: Path) -> None:
        try:
            refuse_link(path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a buffer it is known what has been written when the disk is full.
            self._file = os.fdopen(open_to_append(path), "ab", buffering=0)
        except OSError as error:
            raise RunError(
                f"{error.filename or path} cannot be written: {error.strerror}.",
                "Check the folder's permissions; replace a link by a folder or file of its own.",
            ) from error
        self._path = path
        self._waiting = b""

    def handle(self, event: Event) -> None:
        """Append the event's text."""
        self.write(describe(event), event.time)

    def write(self, line: str, timestamp: float | None = None) -> None:
        """Append `line` with a timestamp, Unix time in seconds; None = now."""
        if len(self._waiting) >= _MOST_WAITING_BYTES:
            self._write_waiting()
        stamp = date_text(time.time() if timestamp is None else timestamp)
        self._waiting += f"{stamp} {visible(line)}\n".encode(errors="backslashreplace")
        try:
            self._write_waiting()
        except OSError as error:
            reason = f"{self._path} could not be written: {error.strerror}."
            raise SinkBehind(reason) from error

    def close(self) -> None:
        """Write what waits, and close the file."""
        try:
            self._write_waiting()
        finally:
            self._file.close()

    def _write_waiting(self) -> None:
        while self._waiting:
            self._waiting = self._waiting[self._file.write(self._waiting) :]


class ProgressSink(Sink):
    """Progress bar with step, losses, learning rate, speed and remaining time; events above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.fields[steps]}", markup=False, table_column=Column(no_wrap=True)),
            # Only this column wraps in a narrow terminal.
            TextColumn("{task.fields[metrics]}", markup=False, table_column=Column(no_wrap=False)),
            TextColumn("eta"),
            TimeRemainingColumn(),
        )
        width = console.width - _TEXT_WIDTH
        bar = (BarColumn(bar_width=max(_MIN_BAR_WIDTH, width)),) if width >= 0 else ()
        self._progress = Progress(*bar, *columns, console=console)
        self._task: TaskID | None = None
        self._val_loss = ""
        self._limits: tuple[int, float | None] = (0, None)
        self._active_seconds, self._last, self._is_paused = 0.0, 0.0, False

    def handle(self, event: Event) -> None:
        """Update the bar, or print the event above it."""
        self._count_time(event)
        match event:
            case RunStarted():
                self._print(event)
                self._limits = event.max_iters, event.max_minutes
                done = self._done(event.step)
                self._task = self._progress.add_task("", total=1.0, metrics="", **done)
                self._progress.start()
            case StepLogged():
                self._update(event)
            case StatusChanged():
                self._is_paused = event.status == "paused"
                self._print(event)
            case Evaluated():
                self._val_loss = f" val {loss_text(event.val_loss)}"
                self._print(event)
            case CheckpointSaved():
                return
            case _:
                self._print(event)

    def close(self) -> None:
        """Stop redrawing; the bar stays on the screen."""
        self._progress.stop()

    def _update(self, event: StepLogged) -> None:
        if self._task is None:
            return
        metrics = (
            f"loss {loss_text(event.train_loss)}{self._val_loss} "
            f"lr {learning_rate_text(event.lr)} {rate_text(event.tokens_per_sec)}"
        )
        self._progress.update(self._task, metrics=metrics, **self._done(event.step))

    def _count_time(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._active_seconds = event.active_seconds
        elif not self._is_paused:
            self._active_seconds += max(0.0, event.time - self._last)
        self._last = event.time

    def _done(self, step: int) -> dict[str, Any]:
        max_iters, max_minutes = self._limits
        share = progress_share(step, max_iters, self._active_seconds, max_minutes)
        steps = f"{step:>{len(str(max_iters))}}/{max_iters}"
        return {"completed": share or 0.0, "steps": steps}

    def _print(self, event: Event) -> None:
        self._console.print(Text(visible(describe(event))))
