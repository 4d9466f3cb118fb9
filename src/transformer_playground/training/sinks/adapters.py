"""The adapters of a finetuned model in PEFT's own format, beside the run's checkpoints."""

from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.pretrained.adapter_files import save_adapter
from transformer_playground.pretrained.model import AdaptedModel
from transformer_playground.runs.layout import RunFolder
from transformer_playground.training.events import CheckpointSaved, Event, RunFinished


class AdapterSink:
    """Keeps `adapters/last`, `adapters/best` and, at the end, `adapters/final`.

    They are made from the checkpoint just saved, so that both always hold the same weights: the
    averaged ones where the run keeps an average.

    Args:
        run: The run.
        model: The model being trained; it knows the adapters' settings.
    """

    essential = False

    def __init__(self, run: RunFolder, model: AdaptedModel) -> None:
        self._run, self._model = run, model

    def handle(self, event: Event) -> None:
        """Write adapters when a checkpoint was saved or the run has ended."""
        if isinstance(event, CheckpointSaved):
            for kind in event.kinds:
                self._write(kind, event.path)
        elif isinstance(event, RunFinished):
            self._write("final", "checkpoints/last.pt")

    def sync(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, kind: str, checkpoint: str) -> None:
        payload = load_payload(self._run.root / checkpoint)
        weights = payload["model"] if payload["ema"] is None else payload["ema"]
        save_adapter(self._model, self._run.adapters / kind, weights)
