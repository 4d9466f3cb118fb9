"""The adapters of a finetuned model in PEFT's own format, beside the run's checkpoints."""

from transformer_playground.checkpoints.loading import averaged_weights, load_payload
from transformer_playground.errors import PlaygroundError
from transformer_playground.pretrained.adapter_files import save_adapter
from transformer_playground.pretrained.model import AdaptedModel
from transformer_playground.runs.layout import RunFolder
from transformer_playground.training.events import CheckpointSaved, Event, RunFinished, RunStarted
from transformer_playground.training.sinks.base import SinkBehind

_POINTERS = {"last": "last.pt", "best": "best_val.pt"}


class AdapterSink:
    """Keeps `adapters/last`, `adapters/best` and, at the end, `adapters/final`.

    They are made from the checkpoints that `last.pt` and `best_val.pt` point at, so that both hold
    the same weights (the averaged ones where the run keeps an average); a run that goes on makes
    them anew, for it may have been killed between the two.

    Args:
        run: The run.
        model: The model being trained; it knows the adapters' settings.
    """

    essential = False

    def __init__(self, run: RunFolder, model: AdaptedModel) -> None:
        self._run, self._model = run, model
        self._due: set[str] = set()

    def handle(self, event: Event) -> None:
        """Write the adapters of new checkpoints, and what could not be written before.

        Raises:
            SinkBehind: The disk refused; the next event of this kind tries again.
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

    def sync(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, kind: str) -> None:
        pointer = self._run.checkpoints / _POINTERS.get(kind, _POINTERS["last"])
        # A run may end, or go on, before it has a best checkpoint.
        if not pointer.exists():
            return
        try:
            weights = averaged_weights(load_payload(pointer))
            save_adapter(self._model, self._run.adapters / kind, weights)
        except (OSError, PlaygroundError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SinkBehind(f"adapters/{kind} not written: {reason}") from error
