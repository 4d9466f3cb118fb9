"""A run as lists show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunRow:
    """One run in a list.

    Attributes:
        run_id: Name of its folder, untrusted text.
        state: A state of `RunStatus`, or "broken".
        problem: Why it failed or is broken.
        created: When it was created, seconds since 1970.
        updated: When it last wrote a row, seconds since 1970.
        tokens_per_second: Throughput: the median over the logged steps.
        train_loss: The newest, in nats per token.
        val_loss: The newest, in nats per token.
        best_step: Step of `best_val_loss`.
        bits_per_byte: Of the newest evaluation that says so.
        tokens_seen: Tokens trained on.
        wall_time: Seconds spent training, pauses left out.
        seed: Seed of training.
        tags: Given by the user, untrusted text.
        note: Given by the user, untrusted text.
        settings: Every setting by its dotted key, such as "model.norm".
    """

    run_id: str
    state: str
    problem: str | None = None
    experiment: str | None = None
    step: int | None = None
    max_iters: int | None = None
    best_val_loss: float | None = None
    tokens_per_second: float | None = None
    parameters: int | None = None
    created: float | None = None
    updated: float | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    best_step: int | None = None
    bits_per_byte: float | None = None
    tokens_seen: int | None = None
    wall_time: float | None = None
    seed: int | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
