"""`tp train --estimate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.cli.output import note, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.formatting import (
    count_text,
    duration_text,
    milliseconds_text,
    size_text,
    value_text,
)
from transformer_playground.training.launch import Launch, resolve_launch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformer_playground.training.estimate import Estimate


def print_estimate(
    launch: Launch, experiments_dir: Path, runs_dir: Path, *, json_output: bool
) -> int:
    """Print what a new run needs on this machine; return the exit code.

    Raises:
        UsageError: The launch resumes a run.
    """
    if launch.resume is not None:
        raise UsageError("--estimate is for new runs.", "Leave out --resume.")
    estimate = resolve_launch(experiments_dir, runs_dir, launch).estimate(note)
    if json_output:
        say_json(estimate.as_json())
        return 0
    for name, text in _lines(estimate):
        say(f"{name:<11} {text}")
    return 0


def _lines(estimate: "Estimate") -> "Iterator[tuple[str, str]]":
    step = milliseconds_text(1000 * estimate.step_seconds)
    per_step = estimate.tokens / max(estimate.steps, 1)
    parts = [f"{estimate.steps:,} steps of {step}"]
    for count, name, seconds in (
        (estimate.evaluations, "evaluations", estimate.evaluation_seconds),
        (estimate.samples, "samples", estimate.sample_seconds),
        (estimate.checkpoints, "checkpoints", estimate.checkpoint_seconds),
    ):
        if count:
            parts.append(f"{count:,} {name} of {milliseconds_text(1000 * seconds)}")
    yield "parameters", count_text(estimate.parameters)
    yield "tokens", f"{count_text(estimate.tokens)}, {count_text(per_step)} per step"
    yield "compute", f"{value_text(estimate.flop)} FLOP on {estimate.device} in {estimate.dtype}"
    yield "time", f"{duration_text(estimate.seconds)}: {', '.join(parts)}"
    yield "memory", size_text(estimate.memory)
    yield "disk", f"{size_text(estimate.disk)} of checkpoints"
    yield "from", f"{estimate.timed_steps} timed steps"
