"""Training events: frozen records that the trainer emits to all sinks.

`step` counts finished optimizer steps, `time` is Unix time in seconds, and losses are mean
cross-entropy per token in nats.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from transformer_playground.runs.requests import Action

RunState = Literal["running", "paused", "finished", "stopped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Fields common to all events."""

    step: int
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """Training started, or resumed from the checkpoint file `resumed_from`.

    `max_minutes` is the limit of its time; None without one. `active_seconds` counted against it
    before: those of earlier sessions, and in a branch those of its parent.
    """

    run_id: str
    max_iters: int
    max_minutes: float | None = None
    active_seconds: float = 0.0
    parameters: int
    device: str
    dtype: str
    dtype_reason: str
    tokens_per_step: int
    resumed_from: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogged(Event):
    """Means over the optimizer steps since the previous logged step.

    `grad_norm` is the global norm of the latest step before clipping. `tokens_per_sec` excludes
    evaluation, sampling, saving and pauses. `data_share` is the fraction of step time spent on
    loading batches. The times of forward pass, backward pass and optimizer are unknown on an
    accelerator, for the host does not wait for it. `memory` in bytes: of the process, or on a GPU
    of its tensors. `system` has what the process and its machine use, by key of the row, as far as
    it is measured (see `SystemMetrics`).
    """

    train_loss: float
    lr: float
    tokens_per_sec: float
    step_time_ms: float
    data_share: float
    grad_norm: float
    tokens_seen: int
    forward_ms: float | None = None
    backward_ms: float | None = None
    optimizer_ms: float | None = None
    memory: int | None = None
    system: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(Event):
    """Evaluation losses on fixed windows, the same ones each time.

    `seconds` is how long it took, without pauses. `head_scores` has the scores of each kind by
    layer and head, if they are measured.
    """

    train_loss: float
    val_loss: float
    train_ppl: float
    val_ppl: float
    val_bits_per_byte: float | None
    eval_windows: int
    window_tokens: int
    seconds: float | None = None
    is_best: bool
    head_scores: Mapping[str, Sequence[Sequence[float]]] | None = None

    @property
    def highest_scores(self) -> dict[str, float]:
        """The highest score of each kind, by the key of its column: induction_score and so on."""
        scores = self.head_scores or {}
        return {f"{kind}_score": max(map(max, grid)) for kind, grid in scores.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(Event):
    """A sample drawn during training."""

    prompt: str
    text: str
    seed: int
    temperature: float
    top_k: int
    top_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint was saved; `kinds` holds "last", "best" or both."""

    kinds: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """A problem that does not stop training."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAnswered(Event):
    """A request of another process was carried out, or with `done` false could not be.

    `request` is its name, `sender` the host that sent it (untrusted text).
    """

    request: str
    action: Action
    sender: str
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged(Event):
    """The status of the run changed."""

    status: RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """Training finished or was stopped on request.

    `peak_memory` is the highest memory in bytes: of the process, or on a GPU of its tensors.
    """

    status: Literal["finished", "stopped"]
    early_stopped: bool
    best_val_loss: float | None
    best_step: int | None
    tokens_seen: int
    wall_time: float
    peak_memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    """Training ended with an error."""

    error: str
