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
    launch: Launch, experiments_dir: Path, runs_dir: Path, *, timed: bool, json_output: bool
) -> int:
    """Print what a new run needs on this machine; return the exit code.

    Raises:
        UsageError: The launch resumes a run.
    """
    if launch.resume is not None:
        raise UsageError("--estimate is for new runs.", "Leave out --resume.")
    estimate = resolve_launch(experiments_dir, runs_dir, launch).estimate(note, timed=timed)
    if json_output:
        say_json(estimate.as_json())
        return 0
    for name, text in _lines(estimate):
        say(f"{name:<11} {text}")
    return 0


def _lines(estimate: "Estimate") -> "Iterator[tuple[str, str]]":
    per_step = estimate.tokens / max(estimate.steps, 1)
    yield "parameters", count_text(estimate.parameters)
    yield "tokens", f"{count_text(estimate.tokens)}, {count_text(per_step)} per step"
    if estimate.flop is not None:
        yield (
            "compute",
            f"{value_text(estimate.flop)} FLOP on {estimate.device} in {estimate.dtype}",
        )
    if estimate.seconds is not None:
        yield "time", f"{duration_text(estimate.seconds)}: {', '.join(_parts(estimate))}"
    if estimate.memory is not None:
        yield "memory", size_text(estimate.memory)
    yield "disk", f"{size_text(estimate.disk)} of checkpoints"
    timed = f"{estimate.timed_steps} timed steps"
    yield "from", timed if estimate.run is None else f"run {estimate.run}, of the same shape"


def _parts(estimate: "Estimate") -> "Iterator[str]":
    for count, name, seconds in (
        (estimate.steps, "steps", estimate.step_seconds or 0.0),
        (estimate.evaluations, "evaluations", estimate.evaluation_seconds),
        (estimate.samples, "samples", estimate.sample_seconds),
        (estimate.checkpoints, "checkpoints", estimate.checkpoint_seconds),
    ):
        if count:
            yield f"{count:,} {name} of {milliseconds_text(1000 * seconds)}"
