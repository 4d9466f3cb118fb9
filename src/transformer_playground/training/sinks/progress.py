"""A live progress bar for a terminal."""

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

from transformer_playground.formatting import learning_rate_text, loss_text, rate_text
from transformer_playground.terminal import visible
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunStarted,
    StepLogged,
)
from transformer_playground.training.sinks.base import Sink
from transformer_playground.training.sinks.text import describe

_MIN_BAR_WIDTH = 6
# Width of step, metrics and remaining time of a long run.
_TEXT_WIDTH = 74


class ProgressSink(Sink):
    """Step, losses, learning rate, speed and remaining time on one line; the rest scrolls above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            # The only column that wraps in a narrow terminal.
            TextColumn("{task.fields[metrics]}", markup=False, table_column=Column(no_wrap=False)),
            TextColumn("eta"),
            TimeRemainingColumn(),
        )
        width = console.width - _TEXT_WIDTH
        bar = (BarColumn(bar_width=max(_MIN_BAR_WIDTH, width)),) if width >= 0 else ()
        self._progress = Progress(*bar, *columns, console=console)
        self._task: TaskID | None = None
        self._val_loss = ""

    def handle(self, event: Event) -> None:
        """Update the bar, or print the event above it."""
        match event:
            case RunStarted():
                self._print(event)
                self._task = self._progress.add_task(
                    "", total=event.max_iters, completed=event.step, metrics=""
                )
                self._progress.start()
            case StepLogged():
                self._update(event)
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
        self._progress.update(self._task, completed=event.step, metrics=metrics)

    def _print(self, event: Event) -> None:
        self._console.print(Text(visible(describe(event))))
