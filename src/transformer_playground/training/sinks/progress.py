"""A live progress bar for people at a terminal."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from transformer_playground.terminal import visible
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunStarted,
    StepLogged,
)
from transformer_playground.training.sinks.lines import describe

_NARROWEST_BAR = 6
# Step, numbers and remaining time of a long run.
_ROOM_FOR_WORDS = 74


class ProgressSink:
    """Step, losses, learning rate, speed and remaining time on one line; the rest scrolls above."""

    essential = False

    def __init__(self, console: Console) -> None:
        self._console = console
        words = (
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            # The one column that gives way, by wrapping, where the terminal is narrow.
            TextColumn("{task.fields[numbers]}", markup=False, table_column=Column(no_wrap=False)),
            TextColumn("eta"),
            TimeRemainingColumn(),
        )
        room = console.width - _ROOM_FOR_WORDS
        bar = (BarColumn(bar_width=max(_NARROWEST_BAR, room)),) if room >= 0 else ()
        self._progress = Progress(*bar, *words, console=console)
        self._task: TaskID | None = None
        self._val_loss = ""

    def handle(self, event: Event) -> None:
        """Update the bar, or print the event above it."""
        match event:
            case RunStarted():
                self._print(event)
                self._task = self._progress.add_task(
                    "", total=event.max_iters, completed=event.step, numbers=""
                )
                self._progress.start()
            case StepLogged():
                self._update(event)
            case Evaluated():
                self._val_loss = f" val {event.val_loss:.4f}"
                self._print(event)
            case CheckpointSaved():
                return
            case _:
                self._print(event)

    def sync(self) -> None:
        """Nothing here outlives a crash or needs to."""

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        self._progress.stop()

    def _update(self, event: StepLogged) -> None:
        if self._task is None:
            return
        numbers = (
            f"loss {event.train_loss:.4f}{self._val_loss} lr {event.lr:.1e} "
            f"{event.tokens_per_sec:,.0f} tok/s"
        )
        self._progress.update(self._task, completed=event.step, numbers=numbers)

    def _print(self, event: Event) -> None:
        self._console.print(Text(visible(describe(event))))
