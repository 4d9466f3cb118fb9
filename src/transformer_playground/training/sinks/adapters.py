"""Adapters of a finetuned model in PEFT's format, beside the run's checkpoints."""

from transformer_playground.checkpoints.loading import averaged_weights, load_payload
from transformer_playground.errors import PlaygroundError
from transformer_playground.finetuning.adapter_io import save_adapter
from transformer_playground.finetuning.model import AdaptedModel
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training.events import CheckpointSaved, Event, RunFinished, RunStarted
from transformer_playground.training.sinks.base import Sink, SinkBehind

_POINTERS = {"last": "last.pt", "best": "best_val.pt"}


class AdapterSink(Sink):
    """Writes `adapters/last`, `adapters/best` and, at the end, `adapters/final`.

    They are written from the checkpoints that `last.pt` and `best_val.pt` point to, so that both
    hold the same weights (averaged ones if the run keeps an average). A resumed run writes them
    again, since it may have been killed between checkpoint and adapters.

    Args:
        run: The run.
        model: The model being trained; it knows the adapters' settings.
    """

    def __init__(self, run: RunFolder, model: AdaptedModel) -> None:
        self._run, self._model = run, model
        self._due: set[str] = set()

    def handle(self, event: Event) -> None:
        """Write the adapters of new checkpoints, and those that failed before.

        Raises:
            SinkBehind: OSError while writing; the next event of this kind retries.
        """
        match event:
            case RunStarted(resumed_from=str()):
                self._due |= _POINTERS.keys()
            case CheckpointSaved():
                self._due |= set(event.kinds)
            case RunFinished():
                self._due.add("final")
            case _:
                return
        for kind in sorted(self._due):
            self._write(kind)
            self._due.remove(kind)

    def _write(self, kind: str) -> None:
        pointer = self._run.checkpoints / _POINTERS.get(kind, _POINTERS["last"])
        # A run may end, or be resumed, before it has a best checkpoint.
        if not pointer.exists():
            return
        try:
            weights = averaged_weights(load_payload(pointer))
            save_adapter(self._model, self._run.adapters / kind, weights)
        except (OSError, PlaygroundError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SinkBehind(f"adapters/{kind} not written: {reason}") from error
