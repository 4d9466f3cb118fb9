"""Training state: counters that are saved in every checkpoint."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from transformer_playground.config.train import RuntimeConfig
from transformer_playground.training.events import RunFinished, StepLogged

if TYPE_CHECKING:
    import torch

EndReason = Literal["finished", "early stopped"]
StopReason = EndReason | Literal["stopped by request"]


def max_unread_steps(device: "torch.device") -> int:
    """For how many steps the losses may stay on the device."""
    return 0 if device.type == "cpu" else 100


def due(interval: int, step: int, *, done_at: int | None) -> bool:
    """Whether an action is due every `interval` steps (0 = never), now, and not done yet."""
    return interval > 0 and step % interval == 0 and done_at != step


@dataclass
class TrainingState:
    """Counters of a run between two optimizer steps.

    `evaluated_at` and `sampled_at` are the steps of the last evaluation and sample, so that a
    resumed run neither repeats nor skips one. `windows_drawn` counts the windows of all
    ranks. The `window_*` fields are sums since the last logged step. `wall_time` is the seconds
    spent in `fit`, over all sessions of the run; `active_seconds` is the part of them without
    pauses, in a branch with that of its parent, and counts against `max_minutes`.
    """

    step: int = 0
    tokens_seen: int = 0
    windows_drawn: int = 0
    evaluated_at: int | None = None
    sampled_at: int | None = None
    window_loss: float = 0.0
    window_steps: int = 0
    window_tokens: int = 0
    window_seconds: float = 0.0
    window_data_seconds: float = 0.0
    grad_norm: float = 0.0
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: int | None = None
    eval_set: str | None = None
    reference_val_loss: float | None = None
    evaluations_without_improvement: int = 0
    wall_time: float = 0.0
    active_seconds: float = 0.0

    def __post_init__(self) -> None:
        # Not a field, and so not in checkpoints: needed only until the newest best is saved.
        self._previous_best: tuple[float | None, int | None] = (None, None)

    def count_step(self, *, tokens: int, windows: int, seconds: float, data_seconds: float) -> None:
        """Count one optimizer step; `data_seconds` is the part of `seconds` spent on batches."""
        self.step += 1
        self.tokens_seen += tokens
        self.windows_drawn += windows
        self.window_steps += 1
        self.window_tokens += tokens
        self.window_seconds += seconds
        self.window_data_seconds += data_seconds

    def record_step(self, loss: float, grad_norm: float) -> None:
        """Record loss and gradient norm of the next step; every step is recorded and counted."""
        self.window_loss += loss
        self.grad_norm = grad_norm

    def close_window(self, lr: float, **measured: Any) -> StepLogged:
        """Reset the window and return its means.

        Args:
            lr: Learning rate of the latest step.
            measured: Further fields of the event.
        """
        seconds = max(self.window_seconds, 1e-9)
        logged = StepLogged(
            step=self.step,
            train_loss=self.window_loss / self.window_steps,
            lr=lr,
            tokens_per_sec=self.window_tokens / seconds,
            step_time_ms=1e3 * seconds / self.window_steps,
            data_share=self.window_data_seconds / seconds,
            grad_norm=self.grad_norm,
            tokens_seen=self.tokens_seen,
            **measured,
        )
        self.window_loss, self.window_steps, self.window_tokens = 0.0, 0, 0
        self.window_seconds = self.window_data_seconds = 0.0
        return logged

    def finish(self, reason: StopReason, wall_time: float, peak_memory: int) -> RunFinished:
        """The event of the end of training; `wall_time` in seconds, `peak_memory` in bytes."""
        return RunFinished(
            step=self.step,
            status="stopped" if reason == "stopped by request" else "finished",
            early_stopped=reason == "early stopped",
            best_val_loss=self.best_val_loss,
            best_step=self.best_step,
            tokens_seen=self.tokens_seen,
            wall_time=wall_time,
            peak_memory=peak_memory,
        )

    def judges_other_windows(self, eval_set: str) -> bool:
        """Whether the best loss so far was measured on another evaluation set."""
        return self.best_val_loss is not None and self.eval_set != eval_set

    def record_eval(self, val_loss: float, eval_set: str, *, min_delta: float) -> bool:
        """Record a validation loss; true if it is the best so far on `eval_set`.

        Early stopping counts only improvements of at least `min_delta` over the last one that
        counted, so that very slow progress stops, too.
        """
        if self.judges_other_windows(eval_set):
            self.best_val_loss = self.best_step = self.reference_val_loss = None
        self.val_loss, self.evaluated_at, self.eval_set = val_loss, self.step, eval_set
        if self.reference_val_loss is None or val_loss < self.reference_val_loss - min_delta:
            self.reference_val_loss = val_loss
            self.evaluations_without_improvement = 0
        else:
            self.evaluations_without_improvement += 1
        if self.best_val_loss is not None and val_loss >= self.best_val_loss:
            return False
        self._previous_best = (self.best_val_loss, self.best_step)
        self.best_val_loss, self.best_step = val_loss, self.step
        return True

    def is_last(self, runtime: RuntimeConfig, time_share: float = 0.0) -> bool:
        """Whether no step follows this one; `time_share` is the part of `max_minutes` gone."""
        return self.step >= runtime.max_iters or time_share >= 1.0

    def end_reason(self, runtime: RuntimeConfig, time_share: float = 0.0) -> EndReason | None:
        """Why training has ended after the evaluation of this step; None if it has not."""
        if self.evaluated_at != self.step:
            return None
        if 0 < runtime.early_stop_patience <= self.evaluations_without_improvement:
            return "early stopped"
        return "finished" if self.is_last(runtime, time_share) else None

    def retract_best(self) -> None:
        """Restore the previous best: the newest could not be saved."""
        self.best_val_loss, self.best_step = self._previous_best
