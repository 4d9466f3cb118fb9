"""Estimate of a run before it starts: a few real steps on this machine, scaled to its length."""

import contextlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.train import CheckpointingConfig, RuntimeConfig
from transformer_playground.evaluation.loss import evaluation_set
from transformer_playground.model.base import count_parameters
from transformer_playground.runs.folder import create_run
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.run import TrainingRequest, build_trainer, load_setup
from transformer_playground.training.schedules import learning_rate
from transformer_playground.training.setup import TrainingSetup, translate_oom
from transformer_playground.training.trainer import Trainer

# The first steps allocate memory and, with torch.compile, build kernels.
_WARMUP_STEPS = 2
_MIN_STEPS = 5
_MAX_STEPS = 200
_STEP_SECONDS = 4.0
# Enough to time an evaluation or a sample, which are linear in these.
_EVAL_WINDOWS = 40
_NEW_TOKENS = 100


@dataclass(frozen=True)
class Estimate:
    """What a run needs on this machine, from `timed_steps` optimizer steps that were run and timed.

    Attributes:
        parameters: Trained parameters.
        tokens: Training tokens of all steps.
        flop: Floating-point operations of all steps, optimizer included; matrix products only.
        seconds: Training time, with evaluations, samples and checkpoints.
        memory: Highest memory in bytes: of the process, or on a GPU of its tensors.
        disk: Bytes of the run's checkpoints, as many as are kept, and one being written.
        step_seconds: One optimizer step; `evaluation_seconds`, `sample_seconds` and
            `checkpoint_seconds` likewise, and how many of each there are.
    """

    parameters: int
    tokens: int
    flop: int
    seconds: float
    memory: int
    disk: int
    device: str
    dtype: str
    steps: int
    step_seconds: float
    timed_steps: int
    evaluations: int
    evaluation_seconds: float
    samples: int
    sample_seconds: float
    checkpoints: int
    checkpoint_seconds: float

    def as_json(self) -> dict[str, Any]:
        """One flat JSON object."""
        return asdict(self)


def estimate_run(request: TrainingRequest, notify: Callable[[str], object]) -> Estimate:
    """Estimate a new run from a few of its steps; nothing of it remains on disk.

    Raises:
        PlaygroundError: As when training starts, or a step fails.
    """
    setup = load_setup(request, request.config, notify)
    config = request.config
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder), "estimate", {"experiment": request.experiment, "config": {}})
        trainer = build_trainer(_shortened(setup), run, (), TrainingControl(), None)
        with contextlib.closing(trainer), translate_oom():
            timed = _Timed(trainer)
        size = max((each.stat().st_size for each in run.checkpoints.glob("*.pt")), default=0)
    runtime = config.train.runtime
    windows = evaluation_set(config, setup.dataset).windows
    measured = evaluation_set(trainer.config, setup.dataset).windows
    evaluation = timed.evaluation * windows / max(measured, 1)
    new_tokens = config.sample.sample.max_new_tokens
    sample = timed.sample * new_tokens / trainer.config.sample.sample.max_new_tokens
    evaluations, samples, checkpoints = _counts(runtime, config.train.checkpointing)
    return Estimate(
        parameters=count_parameters(setup.model),
        tokens=trainer.windows_per_step * config.train_block_size * runtime.max_iters,
        flop=timed.flop_per_step * runtime.max_iters,
        seconds=runtime.max_iters * timed.step
        + evaluations * evaluation
        + samples * sample
        + checkpoints * timed.checkpoint,
        memory=_peak_memory(setup.device),
        disk=size * _kept(config, checkpoints),
        device=str(setup.device),
        dtype=setup.precision.name,
        steps=runtime.max_iters,
        step_seconds=timed.step,
        timed_steps=timed.steps,
        evaluations=evaluations,
        evaluation_seconds=evaluation,
        samples=samples,
        sample_seconds=sample,
        checkpoints=checkpoints,
        checkpoint_seconds=timed.checkpoint,
    )


class _Timed:
    """Seconds of each part of training; the trainer is of no further use."""

    def __init__(self, trainer: Trainer) -> None:
        trainer.begin_session()
        self._trainer = trainer
        with FlopCounterMode(display=False) as counter:
            self._step()
        self.flop_per_step: int = counter.get_total_flops()
        for _ in range(_WARMUP_STEPS):
            self._step()
        times: list[float] = []
        while len(times) < _MIN_STEPS or (sum(times) < _STEP_SECONDS and len(times) < _MAX_STEPS):
            times.append(_seconds(self._step))
        self.step, self.steps = statistics.median(times), len(times)
        self.evaluation = _seconds(lambda: trainer.evaluate(scheduled=True))
        self.sample = _seconds(trainer.sample) if trainer.train.runtime.sample_interval else 0.0
        self.checkpoint = _seconds(lambda: trainer.save(last=True, best=False))

    def _step(self) -> None:
        trainer = self._trainer
        trainer.optimizers.set_learning_rate(learning_rate(trainer.state.step, trainer.train))
        trainer.train_step()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _shortened(setup: TrainingSetup) -> TrainingSetup:
    """The setup with smaller evaluations and shorter samples, which are scaled afterwards."""
    config = setup.config
    values = config.model_dump()
    values["train"]["runtime"] |= {
        "eval_windows": min(config.train.eval_windows, _EVAL_WINDOWS),
        "eval_iters": None,
    }
    sample = values["sample"]["sample"]
    sample["max_new_tokens"] = min(sample["max_new_tokens"], _NEW_TOKENS)
    return replace(setup, config=ExperimentConfig.model_validate(values))


def _counts(runtime: RuntimeConfig, policy: CheckpointingConfig) -> tuple[int, int, int]:
    """How many evaluations, samples and checkpoints a run makes that is not stopped early.

    A checkpoint is saved at the start, at each interval, and at each evaluation, as if every one
    were the best so far.
    """
    last = runtime.max_iters
    evaluated = {*range(0, last, runtime.eval_interval), last}
    sampled = range(0, last + 1, runtime.sample_interval) if runtime.sample_interval else range(0)
    saved = {*range(0, last, policy.interval or runtime.eval_interval), last} | evaluated
    return len(evaluated), len(sampled), 1 + len(saved)


def _kept(config: ExperimentConfig, checkpoints: int) -> int:
    """How many checkpoint files exist at most, while one more is being written."""
    keep = config.train.checkpointing.keep
    return min(checkpoints, max(keep.last, 1) + max(keep.best, 1) + 1)


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # The kernel counts KiB, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
