"""The counters of a training run, as a checkpoint keeps them."""

from dataclasses import dataclass


@dataclass
class TrainingState:
    """Where a run stands between two optimizer steps.

    `evaluated_at` and `sampled_at` are the steps at which that was last done, so that a resumed run
    neither repeats nor skips it. `batches_drawn` is the cursor of this process's batches. The
    `window_*` fields sum up the steps since the last logged row. `wall_time` is seconds spent in
    `fit`, over all sessions of the run.
    """

    step: int = 0
    tokens_seen: int = 0
    batches_drawn: int = 0
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
    reference_val_loss: float | None = None
    evaluations_without_improvement: int = 0
    wall_time: float = 0.0

    def __post_init__(self) -> None:
        # What the newest best has beaten matters only until that is saved: no field, not stored.
        self._beaten: tuple[float | None, int | None] = (None, None)

    def count_step(
        self,
        loss: float,
        grad_norm: float,
        *,
        tokens: int,
        batches: int,
        seconds: float,
        data_seconds: float,
    ) -> None:
        """One more step is done; `data_seconds` of its `seconds` went into its batches."""
        self.step += 1
        self.tokens_seen += tokens
        self.batches_drawn += batches
        self.window_loss += loss
        self.window_steps += 1
        self.window_tokens += tokens
        self.window_seconds += seconds
        self.window_data_seconds += data_seconds
        self.grad_norm = grad_norm

    def close_window(self) -> None:
        """A row was logged; start summing anew."""
        self.window_loss, self.window_steps, self.window_tokens = 0.0, 0, 0
        self.window_seconds = self.window_data_seconds = 0.0

    def judge(self, val_loss: float, *, min_delta: float) -> bool:
        """Take in an evaluation; true if it is the best so far.

        The best checkpoint follows every improvement; early stopping counts only those of at least
        `min_delta` against the last that counted, so that a slow crawl ends too.
        """
        self.val_loss, self.evaluated_at = val_loss, self.step
        if self.reference_val_loss is None or val_loss < self.reference_val_loss - min_delta:
            self.reference_val_loss = val_loss
            self.evaluations_without_improvement = 0
        else:
            self.evaluations_without_improvement += 1
        if self.best_val_loss is not None and val_loss >= self.best_val_loss:
            return False
        self._beaten = (self.best_val_loss, self.best_step)
        self.best_val_loss, self.best_step = val_loss, self.step
        return True

    def retract_best(self) -> None:
        """The newest best could not be saved; the next that beats its forerunner is best again."""
        self.best_val_loss, self.best_step = self._beaten
