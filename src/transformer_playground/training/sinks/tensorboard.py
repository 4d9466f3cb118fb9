"""TensorBoard scalars in the run's logs/tb folder."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from transformer_playground.training.events import Evaluated, Event, StepLogged
from transformer_playground.training.sinks.base import Sink


class TensorBoardSink(Sink):
    """train/loss, train/lr, train/tokens_per_sec, train/step_time_ms and val/loss by step."""

    def __init__(self, folder: Path, *, resumed_at: int | None) -> None:
        # purge_step makes TensorBoard hide the rows that a resumed run writes again.
        purge = None if resumed_at is None else resumed_at + 1
        self._writer = SummaryWriter(log_dir=str(folder), purge_step=purge)

    def handle(self, event: Event) -> None:
        """Record the event's scalars."""
        match event:
            case StepLogged():
                self._add(event, "train/loss", event.train_loss)
                self._add(event, "train/lr", event.lr)
                self._add(event, "train/tokens_per_sec", event.tokens_per_sec)
                self._add(event, "train/step_time_ms", event.step_time_ms)
            case Evaluated():
                self._add(event, "val/loss", event.val_loss)
            case _:
                return

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()

    def _add(self, event: Event, tag: str, value: float) -> None:
        self._writer.add_scalar(tag, value, event.step, walltime=event.time)
