"""Estimate of a run before it starts: parameters, time, memory, disk space and operations.

The timings come from an earlier run of the same shape, or from a few timed steps
(`timed_estimate`). Importing this module loads no torch, so that the console shows an estimate at
once.
"""

import bisect
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.train import CheckpointingConfig, RuntimeConfig
from transformer_playground.training.earlier_runs import EarlierRuns, Timings

_PROCESS_BYTES = 650_000_000
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Estimate:
    """What a run needs on this machine; None = not known.

    Attributes:
        parameters: Trained parameters.
        tokens: Training tokens of all steps.
        flop: Floating-point operations of all steps: the matrix products of forward and backward.
        seconds: Training time, with evaluations, samples and checkpoints; beyond `max_minutes` it
            goes on by the last evaluation and checkpoint.
        memory: Highest memory in bytes: of the process, or on a GPU of its tensors.
        disk: Bytes of the run's checkpoints, as many as are kept, and one being written.
        step_seconds: One optimizer step; `evaluation_seconds`, `sample_seconds` and
            `checkpoint_seconds` likewise, and how many of each there are.
        timed_steps: Steps that were run and timed for this estimate.
        run: Earlier run that the timings come from, if none were timed.
        is_same_shape: Whether that run did the same work per step; if not, its speed in operations
            per second was taken, which is a rough guess.
    """

    parameters: int
    tokens: int
    flop: int | None
    seconds: float | None
    memory: int | None
    disk: int
    device: str
    dtype: str
    steps: int
    step_seconds: float | None
    timed_steps: int
    evaluations: int
    evaluation_seconds: float
    samples: int
    sample_seconds: float
    checkpoints: int
    checkpoint_seconds: float
    run: str | None = None
    is_same_shape: bool = True

    def as_json(self) -> dict[str, Any]:
        """One flat JSON object, for an estimate that is not rough."""
        document = asdict(self)
        del document["is_same_shape"]
        return document


def estimate_from(
    config: ExperimentConfig,
    timings: Timings,
    *,
    parameters: int,
    flop_per_step: int | None,
    is_same_shape: bool = True,
) -> Estimate:
    """The estimate of a run whose parts take as long as in `timings`."""
    policy = config.train.checkpointing
    runtime = _within_time(config.train.runtime, policy, timings)
    evaluations, samples, checkpoints = _counts(runtime, policy)
    return Estimate(
        parameters=parameters,
        tokens=tokens_per_step(config) * runtime.max_iters,
        flop=None if flop_per_step is None else flop_per_step * runtime.max_iters,
        seconds=_seconds(runtime, policy, timings),
        memory=timings.memory,
        disk=timings.checkpoint_bytes * _kept(config, checkpoints),
        device=timings.device,
        dtype=timings.dtype,
        steps=runtime.max_iters,
        step_seconds=timings.step,
        timed_steps=timings.timed_steps,
        evaluations=evaluations,
        evaluation_seconds=timings.evaluation,
        samples=samples,
        sample_seconds=timings.sample,
        checkpoints=checkpoints,
        checkpoint_seconds=timings.checkpoint,
        run=timings.run,
        is_same_shape=is_same_shape,
    )


def estimate_from_runs(
    config: ExperimentConfig, vocab_size: int, runs_dir: Path, *, rough: bool = False
) -> Estimate | None:
    """Estimate from an earlier run of the same shape on this machine; None if there is none.

    Args:
        config: Settings of a run from scratch, or of a finetuning.
        vocab_size: Vocabulary of its dataset.
        runs_dir: Runs to look at.
        rough: Without such a run, guess from the operations per second of the run that is nearest
            in size, or without any run leave the time out.
    """
    earlier = EarlierRuns(config, vocab_size, runs_dir)
    flop = flop_per_step(config, vocab_size)
    if (timings := earlier.same_shape()) is not None:
        parameters = timings.parameters or 0
        if config.experiment.kind == "gpt":
            parameters = config.model.parameter_count(config.model.vocab_size or vocab_size)
        found = estimate_from(config, timings, parameters=parameters, flop_per_step=flop)
        if flop is None or found.memory is not None:
            return found
        return replace(found, memory=training_memory(config, vocab_size).total)
    return _rough(config, vocab_size, flop, earlier) if rough and flop is not None else None


def _rough(
    config: ExperimentConfig, vocab_size: int, flop: int, earlier: EarlierRuns
) -> Estimate | None:
    parameters = config.model.parameter_count(config.model.vocab_size or vocab_size)
    nearest = earlier.nearest(flop, lambda other, size: flop_per_step(other, size) or 0)
    step = 0.0 if nearest is None else flop / nearest.flop_per_second
    timings = Timings(
        step=step,
        evaluation=_evaluation_share(config) * step,
        sample=0.0,
        checkpoint=0.0,
        memory=training_memory(config, vocab_size).total,
        checkpoint_bytes=_checkpoint_bytes(config, parameters),
        device="" if nearest is None else nearest.device,
        dtype="" if nearest is None else nearest.dtype,
        run=None if nearest is None else nearest.run,
    )
    found = estimate_from(
        config, timings, parameters=parameters, flop_per_step=flop, is_same_shape=False
    )
    return replace(found, seconds=None, step_seconds=None) if nearest is None else found


def tokens_per_step(config: ExperimentConfig) -> int:
    """Training tokens of one optimizer step in one process."""
    data = config.train.data
    return data.batch_size * data.grad_accum_steps * config.train_block_size


def flop_per_step(config: ExperimentConfig, vocab_size: int) -> int | None:
    """Matrix products of forward and backward of one step; None if a base model is finetuned."""
    if config.experiment.kind != "gpt":
        return None
    size = config.model.vocab_size or vocab_size
    return tokens_per_step(config) * config.model.flop_per_token(size, config.train_block_size)


def _evaluation_share(config: ExperimentConfig) -> float:
    """Time of an evaluation of both splits in steps: a forward pass is a third of a step."""
    tokens = 2 * config.train.eval_windows * config.train_block_size
    return tokens / tokens_per_step(config) / 3


@dataclass(frozen=True)
class TrainingMemory:
    """Memory in bytes of the largest tensors of training on a CPU, and of the process around them.

    Attributes:
        weights: The weights, with their averages if those are kept.
        optimizer: State of the optimizer.
        activations: Of one micro-batch, as they wait for the backward pass, and its logits with
            their gradient.
        process: Python, torch and its thread pools, the sinks.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    process: int = _PROCESS_BYTES

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.process


def training_memory(config: ExperimentConfig, vocab_size: int) -> TrainingMemory:
    """Memory of a run from scratch, by its parts.

    Args:
        config: Its settings.
        vocab_size: Vocabulary of its dataset.
    """
    model, data = config.model, config.train.data
    size = model.vocab_size or vocab_size
    parameters = model.parameter_count(size)
    length = config.train_block_size
    per_layer = 12 * model.n_embd + 3 * model.mlp_hidden + 2 * model.n_head * length
    activations = data.batch_size * length * (model.n_layer * per_layer + 3 * size)
    copies = 2 if config.train.runtime.ema_decay else 1
    return TrainingMemory(
        weights=_FLOAT32_BYTES * copies * parameters,
        gradients=_FLOAT32_BYTES * parameters,
        optimizer=_optimizer_bytes(config, parameters),
        activations=_FLOAT32_BYTES * activations,
    )


def _optimizer_bytes(config: ExperimentConfig, parameters: int) -> int:
    """State in float32: AdamW keeps two moments of each parameter, Muon one of hidden matrices."""
    hidden = config.model.hidden_parameter_count if config.train.optim.optimizer == "muon" else 0
    return _FLOAT32_BYTES * (2 * parameters - hidden)


def _checkpoint_bytes(config: ExperimentConfig, parameters: int) -> int:
    """Weights, their averages if those are kept, and the state of the optimizer, in float32."""
    copies = 2 if config.train.runtime.ema_decay else 1
    return _FLOAT32_BYTES * copies * parameters + _optimizer_bytes(config, parameters)


def _within_time(
    runtime: RuntimeConfig, policy: CheckpointingConfig, timings: Timings
) -> RuntimeConfig:
    """The steps that `max_minutes` leaves beside evaluations, samples and checkpoints.

    The evaluation and the checkpoint that end the run follow after the limit.
    """
    limit = 60 * runtime.max_minutes
    if not (limit and timings.step):
        return runtime

    def shortened(steps: int) -> RuntimeConfig:
        return runtime.model_copy(update={"max_iters": steps})

    def seconds(steps: int) -> float:
        ending = timings.evaluation + timings.checkpoint
        return _seconds(shortened(steps), policy, timings) - ending

    most = int(min(runtime.max_iters, limit / timings.step))
    return shortened(max(0, bisect.bisect_right(range(most + 1), limit, key=seconds) - 1))


def _seconds(runtime: RuntimeConfig, policy: CheckpointingConfig, timings: Timings) -> float:
    evaluations, samples, checkpoints = _counts(runtime, policy)
    return (
        runtime.max_iters * timings.step
        + evaluations * timings.evaluation
        + samples * timings.sample
        + checkpoints * timings.checkpoint
    )


def _counts(runtime: RuntimeConfig, policy: CheckpointingConfig) -> tuple[int, int, int]:
    """How many evaluations, samples and checkpoints a run makes that is not stopped early.

    A checkpoint is saved at the start, at each interval, and at each evaluation, as if every one
    were the best so far.
    """
    last, evaluated = runtime.max_iters, runtime.eval_interval
    saved = policy.interval or evaluated

    def before_last(interval: int) -> int:
        return len(range(0, last, interval))

    evaluations = before_last(evaluated) + 1
    samples = 1 + last // runtime.sample_interval if runtime.sample_interval else 0
    both = math.lcm(evaluated, saved)
    checkpoints = evaluations + before_last(saved) - before_last(both)
    return evaluations, samples, 1 + checkpoints


def _kept(config: ExperimentConfig, checkpoints: int) -> int:
    """How many checkpoint files exist at most, while one more is being written."""
    keep = config.train.checkpointing.keep
    return min(checkpoints, max(keep.last, 1) + max(keep.best, 1) + 1)
